"""The values of the chart: the operator understands what becomes of them, and what is wrong is refused in words."""

import json
import tomllib

import pytest
import yaml
from chart import CHART, ROOT, RefusedError, helm, one, render, settings_in

from consilia_operator.settings import OperatorSettings
from scripts.chart.values import DERIVED, ChartValues
from scripts.generate import differing

IMAGES = {"worker": "localhost/consilia-worker:0.2.0", "kafka": "localhost/consilia-kafka:0.2.0"}
DIGEST = "sha256:" + "a" * 64


def loaded(tmp_path, values=None):
    """As the operator reads it at its start."""
    path = tmp_path / "operator.json"
    path.write_text(settings_in(render(values)), encoding="utf-8")
    return OperatorSettings.load(path)


def test_the_chart_passes_helms_strictest_lint():
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", "--strict", CHART)


def test_chart_and_project_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (chart["version"], chart["appVersion"]) == (project["version"], project["version"])


def test_values_schema_and_crds_are_as_the_code_says():
    ours = ("charts/consilia/values", "charts/consilia/templates/")
    assert [path for path in differing(ROOT) if path.startswith(ours)] == []


def test_the_defaults_are_the_operators_own(tmp_path):
    assert loaded(tmp_path) == OperatorSettings.model_validate({"images": IMAGES})


def test_the_file_of_values_holds_the_declared_ones():
    written = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    declared = json.loads(ChartValues().model_dump_json(by_alias=True))
    assert declared == written | {"global": {}}


CHANGED = {
    "roles": ["Hospital"],
    "sizes": {
        "aggregator": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "trainer": {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "8Gi", "cpu": "4"}},
        "ledger": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "kafka": {"requests": {"cpu": "250m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
    },
    "storage": {"storageClass": "fast", "trainer": "10Gi", "ledger": "2Gi"},
    "certificates": {
        "issuing": "CertManager",
        "issuerRef": {"name": "hospital-ca", "kind": "ClusterIssuer", "group": "cert-manager.io"},
        "lastsDays": 60,
        "renewDays": 20,
    },
    "outside": {
        "log": "Strimzi",
        "strimzi": {"cluster": "events", "namespace": "kafka", "listener": "outside", "ownListener": "inside"},
        "type": "LoadBalancer",
        "host": "kafka-{broker}.hub.example",
        "port": 9096,
    },
    "monitoring": {"namespaceLabels": {"team": "observability"}},
    "clusterDomain": "hospital.internal",
    "networkPolicies": False,
    "resyncSeconds": 60.5,
    "workers": 16,
    "metricsPort": 9090,
    "deadWatchSeconds": 120.0,
    "leaseSeconds": 60,
    "logLevel": "DEBUG",
    "logFormat": "Json",
}


def test_every_setting_of_the_operator_can_be_set(tmp_path):
    assert CHANGED.keys() == {
        field.alias for name, field in OperatorSettings.model_fields.items() if name not in DERIVED
    }
    assert all(CHANGED[name] != value for name, value in ChartValues().operator.model_dump(by_alias=True).items())
    found = loaded(tmp_path, {"operator": CHANGED, "watchNamespaces": ["hub", "riverside"]}).as_document()
    hospitals = {
        "isolation": "Required",
        "proxy": {"secret": "consilia-proxy"},
        "gpus": [],
        "gpuTest": {"gpus": 0, "nodeSelector": {}, "tolerations": [], "seconds": 180},
    }
    assert found == CHANGED | hospitals | {
        "namespaces": ["hub", "riverside"],
        "images": IMAGES | {"pullPolicy": "IfNotPresent", "pullSecrets": []},
    }


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"tag": "2.0"}, "registry.example/team/consilia-worker:2.0"),
        ({"tag": "2.0", "digest": DIGEST}, f"registry.example/team/consilia-worker@{DIGEST}"),
        ({"repository": "ours"}, "registry.example/team/ours:0.2.0"),
    ],
)
def test_a_digest_wins_over_a_tag_and_a_tag_over_the_version(tmp_path, image, expected):
    values = {"images": {"registry": "registry.example/team/", "worker": image, "pullSecrets": ["login"]}}
    images = loaded(tmp_path, values).images
    assert (images.worker, images.pull_secrets) == (expected, ("login",))


def test_an_image_may_do_without_a_registry(tmp_path):
    values = {"images": {"registry": "", "kafka": {"repository": "registry.example/kafka"}}}
    assert loaded(tmp_path, values).images.kafka == "registry.example/kafka:0.2.0"


def test_amounts_may_be_numbers_as_everywhere_in_kubernetes(tmp_path):
    values = {"operator": {"sizes": {"trainer": {"limits": {"cpu": 2, "memory": 17179869184}}}}}
    limits = loaded(tmp_path, values).sizes.trainer["limits"]
    assert (limits["cpu"], float(limits["memory"])) == ("2", 17179869184)


WRONG = [
    ({"replicas": 3}, "Additional property replicas is not allowed"),
    ({"operator": {"resyncSecond": 5}}, "operator: Additional property resyncSecond is not allowed"),
    ({"operator": {"roles": ["Admin"]}}, 'operator.roles.0 must be one of the following: "Hub", "Hospital"'),
    ({"operator": {"roles": []}}, "operator.roles: Array must have at least 1 items"),
    ({"operator": {"workers": 0}}, "operator.workers: Must be greater than or equal to 1"),
    ({"operator": {"workers": "many"}}, "operator.workers: Invalid type. Expected: integer, given: string"),
    ({"operator": {"resyncSeconds": 1}}, "operator.resyncSeconds: Must be greater than or equal to 10"),
    ({"operator": {"metricsPort": 70000}}, "operator.metricsPort: Must be less than or equal to 65535"),
    ({"operator": {"logLevel": "debug"}}, "operator.logLevel must be one of the following"),
    ({"operator": {"storage": {"class": "fast"}}}, "operator.storage: Additional property class is not allowed"),
    ({"operator": {"storage": {"storageClass": 3}}}, "operator.storage.storageClass: Invalid type"),
    ({"operator": {"sizes": {"trainer": {"limit": {}}}}}, "Additional property limit is not allowed"),
    ({"operator": {"sizes": {"trainer": {"limits": {"memory": "8 GB"}}}}}, "limits.memory: Does not match pattern"),
    ({"operator": {"images": {}}}, "operator: Additional property images is not allowed"),
    ({"operator": {"certificates": {"issuerRef": {"nam": "x"}}}}, "Additional property nam is not allowed"),
    ({"images": {"worker": {"digest": "sha256:abc"}}}, "images.worker.digest: Does not match pattern"),
    (
        {"images": {"worker": {"repository": ""}}},
        "images.worker.repository: String length must be greater than or equal",
    ),
    ({"images": {"pullSecrets": [{"name": "login"}]}}, "images.pullSecrets.0: Invalid type"),
    ({"watchNamespaces": "riverside"}, "watchNamespaces: Invalid type. Expected: array, given: string"),
    ({"watchNamespaces": ["River Side"]}, "watchNamespaces.0: Does not match pattern"),
    ({"watchNamespaces": ["a", "a"]}, "watchNamespaces: array items[0,1] must be unique"),
    ({"metrics": {"podMonitor": {"interval": "30"}}}, "metrics.podMonitor.interval: Does not match pattern"),
    ({"networkPolicy": {"apiServerPorts": []}}, "networkPolicy.apiServerPorts: Array must have at least 1 items"),
    ({"resources": {"limits": {"memory": "lots"}}}, "resources.limits.memory: Does not match pattern"),
    ({"tolerations": [{"key": "gpu", "efect": "NoSchedule"}]}, "Additional property efect is not allowed"),
    ({"affinity": {"nodeAfinity": {}}}, "affinity: Additional property nodeAfinity is not allowed"),
    ({"rbac": {"strimzi": True}}, "rbac.strimzi: Invalid type. Expected: string, given: boolean"),
    ({"rbac": {"strimzi": "Yes"}}, 'rbac.strimzi must be one of the following: "Auto", "Enabled", "Disabled"'),
    (
        {"operator": {"certificates": {"lastsDays": 30, "renewDays": 30}}},
        "operator.certificates.renewDays (30) must be less than operator.certificates.lastsDays (30)",
    ),
    ({"operator": {"certificates": {"issuing": "CertManager"}}}, "name its issuer in operator.certificates.issuerRef"),
    (
        {"operator": {"certificates": {"issuerRef": {"name": "ca"}}}},
        "operator.certificates.issuerRef is for cert-manager: set operator.certificates.issuing=CertManager",
    ),
    (
        {"operator": {"deadWatchSeconds": 20}},
        "operator.deadWatchSeconds (20) must not be less than operator.leaseSeconds",
    ),
]


@pytest.mark.parametrize(("values", "complaint"), WRONG, ids=[json.dumps(values) for values, _ in WRONG])
def test_what_is_wrong_is_refused_by_its_name(values, complaint):
    with pytest.raises(RefusedError) as caught:
        render(values)
    assert complaint in " ".join(str(caught.value).split())


FREE = (
    "global",
    "networkPolicy.extraEgress",
    "affinity.nodeAffinity",
    "affinity.podAffinity",
    "affinity.podAntiAffinity",
)
"""Kubernetes' own words, which the API server checks, and what Helm puts into subcharts."""


def open_objects(schema, path=""):
    """Where anything at all would be let through."""
    if schema.get("type") == "object" and schema.get("additionalProperties", True) in ({}, True):
        yield path
    for name, child in schema.get("properties", {}).items():
        yield from open_objects(child, f"{path}.{name}".strip("."))
    if isinstance(schema.get("items"), dict):
        yield from open_objects(schema["items"], path)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from open_objects(schema["additionalProperties"], path)


def test_no_unknown_value_is_let_through_anywhere():
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert set(open_objects(schema)) == set(FREE)


def test_a_chart_around_this_one_may_have_globals():
    assert one(render({"global": {"team": "cardiology"}}), "Deployment")


def test_amounts_may_be_numbers_of_any_size(tmp_path):
    sizes = {"kafka": {"requests": {"cpu": 0.5, "memory": 805306368}, "limits": {"cpu": 2, "memory": 1610612736}}}
    found = loaded(tmp_path, {"operator": {"sizes": sizes}}).sizes.kafka
    assert found == {
        "requests": {"cpu": "0.5", "memory": "805306368"}, "limits": {"cpu": "2", "memory": "1610612736"},
    }  # fmt: skip
