import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia.api.pod_template import merge, pod_template_problems
from consilia.errors import ManifestError

OWN = {
    "metadata": {"labels": {"consilia.dev/task": "study"}},
    "spec": {
        "serviceAccountName": "default",
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "log", "secret": {"secretName": "study-log"}}, {"name": "tmp", "emptyDir": {}}],
        "containers": [
            {
                "name": "trainer",
                "image": "worker",
                "args": ["trainer", "/etc/consilia/settings.json"],
                "env": [{"name": "TRAINER_THREADS", "value": "2"}],
                "securityContext": {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "log", "mountPath": "/etc/consilia/log", "readOnly": True}],
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "8Gi"}},
            }
        ],
    },
}
EVERYTHING = {
    "metadata": {
        "labels": {"kueue.x-k8s.io/queue-name": "research"},
        "annotations": {"karpenter.sh/do-not-disrupt": "true"},
    },
    "spec": {
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "runtimeClassName": "nvidia",
        "priorityClassName": "research",
        "schedulerName": "volcano",
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "half-a-gpu"}],
        "terminationGracePeriodSeconds": 120,
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}],
        "containers": [
            {
                "name": "trainer",
                "resources": {
                    "requests": {"memory": "16Gi"},
                    "limits": {"memory": "32Gi", "nvidia.com/mig-1g.10gb": 1},
                    "claims": [{"name": "gpu"}],
                },
                "env": [{"name": "OMP_NUM_THREADS", "value": "4"}],
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
            }
        ],
    },
}


def template(path, value):
    """A template with one thing in it; below `trainer`, in its container."""
    *around, last = path.split(".")
    inner = {last: value}
    for key in reversed(around):
        inner = {"spec": {"containers": [{"name": "trainer", **inner}]}} if key == "trainer" else {key: inner}
    return inner


REFUSED = (
    ("spec", [], "spec"),
    ("status", {}, "status"),
    ("metadata.name", "mine", "metadata.name"),
    ("metadata.labels", {"consilia.dev/job": "other"}, "metadata.labels[consilia.dev/job]"),
    ("metadata.labels", {"app.kubernetes.io/managed-by": "me"}, "metadata.labels[app.kubernetes.io/managed-by]"),
    ("metadata.labels", {"app": "may-reach-the-internet"}, "metadata.labels[app]"),
    ("metadata.labels", {"kueue.x-k8s.io/queue-name": 1}, "metadata.labels[kueue.x-k8s.io/queue-name]"),
    ("metadata.annotations", {"k8s.v1.cni.cncf.io/networks": "a"}, "metadata.annotations[k8s.v1.cni.cncf.io/networks]"),
    ("metadata.annotations", {"evil-nvidia.com/a": ""}, "metadata.annotations[evil-nvidia.com/a]"),
    *(
        (f"spec.{field}", value, f"spec.{field}")
        for field, value in (
            ("serviceAccountName", "admin"),
            ("automountServiceAccountToken", True),
            ("hostNetwork", True),
            ("hostPID", True),
            ("hostIPC", True),
            ("hostUsers", True),
            ("hostAliases", []),
            ("nodeName", "node-1"),
            ("securityContext", {"runAsUser": 0}),
            ("initContainers", []),
            ("ephemeralContainers", []),
            ("imagePullSecrets", []),
            ("shareProcessNamespace", True),
            ("dnsConfig", {}),
            ("dnsPolicy", "None"),
            ("restartPolicy", "Always"),
            ("activeDeadlineSeconds", 1),
            ("schedulingGates", []),
            ("tolerations", "all"),
            ("nodeSelector", ["gpu"]),
            ("priorityClassName", "system-node-critical"),
            ("terminationGracePeriodSeconds", 0),
            ("terminationGracePeriodSeconds", True),
            ("runtimeClassName", {}),
        )
    ),
    ("spec.nodeSelector", {"gpu": True}, "spec.nodeSelector[gpu]"),
    ("spec.tolerations", [{"effect": "NoSchedule", "seconds": 1}], "spec.tolerations[0].seconds"),
    ("spec.tolerations", [{}] * 65, "spec.tolerations"),
    ("spec.affinity", {"hostAffinity": {}}, "spec.affinity.hostAffinity"),
    ("spec.volumes", [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}], "spec.volumes[0].hostPath"),
    ("spec.volumes", [{"name": "a", "secret": {}, "emptyDir": {}}], "spec.volumes[0].secret"),
    ("spec.volumes", [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}], "spec.volumes[1]"),
    ("spec.containers", [{"name": "spy"}], "spec.containers[0].name"),
    ("spec.containers", [{"resources": {}}], "spec.containers[0].name"),
    ("spec.containers", [{"name": "trainer"}, {"name": "trainer"}], "spec.containers"),
    *(
        (f"trainer.{field}", value, f"spec.containers[0].{field}")
        for field, value in (
            ("image", "mine"),
            ("command", ["sh"]),
            ("args", ["-c"]),
            ("securityContext", {"privileged": True}),
            ("envFrom", []),
            ("lifecycle", {}),
            ("volumeDevices", []),
            ("ports", []),
            ("workingDir", "/"),
        )
    ),
    *(
        ("trainer.env", [{"name": name, "value": "x"}], "spec.containers[0].env[0].name")
        for name in (
            "PYTHONPATH",
            "LD_PRELOAD",
            "ld_preload",
            "NVIDIA_VISIBLE_DEVICES",
            "CONSILIA_DATA",
            "KUBERNETES_SERVICE_HOST",
            "PATH",
            "https_proxy",
            "A B",
            "A\n",
            "",
        )
    ),
    ("trainer.env", [{"name": "A", "value": "", "valueFrom": {}}], "spec.containers[0].env[0].valueFrom"),
    ("trainer.env", [{"name": "A", "value": 1}], "spec.containers[0].env[0].value"),
    ("trainer.resources.limits", {"nvidia.com/gpu": 1}, "spec.containers[0].resources.limits[nvidia.com/gpu]"),
    ("trainer.resources.limits", {"cpu": True}, "spec.containers[0].resources.limits[cpu]"),
    ("trainer.resources.claims", [{"request": "a"}], "spec.containers[0].resources.claims[0].name"),
    (
        "trainer.volumeMounts",
        [{"name": "log", "mountPath": "/dev/shm"}],
        "spec.containers[0].volumeMounts[0].name",
    ),
    ("trainer.volumeMounts", [{"name": "a", "mountPath": "/etc"}], "spec.containers[0].volumeMounts[0].mountPath"),
)


@pytest.mark.parametrize(("path", "value", "where"), REFUSED)
def test_what_could_touch_the_hospitals_safety_is_refused_where_it_stands(path, value, where):
    found = pod_template_problems(template(path, value), "spec.podTemplate")
    assert [problem.path for problem in found] == [f"spec.podTemplate.{where}"]
    assert all(problem.rule and problem.remedy.endswith(".") for problem in found)
    with pytest.raises(ManifestError):
        merge(template(path, value), OWN)


def test_what_a_pod_needs_to_find_its_place_is_let_through():
    assert pod_template_problems(EVERYTHING) == []
    assert pod_template_problems({}) == []


def test_what_is_asked_for_is_in_the_pod():
    pod = merge(EVERYTHING, OWN)
    (trainer,) = pod["spec"]["containers"]
    assert pod["metadata"]["labels"] == {"consilia.dev/task": "study", "kueue.x-k8s.io/queue-name": "research"}
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["log", "tmp", "shm"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 120
    assert trainer["resources"] == {
        "requests": {"cpu": "500m", "memory": "16Gi"},
        "limits": {"memory": "32Gi", "nvidia.com/mig-1g.10gb": 1},
        "claims": [{"name": "gpu"}],
    }
    placed = EVERYTHING["spec"].keys() - {"containers", "volumes"}
    assert {key: pod["spec"][key] for key in placed} == {key: EVERYTHING["spec"][key] for key in placed}


@pytest.mark.parametrize("nothing", [None, {}, {"spec": {}}, {"metadata": {}, "spec": {"containers": []}}])
def test_a_template_that_asks_for_nothing_changes_nothing(nothing):
    assert merge(nothing, OWN) == OWN


@pytest.mark.parametrize(
    "asked",
    [
        template("spec.volumes", [{"name": "log", "emptyDir": {}}]),
        template("trainer.env", [{"name": "TRAINER_THREADS", "value": "8"}]),
    ],
)
def test_a_name_that_our_own_pod_takes_is_refused_and_not_dropped_in_silence(asked):
    assert pod_template_problems(asked) == []
    with pytest.raises(ManifestError, match="taken by the trainer's own pod"):
        merge(asked, OWN)


def keys_of(value):
    match value:
        case dict():
            return {*value, *(key for item in value.values() for key in keys_of(item))}
        case list():
            return {key for item in value for key in keys_of(item)}
    return set()


KEYS = sorted(keys_of(EVERYTHING) | keys_of(OWN) | {"hostPath", "valueFrom", "securityContext", "command"})


def objects(item):
    return st.dictionaries(st.sampled_from(KEYS), item, max_size=4)


SCALARS = st.sampled_from(["trainer", "log", "shm", "/dev/shm", "A", "", 1, -1, True, 0.5])
ANY_JSON = st.recursive(SCALARS, lambda item: st.lists(item, max_size=2) | objects(item), max_leaves=12)


def parts(value):
    """Templates with some of its parts, and others with something else in their place."""
    match value:
        case dict():
            return st.fixed_dictionaries({}, optional={key: parts(item) for key, item in value.items()})
        case list():
            return st.tuples(*map(parts, value)).map(list) | st.just([])
    return st.just(value) | SCALARS


@given(objects(ANY_JSON) | parts(EVERYTHING))
def test_whatever_is_asked_for_our_own_pod_survives_or_it_is_refused(asked):
    before = copy.deepcopy((asked, OWN))
    try:
        pod = merge(asked, OWN)
    except ManifestError:
        return
    finally:
        assert (asked, OWN) == before
    ours, theirs = OWN["spec"], pod["spec"]
    assert pod["metadata"]["labels"].items() >= OWN["metadata"]["labels"].items()
    for field in ("serviceAccountName", "automountServiceAccountToken", "restartPolicy", "securityContext"):
        assert theirs[field] == ours[field]
    assert theirs["volumes"][:2] == ours["volumes"]
    (own,), (trainer,) = ours["containers"], theirs["containers"]
    for field in ("name", "image", "args", "securityContext"):
        assert trainer[field] == own[field]
    assert trainer["env"][:1] == own["env"]
    assert trainer["volumeMounts"][:1] == own["volumeMounts"]
    assert theirs.keys() <= ours.keys() | EVERYTHING["spec"].keys()
    assert trainer.keys() == own.keys()


@given(objects(ANY_JSON))
def test_any_json_is_judged_and_never_a_crash(asked):
    assert all(problem.path.startswith("spec.resources.podTemplate") for problem in pod_template_problems(asked))
