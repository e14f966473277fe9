"""The objects of the chart: pods that may do nothing, settings whose change is a new start, CRDs that stay."""

import pytest
import yaml
from chart import CHART, MONITORING, ROOT, helm, one, render

from consilia.api.crd import DEFINITIONS

NAMESPACED = {"watchNamespaces": ["hub", "riverside"]}


def kinds(documents):
    return {document["kind"] for document in documents}


def test_every_template_is_rendered_by_these_tests():
    texts = [
        helm("template", "consilia", CHART, "--api-versions", MONITORING, values=each) for each in ({}, NAMESPACED)
    ]
    lines = [line for text in texts for line in text.splitlines()]
    rendered = {line.removeprefix("# Source: consilia/") for line in lines if line.startswith("# Source: ")}
    assert rendered == {path.relative_to(CHART).as_posix() for path in (CHART / "templates").rglob("*.yaml")}


@pytest.mark.parametrize("values", [{}, NAMESPACED], ids=["cluster", "namespaces"])
def test_all_objects_are_the_releases_and_have_names_of_their_own(values):
    values = values | {"commonLabels": {"team": "ai"}, "commonAnnotations": {"contact": "ai@hospital.example"}}
    documents = render(values, apis=(MONITORING,))
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in documents]
    assert len(set(names)) == len(names)
    for each in documents:
        metadata = each["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "consilia"
        if each["kind"] != "CustomResourceDefinition":
            assert metadata["labels"]["app.kubernetes.io/instance"] == "consilia"
            assert metadata["labels"]["team"] == "ai"
            assert each["kind"] == "Pod" or metadata["annotations"]["contact"] == "ai@hospital.example"


def test_common_labels_never_change_what_a_pod_is_found_by():
    documents = render({"commonLabels": {"app.kubernetes.io/name": "x"}, "podLabels": {"app.kubernetes.io/name": "y"}})
    deployment = one(documents, "Deployment")
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector["app.kubernetes.io/name"] == "consilia"
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert selector == one(documents, "Service")["spec"]["selector"]
    assert selector == one(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]


def pods(documents):
    yield one(documents, "Deployment")["spec"]["template"]["spec"]
    yield one(documents, "Pod", "consilia-operator-test")["spec"]


def test_pods_keep_to_the_restricted_standard_and_write_nowhere():
    for pod in pods(render()):
        security, (container,) = pod["securityContext"], pod["containers"]
        assert security["runAsNonRoot"] is True
        assert (security["runAsUser"], security["runAsGroup"]) == (10001, 10001)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not any("hostPath" in volume for volume in pod["volumes"])
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {"requests", "limits"} <= container["resources"].keys()


def test_there_is_one_operator_which_is_replaced_and_never_doubled():
    deployment = one(render(), "Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert "PodDisruptionBudget" not in kinds(render())


def started_from(values=None):
    return one(render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]["consilia.dev/settings"]


def test_another_setting_starts_the_operator_anew_and_nothing_else_does():
    assert started_from() == started_from({"crds": {"keep": False}})
    assert started_from() != started_from({"operator": {"workers": 9}})
    assert started_from() != started_from({"images": {"worker": {"tag": "2"}}})


def test_the_operator_is_probed_where_it_listens():
    documents = render({"operator": {"metricsPort": 9999}})
    (container,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 9999}]
    paths = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {each["port"] for each in paths.values()} == {"http"}
    assert [each["path"] for each in paths.values()] == ["/healthz", "/healthz", "/readyz"]
    assert one(documents, "Service")["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]


def test_the_operator_knows_its_pod_and_finds_its_settings():
    pod = one(render(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"]}
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    assert {each["name"]: each["mountPath"] for each in container["volumeMounts"]}["settings"] == "/etc/consilia"
    assert {"name": "settings", "configMap": {"name": "consilia-operator"}} in pod["volumes"]
    assert container["args"][-2:] == ["--settings", "/etc/consilia/operator.json"]


def test_where_the_pod_runs_is_up_to_the_administrator():
    where = {
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
        "priorityClassName": "important",
    }
    documents = render(where | {"images": {"pullSecrets": ["login"]}, "podAnnotations": {"a": "b"}})
    template = one(documents, "Deployment")["spec"]["template"]
    assert where.items() <= template["spec"].items()
    assert template["metadata"]["annotations"]["a"] == "b"
    assert [pod["imagePullSecrets"] for pod in pods(documents)] == [[{"name": "login"}]] * 2


def specs_of(document):
    """The specs of its pods."""
    if document["kind"] == "Deployment":
        yield document["spec"]["template"]["spec"]
    if document["kind"] == "Pod":
        yield document["spec"]


def test_names_that_look_like_numbers_are_names():
    values = {
        "images": {"pullSecrets": ["789"]}, "serviceAccount": {"name": "42"}, "priorityClassName": "7",
        "metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
    }  # fmt: skip
    text = helm("template", "on", CHART, "-n", "456", "--api-versions", MONITORING, values=values)
    for document in filter(None, yaml.safe_load_all(text)):
        metadata = document["metadata"]
        assert {type(metadata["name"]), type(metadata.get("namespace", ""))} == {str}, metadata
        assert {type(value) for value in metadata["labels"].values()} == {str}, metadata
        for subject in document.get("subjects", ()):
            assert {type(value) for value in subject.values()} == {str}, subject
        for spec in specs_of(document):
            assert spec["serviceAccountName"] == "42"
            assert spec["imagePullSecrets"] == [{"name": "789"}]
            assert spec.get("priorityClassName", "7") == "7"


def crds(values=None):
    return {each["metadata"]["name"]: each for each in render(values) if each["kind"] == "CustomResourceDefinition"}


def test_the_crds_reach_the_cluster_word_for_word():
    found = crds()
    assert found.keys() == {definition.name for definition in DEFINITIONS}
    for name, crd in found.items():
        source = yaml.safe_load((ROOT / "crds" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert crd["spec"] == source["spec"]


@pytest.mark.parametrize(
    ("values", "kept"),
    [({}, [True] * 4), ({"crds": {"keep": False}}, [False] * 4), ({"crds": {"install": False}}, [])],
    ids=["default", "not kept", "not installed"],
)
def test_crds_stay_when_the_release_goes_unless_told_otherwise(values, kept):
    policies = [crd["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for crd in crds(values).values()]
    assert [policy == "keep" for policy in policies] == kept


def test_where_the_log_is_strimzis_the_operator_may_call_its_brokers():
    def reached(values):
        rules = one(render(values), "NetworkPolicy")["spec"]["egress"]
        pods = [to["podSelector"]["matchLabels"] for rule in rules for to in rule.get("to", ())]
        return [each for each in pods if "strimzi.io/cluster" in each]

    assert reached({}) == []
    outside = {"log": "Strimzi", "strimzi": {"cluster": "events"}}
    assert reached({"operator": {"outside": outside}}) == [{"strimzi.io/cluster": "events", "strimzi.io/kind": "Kafka"}]


def test_the_network_lets_the_operator_reach_what_it_must_and_nothing_else():
    more = {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 9094}]}
    policy = one(render({"networkPolicy": {"extraEgress": [more]}}), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    dns, api, own, extra = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert {port["port"] for port in api["ports"]} == {443, 6443}
    assert own["to"][0]["podSelector"] == {"matchLabels": {"app.kubernetes.io/managed-by": "consilia-operator"}}
    assert {port["port"] for port in own["ports"]} == {8080, 8085, 9094}
    assert extra == more
    assert "NetworkPolicy" not in kinds(render({"networkPolicy": {"enabled": False}}))


def test_metrics_are_for_the_namespaces_that_may_read_them():
    labels = {"kubernetes.io/metadata.name": "monitoring"}
    (ingress,) = one(render({"operator": {"monitoring": {"namespaceLabels": labels}}}), "NetworkPolicy")["spec"][
        "ingress"
    ]
    assert ingress["ports"] == [{"port": "http"}]
    namespaces, tests = ingress["from"]
    assert namespaces == {"namespaceSelector": {"matchLabels": labels}}
    pod = one(render(), "Pod", "consilia-operator-test")
    assert tests["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_the_longest_release_name_still_gives_names_that_dns_takes():
    documents = [each for each in yaml.safe_load_all(helm("template", "a" * 53, CHART, "-n", "n" * 63)) if each]
    named = {each["kind"]: each["metadata"]["name"] for each in documents}
    assert {kind: len(named[kind]) <= 63 for kind in ("Service", "Deployment")} == {"Service": True, "Deployment": True}
    assert all(len(each["metadata"]["name"]) <= 253 for each in documents)
