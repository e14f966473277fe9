"""What the operator may do: enough for everything that it reads and writes, and no more."""

import pytest
from chart import one, render

from consilia_operator import heartbeat, kinds, lease
from consilia_operator.kinds import Kind

OWN = "operators:consilia-operator"
HOSPITALS = ["hub", "riverside"]
PLURALS = ("federatedjobs", "hospitals", "datasets", "hospitaltasks")
MODES = {"cluster": {}, "namespaces": {"watchNamespaces": HOSPITALS}}
each_mode = pytest.mark.parametrize("values", MODES.values(), ids=MODES.keys())
STRIMZI, CERT_MANAGER = "kafka.strimzi.io", "cert-manager.io"
ALL_ON = {
    "rbac": {"strimzi": "Enabled"},
    "operator": {"certificates": {"issuing": "CertManager", "issuerRef": {"name": "ca"}}},
}


def roles(documents):
    return [each for each in documents if each["kind"] in {"Role", "ClusterRole"}]


def operators(documents):
    """The roles that are bound to the operator, with the kind of their binding."""
    for binding in documents:
        if binding["kind"] in {"RoleBinding", "ClusterRoleBinding"}:
            assert binding["subjects"] == [
                {"kind": "ServiceAccount", "name": "consilia-operator", "namespace": "operators"}
            ]
            where = binding["metadata"].get("namespace")
            reference = binding["roleRef"]
            (role,) = (
                each
                for each in roles(documents)
                if (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace"))
                == (reference["kind"], reference["name"], where if reference["kind"] == "Role" else None)
            )
            yield where, role


def granted(rules):
    """Group, resource, verb of everything that is allowed for objects of any name."""
    return {
        (group, resource, verb)
        for rule in rules
        if "resourceNames" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@each_mode
def test_nothing_is_allowed_by_a_wildcard_and_nothing_that_makes_one_mighty(values):
    for role in roles(render(values | ALL_ON)):
        for group, resource, verb in granted(role["rules"]):
            assert "*" not in {group, resource, verb}
            assert verb not in {"escalate", "bind", "impersonate", "approve", "sign"}
            assert group not in {"rbac.authorization.k8s.io", "admissionregistration.k8s.io", "authentication.k8s.io"}
            assert resource not in {"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "nodes/proxy"}
            assert resource not in {"serviceaccounts", "serviceaccounts/token", "nodes", "customresourcedefinitions"}
            assert (resource, verb) not in {("pods", "create"), ("pods", "patch"), ("pods", "update")}


MAKE = {"get", "create", "patch"}
FOLLOW = {"get", "list", "watch"}
NEEDED = {
    kinds.FEDERATED_JOB: FOLLOW | {"delete"},  # runPolicy.ttlSecondsAfterFinished
    kinds.HOSPITAL: FOLLOW,
    kinds.DATASET: FOLLOW,
    kinds.HOSPITAL_TASK: FOLLOW | MAKE | {"delete"},
    kinds.POD: FOLLOW,
    kinds.POD_TEMPLATE: {"list", "watch"},
    kinds.SECRET: MAKE,
    kinds.CONFIG_MAP: MAKE,
    kinds.SERVICE: MAKE,
    kinds.PVC: {"get", "list", "create"},
    kinds.DEPLOYMENT: FOLLOW | MAKE,
    kinds.STATEFUL_SET: FOLLOW | MAKE,
    kinds.JOB: FOLLOW | MAKE | {"delete"},
    kinds.NETWORK_POLICY: MAKE,
    kinds.POD_DISRUPTION_BUDGET: MAKE,
    kinds.EVENT: {"create"},
    kinds.STRIMZI_KAFKA: MAKE | {"list", "delete"},
    kinds.STRIMZI_NODE_POOL: MAKE | {"list", "delete"},
    kinds.STRIMZI_USER: MAKE | {"list", "delete"},
    kinds.STRIMZI_TOPIC: MAKE | {"list", "delete"},
    kinds.CERTIFICATE: MAKE,
}
"""What the operator does with each kind where it works; Secrets are never listed or watched."""
ELSEWHERE = {kinds.LEASE, kinds.NAMESPACE}
"""In its own namespace, and of the cluster."""
STATUSES = {(kinds.FEDERATED_JOB.group, f"{plural}/status", "patch") for plural in PLURALS}
OWNERS = {("consilia.dev", f"{owner}/finalizers", "update") for owner in ("federatedjobs", "datasets", "hospitaltasks")}


def test_the_table_above_holds_every_kind_that_the_operator_knows():
    known = {kind for kind in vars(kinds).values() if isinstance(kind, Kind)}
    assert known == NEEDED.keys() | ELSEWHERE


@each_mode
def test_it_may_do_its_work_on_every_kind_and_nothing_besides(values):
    documents = render(ALL_ON | values)
    namespaces = values.get("watchNamespaces", [None])
    wanted = {(kind.group, kind.plural, verb) for kind, verbs in NEEDED.items() for verb in verbs} | STATUSES | OWNERS
    own = set() if values else {("", "namespaces", verb) for verb in FOLLOW}
    for namespace in namespaces:
        (role,) = (role for where, role in operators(documents) if where == namespace)
        assert granted(role["rules"]) == wanted | own


@each_mode
def test_it_never_changes_what_people_wrote(values):
    for _, role in operators(render(values)):
        rights = granted(role["rules"])
        people = {"federatedjobs", "hospitals", "datasets"}
        assert not {(resource, verb) for _, resource, verb in rights if resource in people} & {
            (resource, verb) for resource in people for verb in ("create", "patch", "update")
        }


def test_in_its_own_namespace_it_has_a_lease_and_a_heartbeat():
    (rules,) = (role["rules"] for where, role in operators(render()) if where == "operators")
    by_name = {
        (rule["resources"][0], *rule["resourceNames"]): rule["verbs"] for rule in rules if "resourceNames" in rule
    }
    assert by_name == {("leases", lease.NAME): ["get", "update"], ("podtemplates", heartbeat.NAME): ["patch"]}
    assert granted(rules) == {
        ("coordination.k8s.io", "leases", "create"),
        *(("", "podtemplates", verb) for verb in ("list", "watch", "create")),
    }


def test_what_the_operator_makes_for_itself_goes_with_the_release():
    documents = render()
    assert one(documents, "Lease", lease.NAME)["metadata"]["namespace"] == "operators"
    assert one(documents, "PodTemplate", heartbeat.NAME)["metadata"]["namespace"] == "operators"


def test_namespaced_it_can_do_without_anything_of_the_cluster():
    documents = render(MODES["namespaces"] | {"crds": {"install": False}, "rbac": {"namespaceReader": False},
                                              "admission": {"enabled": False}})  # fmt: skip
    assert {where for where, role in operators(documents)} == {*HOSPITALS, "operators"}
    assert not [each for each in documents if each["kind"].startswith(("Cluster", "CustomResource", "Validating"))]
    (own,) = (role["rules"] for where, role in operators(documents) if where == "operators")
    assert {verb for group, _, verb in granted(own) if group == "consilia.dev"} == {"list", "watch"}


def test_namespaced_it_reads_the_labels_of_just_the_namespaces_that_it_is_told_of():
    documents = render(MODES["namespaces"])
    (cluster,) = (role for role in roles(documents) if role["kind"] == "ClusterRole")
    assert cluster["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": HOSPITALS, "verbs": ["get"]}
    ]


def test_cluster_wide_it_watches_namespaces_for_their_consent():
    (rules,) = (role["rules"] for where, role in operators(render()) if where is None)
    assert {verb for group, resource, verb in granted(rules) if resource == "namespaces"} == {"get", "list", "watch"}


@pytest.mark.parametrize(
    ("strimzi", "apis", "expected"),
    [
        ("Auto", [], False),
        ("Auto", ["kafka.strimzi.io/v1"], True),
        ("Enabled", [], True),
        ("Disabled", ["kafka.strimzi.io/v1"], False),
    ],
)
def test_strimzis_resources_are_its_to_manage_where_they_are(strimzi, apis, expected):
    rules = one(render({"rbac": {"strimzi": strimzi}}, apis=apis), "ClusterRole", OWN)["rules"]
    assert (STRIMZI in {group for group, _, _ in granted(rules)}) is expected


def test_cert_managers_resources_are_its_to_manage_when_it_issues():
    groups = {group for group, _, _ in granted(one(render(ALL_ON), "ClusterRole", OWN)["rules"])}
    assert CERT_MANAGER in groups
    assert CERT_MANAGER not in {group for group, _, _ in granted(one(render(), "ClusterRole", OWN)["rules"])}


def test_without_roles_of_ours_the_administrators_account_is_used():
    documents = render(
        {"rbac": {"create": False, "userRoles": False}, "serviceAccount": {"create": False, "name": "ours"}}
    )
    assert roles(documents) == []
    assert "ServiceAccount" not in {each["kind"] for each in documents}
    assert one(documents, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "ours"


AGGREGATED = {"view": "consilia-view", "edit": "consilia-edit", "admin": "consilia-admin"}


def test_people_see_with_view_run_jobs_with_edit_and_decide_with_admin():
    documents = render()
    may = {name: granted(one(documents, "ClusterRole", role)["rules"]) for name, role in AGGREGATED.items()}
    assert {verb for _, _, verb in may["view"]} == {"get", "list", "watch"}
    assert {resource for _, resource, _ in may["edit"]} == {"federatedjobs"}
    assert {resource for _, resource, _ in may["admin"]} == {"hospitals", "datasets", "hospitaltasks"}
    assert ("consilia.dev", "hospitaltasks", "create") not in may["admin"], "only the operator makes offers"
    for name, role in AGGREGATED.items():
        labels = one(documents, "ClusterRole", role)["metadata"]["labels"]
        assert labels[f"rbac.authorization.k8s.io/aggregate-to-{name}"] == "true"


def test_to_raise_a_budget_is_a_right_that_nobody_has_by_editing():
    documents = render()
    approver = one(documents, "ClusterRole", "consilia-budget-approver")
    assert ("consilia.dev", "datasets", "raisebudget") in granted(approver["rules"])
    assert not [label for label in approver["metadata"]["labels"] if "aggregate-to" in label]
    others = [each for each in roles(documents) if each is not approver]
    assert not {"raisebudget", "deleteledger"} & {verb for each in others for _, _, verb in granted(each["rules"])}


APPROVERS = {"cluster": (MODES["cluster"], [None]), "some namespaces": (MODES["namespaces"], HOSPITALS)}


@pytest.mark.parametrize("users", [True, False], ids=["with users' roles", "without"])
@pytest.mark.parametrize(("values", "places"), APPROVERS.values(), ids=APPROVERS.keys())
def test_whoever_guards_budgets_brings_the_role_that_may_raise_them(values, places, users):
    documents = render(values | {"rbac": {"userRoles": users}})
    found = [each for each in roles(documents) if each["metadata"]["name"] == "consilia-budget-approver"]
    assert [each["metadata"].get("namespace") for each in found] == places
    assert all(("consilia.dev", "datasets", "raisebudget") in granted(each["rules"]) for each in found)
    unguarded = render(values | {"admission": {"enabled": False}})
    assert "consilia-budget-approver" not in {each["metadata"]["name"] for each in roles(unguarded)}


@each_mode
def test_the_operator_cannot_delete_what_holds_a_ledger(values):
    for _, role in operators(render(values)):
        rights = {(resource, verb) for _, resource, verb in granted(role["rules"])}
        kept = {"persistentvolumeclaims", "deployments", "secrets", "configmaps", "datasets"}
        assert not {(resource, verb) for resource in kept for verb in ("delete", "deletecollection")} & rights
