"""What the cluster refuses by the chart's ValidatingAdmissionPolicies, tried on a real API server."""

import copy
import time

import pytest
from api_documents import document
from bare_api_server import bare_api_server
from chart import render
from people import People, administer, role

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine

OPERATOR = "system:serviceaccount:operators:consilia-operator"
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
EDIT = [
    {"apiGroups": ["consilia.dev"],
     "resources": [f"{each}{part}" for each in ("datasets", "hospitals", "hospitaltasks") for part in ("", "/status")],
     "verbs": ["get", "create", "update", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims", "secrets"],
     "verbs": ["get", "create", "delete", "deletecollection"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "delete"]},
]  # fmt: skip
KEEP = [
    {"apiGroups": [""], "resources": ["persistentvolumeclaims", "secrets"], "verbs": ["deleteledger"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["deleteledger"]},
]
BUDGET = {"epsilon": "3", "delta": "1e-5", "epsilonPerJob": "1"}
APPROVAL = {"epsilon": "5", "by": "committee", "reason": "agreed"}
AS_MUCH = APPROVAL | {"epsilon": "3"}
DATASETS = "/apis/consilia.dev/v1alpha1/namespaces/default/datasets"


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    with bare_api_server(tmp_path_factory.mktemp("policies")) as server:
        made = render()
        for kind, plural in ((POLICY, "validatingadmissionpolicies"), (BINDING, "validatingadmissionpolicybindings")):
            for each in (one for one in made if one["kind"] == kind):
                administer(server, f"/apis/admissionregistration.k8s.io/v1/{plural}", each)
        role(server, "edit-datasets", EDIT, "editor", "officer", "keeper", OPERATOR)
        (approver,) = (each for each in made if each["metadata"]["name"] == "consilia-budget-approver")
        role(server, "approve", approver["rules"], "officer")
        role(server, "keep", KEEP, "keeper")
        found = People(server)
        await_policies(found)
        yield found


def await_policies(people):
    """New policies are in force a moment later: all three, each by what it refuses.

    Nothing is kept of what is not refused yet: what is there already may stay, so it would never be refused.
    """
    people.ask("editor", "POST", DATASETS, dataset("probe"))
    end = time.monotonic() + 60
    approved, spent = {"spec": {"privacyBudget": {"approval": APPROVAL}}}, {"status": {"spent": "0"}}
    while not (
        people.patch("editor", f"{DATASETS}/probe?dryRun=All", approved)[0] == 403
        and people.patch("editor", f"{DATASETS}/probe/status?dryRun=All", spent)[0] == 403
        and refused_to_delete(people)
    ):
        assert time.monotonic() < end, "the policies are not in force"
        time.sleep(0.2)


def refused_to_delete(people):
    people.ask("editor", "POST", CLAIMS, claim("consilia-ledger"))
    return people.ask("editor", "DELETE", f"{CLAIMS}/consilia-ledger?dryRun=All")[0] == 403


def dataset(name, budget=BUDGET):
    made = document("Dataset", {"publicSize": 100, "privacyBudget": copy.deepcopy(budget), ".metadata.name": name})
    made["metadata"]["namespace"] = "default"
    return made


@pytest.fixture
def there(people, request):
    """A Dataset with a budget."""
    path = f"{DATASETS}/{request.node.name.split('[')[0].replace('_', '-')[:60].strip('-')}"
    status, answer = people.ask("editor", "POST", DATASETS, dataset(path.rpartition("/")[2]))
    assert status == 201, answer
    yield path
    people.ask("editor", "DELETE", path)


CHANGES = {
    "lower it": ({"epsilon": "2", "epsilonPerJob": "0.5"}, True),
    "change something else": ({}, True),
    "give a job more": ({"epsilonPerJob": "2", "approval": AS_MUCH}, False),
    "let a job have all": ({"epsilonPerJob": None, "approval": AS_MUCH}, False),
    "raise it with an approval": ({"epsilon": "5", "approval": APPROVAL}, False),
    "write an approval for later": ({"approval": APPROVAL}, False),
}


@pytest.mark.parametrize(("change", "allowed"), CHANGES.values(), ids=CHANGES.keys())
def test_an_editor_may_lower_a_budget_and_an_approver_may_do_more(people, there, change, allowed):
    patch = {"spec": {"privacyBudget": change, "parameters": {"site": "x"}}}
    status, answer = people.patch("editor", there, patch)
    assert (status == 200) is allowed, answer
    if not allowed:
        assert status == 403
        assert "needs the verb raisebudget" in answer["message"]
    assert people.patch("officer", there, patch)[0] == 200


@pytest.mark.parametrize("more", ["2", None], ids=["more", "all"])
def test_nobody_gives_a_job_more_without_an_approval(people, there, more):
    status, answer = people.patch("officer", there, {"spec": {"privacyBudget": {"epsilonPerJob": more}}})
    assert status == 422
    assert "epsilonPerJob may be lowered, and raised or removed with an approval" in answer["message"]


def test_what_was_approved_may_stay_as_it_is_and_may_not_come_with_a_new_dataset(people, there):
    assert people.patch("officer", there, {"spec": {"privacyBudget": {"epsilon": "5", "approval": APPROVAL}}})[0] == 200
    assert people.patch("editor", there, {"spec": {"parameters": {"site": "y"}}})[0] == 200
    assert people.patch("editor", there, {"spec": {"privacyBudget": {"epsilon": "4"}}})[0] == 200
    name = "made-with-an-approval"
    new = dataset(name, BUDGET | {"epsilon": "5", "approval": APPROVAL})
    assert people.ask("editor", "POST", DATASETS, new)[0] == 403
    assert people.ask("editor", "POST", DATASETS, dataset(name))[0] == 201, (
        "without an approval it is no more than that"
    )
    people.ask("editor", "DELETE", f"{DATASETS}/{name}")
    assert people.ask("officer", "POST", DATASETS, new)[0] == 201


@pytest.mark.parametrize("change", [{"afterGap": 13}, {"reason": "another"}, {"by": "me"}], ids=lambda each: str(*each))
def test_an_approval_that_is_there_is_changed_by_an_approver_only(people, there, change):
    assert people.patch("officer", there, {"spec": {"privacyBudget": {"epsilon": "5", "approval": APPROVAL}}})[0] == 200
    patch = {"spec": {"privacyBudget": {"approval": change}}}
    assert people.patch("editor", there, patch)[0] == 403
    assert people.patch("officer", there, patch)[0] == 200


def test_what_a_status_says_of_the_ledger_is_the_operators(people, there):
    head = {"ledgerEntries": 7, "ledgerHead": f"sha256:{'1' * 64}", "spent": "1.5"}
    assert people.patch(OPERATOR, f"{there}/status", {"status": head})[0] == 200
    for change in ({"spent": "0"}, {"ledgerEntries": 0}, {"ledgerHead": None}, {"available": "9"}):
        status, answer = people.patch("editor", f"{there}/status", {"status": change})
        assert status == 403, answer
        assert "written by the operator alone" in answer["message"]
    assert people.patch("editor", f"{there}/status", {"status": {"size": "100-119"}})[0] == 200


FIGURES = {
    "Dataset": ({"budget": "3", "available": "1"}, {"available": "9"}, {"size": "100-119"}),
    "Hospital": (
        {"ledger": {"entries": 7, "head": f"sha256:{'1' * 64}"}}, {"ledger": {"entries": 1}}, {"datasets": []},
    ),
    "HospitalTask": ({"epsilonReserved": "2", "epsilonSpent": "1"}, {"epsilonReserved": "0"}, {"round": 3}),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "figures"), FIGURES.items(), ids=FIGURES.keys())
def test_figures_of_the_ledger_are_the_operators_in_every_status(people, kind, figures):
    true, changed, free = figures
    made = document(kind, {".metadata.name": "figures"})
    made["metadata"]["namespace"] = "default"
    path = f"/apis/consilia.dev/v1alpha1/namespaces/default/{kind.lower()}s"
    status, answer = people.ask("editor", "POST", path, made)
    assert status == 201, answer
    path += "/figures"
    assert people.patch(OPERATOR, f"{path}/status", {"status": true})[0] == 200
    for change in (changed, dict.fromkeys(true)):
        assert people.patch("editor", f"{path}/status", {"status": change})[0] == 403
    assert people.patch("editor", f"{path}/status", {"status": free})[0] == 200
    people.ask("editor", "DELETE", path)


CLAIMS, SECRETS, DEPLOYMENTS = (
    "/api/v1/namespaces/default/persistentvolumeclaims",
    "/api/v1/namespaces/default/secrets",
    "/apis/apps/v1/namespaces/default/deployments",
)


def claim(name):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def deployment(name):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def secret(name):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}


KEPT = {
    "claim": (CLAIMS, claim, "consilia-ledger"),
    "deployment": (DEPLOYMENTS, deployment, "consilia-ledger"),
    "key": (SECRETS, secret, "consilia-identity"),
}


@pytest.mark.parametrize(("path", "make", "kept"), KEPT.values(), ids=KEPT.keys())
def test_a_ledger_and_its_key_are_deleted_by_whom_that_was_given_to(people, path, make, kept):
    for name in (kept, "another"):
        people.ask("editor", "POST", path, make(name))
    assert people.ask("editor", "DELETE", f"{path}/another")[0] == 200
    for who in ("editor", OPERATOR, "officer"):
        status, answer = people.ask(who, "DELETE", f"{path}/{kept}")
        assert status == 403
        assert "needs the verb deleteledger" in answer["message"]
    assert people.ask("keeper", "DELETE", f"{path}/{kept}")[0] == 200


def test_all_secrets_of_a_namespace_are_deleted_but_the_key(people):
    for name in ("consilia-identity", "another"):
        people.ask("editor", "POST", SECRETS, secret(name))
    people.ask("editor", "DELETE", SECRETS)
    assert people.ask("editor", "GET", f"{SECRETS}/consilia-identity")[0] == 200
    people.ask("keeper", "DELETE", f"{SECRETS}/consilia-identity")
    people.ask("editor", "POST", SECRETS, secret("another"))
    assert people.ask("editor", "DELETE", SECRETS)[0] == 200
    assert people.ask("editor", "GET", f"{SECRETS}/another")[0] == 404


def test_policies_hold_where_the_operator_looks_after_and_can_be_left_out():
    listed = [each for each in render({"watchNamespaces": ["hub", "a"]}) if each["kind"] == POLICY]
    assert len(listed) == 3
    for each in listed:
        (chosen,) = each["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"]
        assert chosen["values"] == ["hub", "a"]
    kinds = {each["kind"] for each in render({"admission": {"enabled": False}})}
    assert not {POLICY, BINDING} & kinds
