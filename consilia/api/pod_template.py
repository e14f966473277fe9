"""What a job may ask of a hospital's cluster for its trainer: `resources.podTemplate`, checked and merged. Pure.

A pod template can do everything that its namespace can: mount Secrets, take the node's network, become another user.
So the researcher's is a list of what may be asked for; whatever is not on it is refused.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from consilia.api.problem import Problem
from consilia.api.shapes import Entries, Fields, Finding, Items, is_object, is_text, shape_problems
from consilia.errors import ManifestError

TRAINER = "trainer"
"""The one container that may be spoken of."""
GPU = "nvidia.com/gpu"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where PyTorch's loaders share memory; a name for what may be mounted there

_SCHEDULING = (
    "kueue.x-k8s.io",
    "scheduling.x-k8s.io",
    "scheduling.k8s.io",
    "scheduling.volcano.sh",
    "volcano.sh",
    "yunikorn.apache.org",
    "cluster-autoscaler.kubernetes.io",
    "karpenter.sh",
    "nvidia.com",
    "run.ai",
)
"""Who reads labels and annotations to place a pod. Others open networks or put containers and secrets beside ours."""
_KEPT = re.compile(
    r"PYTHON|LD_|NVIDIA_|CUDA_INJECTION|CONSILIA_|KUBERNETES_|POD_|GLIBC_|OPENSSL_|SSL_"
    r"|(PATH|HOME|USER|SHELL|IFS|ENV|BASH_ENV|TMPDIR|HOSTNAME|GCONV_PATH)$|.*_PROXY$",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,2})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def pod_template_problems(template: Mapping[str, Any], path: str = "spec.resources.podTemplate") -> list[Problem]:
    """Everything in a researcher's pod template that a hospital's cluster is not to be asked for.

    Args:
        template: what stands in the job, any JSON.
        path: where it stands, for the problems' paths.
    """
    found = list(shape_problems(template, _TEMPLATE, path))
    return found or list(_loose_mounts(template, path))


def merge(pod_template: Mapping[str, Any] | None, own: Mapping[str, Any]) -> dict[str, Any]:
    """The trainer's own pod template with what the researcher asks for put in.

    Where a pod is placed and what it may use is the researcher's to say: of one resource, the researcher's amount
    counts. Lists of named things come together by name. Whatever else is our own stays as it is.

    Args:
        pod_template: what stands in the job; None is nothing.
        own: our pod template, with a container named trainer.

    Raises:
        ManifestError: the template holds what is refused, or a name that is taken by something of our own.
    """
    asked = pod_template or {}
    if found := pod_template_problems(asked):
        raise ManifestError(f"cannot use the job's pod template: {found[0]}", remedy="Correct resources.podTemplate.")
    return {
        **own,
        "metadata": _metadata(asked.get("metadata", {}), own.get("metadata", {})),
        "spec": _spec(asked.get("spec", {}), own["spec"]),
    }


def _metadata(asked: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return {**own, **{kind: _ours_and(asked[kind], own.get(kind, {}), kind) for kind in asked}}


def _spec(asked: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**own, **{key: asked[key] for key in _PLAIN if key in asked}}
    for key in ("nodeSelector", "affinity"):
        if key in asked:
            merged[key] = _ours_and(asked[key], own.get(key, {}), key)
    for key in ("tolerations", "topologySpreadConstraints"):
        if key in asked:
            merged[key] = [*own.get(key, ()), *(item for item in asked[key] if item not in own.get(key, ()))]
    for key in ("resourceClaims", "volumes"):
        if key in asked:
            merged[key] = _by_name(asked[key], own.get(key, ()), key, "name")
    for container in asked.get("containers", ()):
        merged["containers"] = [
            _container(container, each) if each["name"] == TRAINER else each for each in own["containers"]
        ]
    return merged


def _container(asked: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(own)
    for key, name in (("env", "name"), ("volumeMounts", "mountPath")):
        if key in asked:
            merged[key] = _by_name(asked[key], own.get(key, ()), key, name)
    if "resources" in asked:
        merged["resources"] = _resources(asked["resources"], own.get("resources", {}))
    return merged


def _resources(asked: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(own)
    for key in ("requests", "limits"):
        if key in asked:
            merged[key] = {**own.get(key, {}), **asked[key]}
    if "claims" in asked:
        merged["claims"] = _by_name(asked["claims"], own.get("claims", ()), "claims", "name")
    return merged


def _by_name(
    asked: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]], what: str, key: str
) -> list[Mapping[str, Any]]:
    """Our own things, and after them the researcher's."""
    return list(_ours_and({each[key]: each for each in asked}, {each[key]: each for each in own}, what).values())


def _ours_and(asked: Mapping[str, Any], own: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Our own entries, and after them the researcher's, which may not differ from ours."""
    for name in asked:
        if name in own and own[name] != asked[name]:
            message = f"cannot use the job's pod template: {name} of {what} is taken by the trainer's own pod."
            raise ManifestError(message, remedy=f"Remove it from {what} in resources.podTemplate.")
    return {**own, **asked}


def _loose_mounts(template: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Mounts of volumes that the template does not bring along: ours are not to be mounted elsewhere."""
    spec = template.get("spec", {})
    volumes = {volume["name"] for volume in spec.get("volumes", ())}
    for container in spec.get("containers", ()):
        for index, mount in enumerate(container.get("volumeMounts", ())):
            if mount["name"] not in volumes:
                place = f"{path}.spec.containers[0].volumeMounts[{index}].name"
                remedy = f"Name an emptyDir of {path}.spec.volumes."
                yield Problem(path=place, value=mount["name"], rule="is no volume of the template", remedy=remedy)


def _is_amount(value: object) -> Finding | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    fine = number or (isinstance(value, str) and _AMOUNT.fullmatch(value))
    return None if fine else ("must be an amount", 'Write one as Kubernetes does, such as 2 or "16Gi".')


def _is_grace(value: object) -> Finding | None:
    fine = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 3600
    return None if fine else ("must be a number of seconds from 1 to 3600", "Write 30, for example.")


def _is_seconds(value: object) -> Finding | None:
    fine = isinstance(value, int) and not isinstance(value, bool)
    return None if fine else ("must be a whole number of seconds", "Write one.")


def _is_priority(value: object) -> Finding | None:
    if isinstance(value, str) and value.startswith("system-"):
        return ("is kept for the cluster's own pods", "Name a PriorityClass that the hospital made for jobs.")
    return is_text(value)


def _is_trainer(value: object) -> Finding | None:
    return None if value == TRAINER else ("must be trainer", "Only the container named trainer may be spoken of.")


def _is_shared_memory(value: object) -> Finding | None:
    remedy = "Use /tmp for scratch files: it is there already."
    return None if value == SHARED_MEMORY else (f"must be {SHARED_MEMORY}", remedy)


def _is_resource(key: object) -> Finding | None:
    if key == GPU:
        return ("is asked for elsewhere", "Set resources.gpu, which the hospital sees when it decides.")
    return is_text(key)


def _is_variable(value: object) -> Finding | None:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        return ("must be the name of a variable", "Use letters, digits and underscores.")
    if _KEPT.match(value):
        return ("is a variable that the hospital's own programs rely on", "Choose a name of your task's own.")
    return None


def _for_scheduling(key: object) -> Finding | None:
    prefix, slash, _ = str(key).partition("/")
    if slash and any(prefix == domain or prefix.endswith(f".{domain}") for domain in _SCHEDULING):
        return None
    return ("is not for scheduling", f"Remove it; keys may begin with {', '.join(f'{name}/' for name in _SCHEDULING)}.")


_PLAIN = ("runtimeClassName", "priorityClassName", "schedulerName", "terminationGracePeriodSeconds")
_LABELS = Entries(is_text, _for_scheduling)
_AMOUNTS = Entries(_is_amount, _is_resource)
_RESOURCES = Fields(
    {
        "requests": _AMOUNTS,
        "limits": _AMOUNTS,
        "claims": Items(Fields({"name": is_text, "request": is_text}, required=("name",)), key="name"),
    }
)
_CONTAINER = Fields(
    {
        "name": _is_trainer,
        "resources": _RESOURCES,
        "env": Items(Fields({"name": _is_variable, "value": is_text}, ("name", "value")), key="name"),
        "volumeMounts": Items(
            Fields({"name": is_text, "mountPath": _is_shared_memory}, ("name", "mountPath")), key="mountPath"
        ),
    },
    ("name",),
    "Remove it: what runs, as whom and with which files is fixed.",
)
_VOLUME = Fields(
    {"name": is_text, "emptyDir": Fields({"medium": is_text, "sizeLimit": _is_amount})},
    ("name", "emptyDir"),
    f"Remove it: only an emptyDir for {SHARED_MEMORY} may be mounted.",
)
_TOLERATION = Fields(
    {"key": is_text, "operator": is_text, "value": is_text, "effect": is_text, "tolerationSeconds": _is_seconds}
)
_SPEC = Fields(
    {
        "nodeSelector": Entries(is_text, is_text),
        "tolerations": Items(_TOLERATION),
        "affinity": Fields({"nodeAffinity": is_object, "podAffinity": is_object, "podAntiAffinity": is_object}),
        "topologySpreadConstraints": Items(is_object),
        "runtimeClassName": is_text,
        "priorityClassName": _is_priority,
        "schedulerName": is_text,
        "resourceClaims": Items(
            Fields({"name": is_text, "resourceClaimName": is_text, "resourceClaimTemplateName": is_text}, ("name",)),
            key="name",
        ),
        "terminationGracePeriodSeconds": _is_grace,
        "containers": Items(_CONTAINER, most=1),
        "volumes": Items(_VOLUME, key="name"),
    },
    (),
    "Remove it.",
)
_TEMPLATE = Fields(
    MappingProxyType({"metadata": Fields({"labels": _LABELS, "annotations": _LABELS}), "spec": _SPEC}),
)
