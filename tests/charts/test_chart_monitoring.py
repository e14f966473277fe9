"""What Prometheus and Grafana get from the chart, and that a cluster without them gets nothing it does not know."""

import json

import yaml
from chart import CHART, MONITORING, one, render

from consilia_operator import names

MONITORS = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}


def kinds(documents):
    return {document["kind"] for document in documents}


def test_prometheus_resources_are_made_where_the_cluster_knows_them():
    assert not MONITORS & kinds(render())
    assert kinds(render(apis=(MONITORING,))) >= MONITORS


def test_each_of_them_can_be_left_out():
    off = {name: {"enabled": False} for name in ("serviceMonitor", "podMonitor", "prometheusRule", "dashboards")}
    documents = render({"metrics": off}, apis=(MONITORING,))
    assert not MONITORS & kinds(documents)
    assert [each["metadata"]["name"] for each in documents if each["kind"] == "ConfigMap"] == ["consilia-operator"]


def test_the_operator_is_scraped_by_its_service():
    documents = render(
        {"metrics": {"serviceMonitor": {"interval": "10s", "labels": {"release": "p"}}}}, apis=(MONITORING,)
    )
    monitor, service = one(documents, "ServiceMonitor"), one(documents, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {
        "port": service["spec"]["ports"][0]["name"],
        "path": "/metrics",
        "interval": "10s",
        "honorLabels": True,
    }
    assert monitor["metadata"]["labels"]["release"] == "p"


def test_programs_are_scraped_wherever_the_operator_makes_them():
    everywhere, listed = (
        one(render(values, apis=(MONITORING,)), "PodMonitor")["spec"]
        for values in ({}, {"watchNamespaces": ["hub", "a"]})
    )
    assert everywhere["namespaceSelector"] == {"any": True}
    assert listed["namespaceSelector"] == {"matchNames": ["hub", "a"]}
    chosen = [
        part
        for part in ("aggregator", "trainer", "ledger", "inspection", "kafka")
        if selects(everywhere["selector"], names.labels(part))
    ]
    assert chosen == ["aggregator", "trainer", "ledger"]


def selects(selector, labels):
    """As Kubernetes matches labels."""
    fits = all(labels.get(name) == value for name, value in selector["matchLabels"].items())
    return fits and all(labels.get(each["key"]) in each["values"] for each in selector["matchExpressions"])


def test_the_rules_reach_prometheus_as_they_were_tested():
    rule = one(render(apis=(MONITORING,)), "PrometheusRule", "consilia-consilia")
    tested = yaml.safe_load((CHART / "rules" / "consilia.yaml").read_text(encoding="utf-8"))
    assert rule["spec"] == tested


def test_every_dashboard_reaches_grafana_as_it_is():
    values = {"metrics": {"dashboards": {"namespace": "grafana", "annotations": {"grafana_folder": "Consilia"}}}}
    maps = [each for each in render(values) if each["metadata"]["labels"].get("grafana_dashboard") == "1"]
    found = {name: text for each in maps for name, text in each["data"].items()}
    files = {path.name: path.read_text(encoding="utf-8") for path in (CHART / "dashboards").glob("*.json")}
    assert len(files) >= 2
    assert {name: json.loads(text) for name, text in found.items()} == {n: json.loads(t) for n, t in files.items()}
    for each in maps:
        assert each["metadata"]["namespace"] == "grafana"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Consilia"}
