"""The chart for a hospital with a cluster of its own: rights here and nowhere else, and one way out."""

import pytest
import yaml
from chart import MONITORING, ROOT, RefusedError, helm, one
from hospital_chart import CHART, NAME, OPERATOR, render

from consilia.api.crd import DEFINITIONS
from consilia_operator.settings import OperatorSettings
from scripts.chart.shared import TEMPLATES, shared_template

OF_THE_CLUSTER = {"CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def test_every_template_is_rendered_by_these_tests():
    values = {"datasets": [{"name": "hearts", "spec": {"source": {"builtin": {}}}}]}
    text = helm("template", "consilia-hospital", CHART, "-n", NAME, "--api-versions", MONITORING, values=values)
    lines = [line.removeprefix("# Source: consilia-hospital/") for line in text.splitlines()]
    there = {path.relative_to(CHART).as_posix() for path in (CHART / "templates").rglob("*.yaml")}
    assert there - set(lines) == set()


def test_all_that_it_makes_is_in_the_hospitals_namespace_but_what_has_none():
    for each in render(apis=(MONITORING,)):
        if each["kind"] not in OF_THE_CLUSTER:
            assert each["metadata"]["namespace"] == NAME, each["metadata"]["name"]
        if "Cluster" in each["kind"]:
            pytest.fail(f"{each['kind']} {each['metadata']['name']}")


def test_without_rights_on_the_cluster_it_makes_nothing_of_the_cluster():
    found = render({"crds": {"install": False}, "admission": {"enabled": False}})
    assert {each["kind"] for each in found} & OF_THE_CLUSTER == set()
    assert one(found, "Deployment", OPERATOR)


def test_the_operator_is_told_that_it_is_this_hospitals_and_no_hub():
    settings = OperatorSettings.model_validate_json(one(render(), "ConfigMap", OPERATOR)["data"]["operator.json"])
    assert (settings.roles, settings.hospital, settings.namespaces) == (("Hospital",), NAME, (NAME,))
    assert settings.outside.type == "None"


def rules(documents):
    for each in documents:
        if each["kind"] == "Role" and each["metadata"]["name"] != "consilia-budget-approver":
            yield from each["rules"]


def test_the_operator_changes_no_dataset_and_watches_no_secret():
    for rule in rules(render()):
        assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
        if "datasets" in rule["resources"]:
            assert set(rule["verbs"]) <= {"get", "list", "watch"}
        if "secrets" in rule["resources"]:
            assert set(rule["verbs"]) <= {"get", "create", "patch"}
        assert not set(rule["resources"]) & {"pods/exec", "nodes", "namespaces"}


def test_nobody_talks_to_anybody_but_the_operator_to_the_log():
    found = render({"networkPolicy": {"log": {"ports": [{"first": 9096, "last": 9096}], "cidrs": ["192.0.2.0/28"]}}})
    everybody = one(found, "NetworkPolicy", "consilia-default-deny")["spec"]
    assert everybody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (way,) = (
        rule for rule in one(found, "NetworkPolicy", OPERATOR)["spec"]["egress"] if {"port": 9096} in rule["ports"]
    )
    assert way["to"] == [{"ipBlock": {"cidr": "192.0.2.0/28"}}]


def test_pods_keep_to_the_restricted_standard_and_write_nowhere():
    found = render()
    for pod in (
        one(found, "Deployment", OPERATOR)["spec"]["template"]["spec"],
        one(found, "Pod", f"{OPERATOR}-test")["spec"],
    ):
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_datasets_of_the_values_outlive_the_release():
    spec = {"source": {"persistentVolumeClaim": {"claimName": "records"}}, "approval": {"mode": "Manual"}}
    made = one(render({"datasets": [{"name": "hearts", "spec": spec}]}), "Dataset", "hearts")
    assert made["spec"] == spec
    assert made["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each.plural)
def test_the_definitions_are_the_hubs_and_stay(definition):
    made = one(render(), "CustomResourceDefinition", definition.name)
    assert made["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert made["spec"] == yaml.safe_load((ROOT / "crds" / f"{definition.name}.yaml").read_text())["spec"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_both_charts_have_in_common_is_the_same(name):
    assert (CHART / "templates" / name).read_text() == shared_template(ROOT, name)


@pytest.mark.parametrize(
    ("values", "namespace", "words"),
    [
        ({}, "default", "the namespace is the hospital's name"),
        ({}, "aggregator", "the namespace is the hospital's name"),
        ({"operator": {"roles": ["Hub"]}}, NAME, "roles"),
        ({"operator": {"outside": {"type": "NodePort"}}}, NAME, "outside"),
        ({"watchNamespaces": ["kube-system"]}, NAME, "watchNamespaces"),
        ({"networkPolicy": {"log": {"cidrs": ["everywhere"]}}}, NAME, "cidrs"),
        ({"operator": {"deadWatchSeconds": 20}}, NAME, "leaseSeconds"),
    ],
)
def test_values_that_make_no_hospital_are_refused(values, namespace, words):
    with pytest.raises(RefusedError, match=words):
        render(values, namespace=namespace)


def test_the_notes_say_how_to_join():
    """As Helm renders them: it prints notes of a real installation only."""
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    for command in ("enroll request", "enroll accept bundle.json"):
        assert f"consilia {command} --namespace {{{{ .Release.Namespace }}}}" in notes
