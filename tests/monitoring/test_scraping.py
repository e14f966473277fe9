"""A real Prometheus scrapes a real federation: every panel has something to show, and the guide is right."""

import re
import time

import pytest
import yaml
from chart import MONITORING, one, render
from made_by_operator import SETTINGS, of_aggregator, of_trainer
from monitored import NAMESPACE, watched
from observed import shown
from pages import ROOT, blocks_of
from prometheus import Target, configuration, pod_targets, run_all_panels, running_prometheus

from consilia_operator.manifests import ledger
from scripts.dashboards.answers import Span
from scripts.dashboards.pictures import pictures

GUIDE = ROOT / "docs" / "guides" / "monitoring.md"
ROUNDS = 30
pytestmark = pytest.mark.timeout(600)  # four processes load PyTorch


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """A job that has ended, its aggregator serving on, after an operator that looked at it twice."""
    how = {"interval": "500ms", "rounds": ROUNDS, "local_steps": 200}  # even quick rounds are seen a few times
    with watched(tmp_path_factory.mktemp("federation"), "breast-cancer.yaml", **how) as running:
        running.prometheus.await_series("consilia_job_round > 1", 300)
        running.operator.reconcile_seconds.labels("FederatedJob").observe(0.01)
        running.finish(200)
        running.prometheus.await_series(f"consilia_rounds_total == {ROUNDS}")
        running.prometheus.await_series('rate(consilia_reconcile_duration_seconds_count{kind="FederatedJob"}[10m]) > 0')
        yield running


@pytest.mark.slow
def test_no_panel_reads_no_data(federation):
    found = run_all_panels(federation.prometheus.url)
    assert len(found) > 35
    assert [asked for asked, series in found.items() if series == 0] == []


@pytest.mark.slow
def test_the_figures_are_the_jobs(federation):
    of_job = f'namespace="{NAMESPACE}", job="breast-cancer"'
    figures = {
        f'consilia_rounds_total{{{of_job}, result="Complete"}}': ROUNDS,
        f"consilia_job_round{{{of_job}}}": ROUNDS,
        f"consilia_job_rounds{{{of_job}}}": ROUNDS,
        f"consilia_job_deadline_timestamp_seconds{{{of_job}}}": 0,
        f'consilia_round_participants{{{of_job}, state="Late"}}': 0,
        f"sum(consilia_updates_rejected_total{{{of_job}}})": 0,
        f'max_over_time(consilia_trainer_gpus{{{of_job}, hospital="hilltop"}}[10m])': 0,
        f"sum(consilia_round_duration_seconds_count{{{of_job}}})": ROUNDS,
    }
    for expression, value in figures.items():
        (series,) = federation.prometheus.now(expression)
        assert float(series["value"][1]) == value, expression


@pytest.mark.slow
def test_the_phases_of_the_rounds_add_up_to_the_rounds(federation):
    (whole,) = federation.prometheus.now("sum(consilia_round_duration_seconds_sum)")
    (parts,) = federation.prometheus.now("sum(consilia_round_phase_duration_seconds_sum)")
    assert float(parts["value"][1]) == pytest.approx(float(whole["value"][1]), rel=0.1)


@pytest.mark.slow
def test_nothing_was_wrong_and_no_alert_said_so(federation):
    rules = federation.prometheus.ask("rules")
    assert {rule["health"] for group in rules["groups"] for rule in group["rules"]} == {"ok"}
    assert federation.prometheus.now('count_over_time(ALERTS{alertstate="firing"}[30m])') == []


@pytest.mark.slow
def test_the_recorded_latencies_are_there(federation):
    for share in ("p50", "p99"):
        (series,) = federation.prometheus.await_series(f"namespace_job:consilia_round_duration_seconds:{share}_15m > 0")
        assert series["metric"]["job"] == "breast-cancer"


@pytest.mark.slow
def test_the_pictures_of_the_guide_can_be_drawn_from_it(federation, tmp_path):
    now = time.time()
    drawn = pictures(federation.prometheus.url, tmp_path, Span(now - 300, now), window="15s")
    assert [path.name for path in drawn] == ["dashboard-federation.png", "dashboard-privacy.png"]
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert (ROOT / "docs" / "images" / path.name).exists()


def test_a_panel_without_data_is_noticed(tmp_path):
    """By a Prometheus that knows nothing."""
    with running_prometheus(tmp_path, configuration([])) as prometheus:
        found = run_all_panels(prometheus.url)
    assert set(found.values()) == {0}


def test_a_target_that_is_gone_is_down(tmp_path):
    nowhere = Target("127.0.0.1:9", {"job": "gone"})
    with running_prometheus(tmp_path, configuration([nowhere])) as prometheus:
        (series,) = prometheus.await_series('up{job="gone"}')
    assert series["value"][1] == "0"


def labels_on_pods(documents):
    """Those of the pods that documents of the operator make, as Prometheus finds them."""
    (template,) = (each["spec"]["template"] for each in documents if "template" in each.get("spec", {}))
    return {re.sub(r"\W", "_", name): value for name, value in template["metadata"]["labels"].items()}


JOB = shown("FederatedJob", {".metadata.name": "j", ".metadata.namespace": "n"})
TASK = {".metadata.namespace": "east", "hospital": "east", "job.name": "j", "job.namespace": "n"}
PODS = {
    "aggregator": ("n", "status", labels_on_pods(of_aggregator(JOB))),
    "trainer": ("east", "status", labels_on_pods(of_trainer(TASK))),
    "ledger": ("east", "status", labels_on_pods(ledger.documents("east", SETTINGS, "consilia-system"))),
    "kafka": ("n", "clients", {"app_kubernetes_io_managed_by": "consilia-operator"}),
    "operator": ("consilia-system", "http", {"app_kubernetes_io_name": "consilia"}),
    "stranger": ("n", "http", {"app_kubernetes_io_name": "web"}),
}
"""By name: namespace, name of the port, labels as Prometheus finds them."""


def discovered(name):
    """A pod as Prometheus's Kubernetes discovery gives it; Debian builds Prometheus without."""
    namespace, port, labels = PODS[name]
    meta = {f"pod_label_{label}": value for label, value in labels.items()}
    meta |= {"namespace": namespace, "pod_container_port_name": port}
    found = {f"__meta_kubernetes_{label}": value for label, value in meta.items()}
    return {"targets": [f"127.0.0.1:{list(PODS).index(name) + 1}"], "labels": found}  # nobody listens there


def test_the_guides_configuration_finds_our_pods_and_labels_them_by_job(tmp_path):
    (block,) = (block for block in blocks_of(GUIDE) if block.title)
    settings = yaml.safe_load(block.text) | {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}}
    for scrape in settings["scrape_configs"]:
        assert scrape.pop("kubernetes_sd_configs") == [{"role": "pod"}]
        scrape["static_configs"] = [discovered(name) for name in PODS]
    with running_prometheus(tmp_path, settings) as prometheus:
        prometheus.await_series("count(up) == 4")
        targets = prometheus.ask("targets", state="active")["activeTargets"]
    labels = {int(target["labels"].pop("instance").split(":")[1]): target["labels"] for target in targets}
    assert {list(PODS)[port - 1]: found for port, found in labels.items()} == {
        "aggregator": {"namespace": "n", "job": "j"},
        "trainer": {"namespace": "n", "job": "j", "hospital": "east"},
        "ledger": {"namespace": "east", "job": "consilia-programs", "hospital": "east"},
        "operator": {"namespace": "consilia-system", "job": "consilia-operator"},
    }


def test_the_charts_pod_monitor_labels_as_the_guides_configuration_does():
    (block,) = (block for block in blocks_of(GUIDE) if block.title)
    programs, _ = yaml.safe_load(block.text)["scrape_configs"]
    guide = {(*rule["source_labels"], rule["target_label"]) for rule in programs["relabel_configs"][3:]}
    (endpoint,) = one(render(apis=[MONITORING]), "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert guide == {(*rule["sourceLabels"], rule["targetLabel"]) for rule in endpoint["relabelings"]}
    assert endpoint["honorLabels"]


def test_pods_of_a_cluster_become_targets_with_the_same_labels():
    def pod(name, port, address, **labels):
        container = {"ports": [{"name": port, "containerPort": 8080}]}
        metadata = {"name": name, "namespace": "east", "labels": {f"consilia.dev/{k}": v for k, v in labels.items()}}
        return {"metadata": metadata, "spec": {"containers": [container]}, "status": {"podIP": address}}

    job = {"job": "j", "job-namespace": "n"}
    pods = [
        pod("trainer", "status", "10.0.0.1", hospital="east", **job),
        pod("operator", "http", "10.0.0.2"),
        pod("kafka", "clients", "10.0.0.3"),
        pod("pending", "status", None, **job),
    ]
    assert pod_targets(pods) == [
        Target("10.0.0.1:8080", {"namespace": "n", "job": "j", "hospital": "east", "pod": "trainer"}),
        Target("10.0.0.2:8080", {"namespace": "east", "job": "consilia-operator", "pod": "operator"}),
    ]
