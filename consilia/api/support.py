"""What the API can say and this version cannot do yet. A field that does not work yet is refused, never ignored."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from consilia.api.pod_template import pod_template_problems
from consilia.api.problem import Problem
from consilia.api.resource import Resource

Where = Literal["Local", "Cluster"]
"""Where a resource is used: `consilia run` on one machine, or the operator in a cluster."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """One field that is refused when it is set, or set to a value that does not work yet."""

    path: str
    feature: str
    """What does not work, with its verb."""
    remedy: str
    supported: tuple[object, ...] = ()
    """The values that do work; empty where the field as a whole does not."""
    where: tuple[Where, ...] = ("Local", "Cluster")
    """Where it does not work."""

    @property
    def rule(self) -> str:
        """The message."""
        kind = "not supported yet" if "Cluster" in self.where else "not in a local run"
        return f"{kind}: {self.path}: {self.feature}"

    def refuses(self, value: object) -> bool:
        """Whether the field may not hold this; None is an absent field."""
        return value is not None and value not in self.supported


_LOCAL: tuple[Where, ...] = ("Local",)
_CLUSTER: tuple[Where, ...] = ("Cluster",)
_NEEDS = "needs a cluster"
_APPLY = "or kubectl apply the file to a cluster that has the operator."


def _protection(where: tuple[Where, ...]) -> tuple[Unsupported, ...]:
    """What a job and its offer to a hospital have in common."""
    return (
        Unsupported(
            "spec.rounds.mode",
            "asynchronous rounds come with a later version",
            "Set mode: Synchronous.",
            ("Synchronous",),
            where,
        ),
        Unsupported(
            "spec.secureAggregation.mode",
            "secure aggregation comes with a later version",
            "Set mode: None; the aggregator then sees single updates.",
            ("None",),
            where,
        ),
        Unsupported(
            "spec.compression.codec", "compression comes with a later version", "Set codec: None.", ("None",), where
        ),
        Unsupported(
            "spec.personalization",
            "parameters that stay in the hospital come with a later version",
            "Remove the field; all parameters are shared.",
            (),
            where,
        ),
        Unsupported(
            "spec.stream",
            "learning from a live topic comes with a later version",
            "Remove the field; the Dataset at rest is used.",
            (),
            where,
        ),
    )


JOB = (
    Unsupported(
        "spec.task.image",
        f"running a container image {_NEEDS}",
        f"Remove the field, for a local run uses the code that is installed, {_APPLY}",
        where=_LOCAL,
    ),
    *_protection(("Local", "Cluster")),
    Unsupported(
        "spec.transport.managed",
        f"Kafka that is run for the job {_NEEDS}",
        f"Remove transport and give `consilia run` --kafka embedded for a broker on this machine, {_APPLY}",
        where=_LOCAL,
    ),
    Unsupported(
        "spec.transport.strimzi",
        f"finding what Strimzi runs {_NEEDS}",
        "Remove transport and give `consilia run` --kafka with a file of settings for one of its listeners, " + _APPLY,
        where=_LOCAL,
    ),
    Unsupported(
        "spec.transport.external.secretRef",
        f"reading a Secret {_NEEDS}",
        "Remove secretRef and give `consilia run` --kafka with a file of settings that names the credentials, "
        + _APPLY,
        where=_LOCAL,
    ),
    Unsupported(
        "spec.resources",
        f"asking for resources {_NEEDS}",
        f"Remove the field, for training.device chooses between CPU and GPU here, {_APPLY}",
        where=_LOCAL,
    ),
    Unsupported(
        "spec.runPolicy.suspend",
        f"suspending a job {_NEEDS}",
        f"Remove the field, stop the run with Ctrl-C and go on with --resume, {_APPLY}",
        (False,),
        _LOCAL,
    ),
    Unsupported(
        "spec.runPolicy.schedulingTimeoutSeconds",
        f"the limit on waiting for pods {_NEEDS}",
        f"Remove the field, {_APPLY}",
        where=_LOCAL,
    ),
    Unsupported(
        "spec.runPolicy.backoffLimit",
        f"counting failed pods {_NEEDS}",
        f"Remove the field, {_APPLY}",
        where=_LOCAL,
    ),
    Unsupported(
        "spec.runPolicy.ttlSecondsAfterFinished",
        f"clearing up finished jobs {_NEEDS}",
        f"Remove the field, {_APPLY}",
        where=_LOCAL,
    ),
)

HOSPITAL = (
    Unsupported(
        "spec.accepted",
        f"accepting hospitals {_NEEDS}",
        f"Remove the field, for a local run accepts its own, {_APPLY}",
        (False,),
        _LOCAL,
    ),
    Unsupported(
        "spec.publicKey",
        f"enrolling hospitals {_NEEDS}",
        f"Remove the field, for a local run makes its own keys, {_APPLY}",
        where=_LOCAL,
    ),
)

DATASET = (
    Unsupported(
        "spec.source.persistentVolumeClaim",
        f"mounting a claim {_NEEDS}",
        f"Use hostPath or builtin, {_APPLY}",
        where=_LOCAL,
    ),
    Unsupported(
        "spec.approval.mode",
        f"automatic approval {_NEEDS}",
        f"Remove approval, for who starts a local run approves it, {_APPLY}",
        ("Manual",),
        _LOCAL,
    ),
)

HOSPITAL_TASK = (
    Unsupported(
        "spec",
        f"offering a job to a hospital {_NEEDS}",
        "Remove the object: a local run needs none, and in a cluster the operator makes it.",
        where=_LOCAL,
    ),
    *_protection(_CLUSTER),
)

UNSUPPORTED: Mapping[str, tuple[Unsupported, ...]] = MappingProxyType(
    {"FederatedJob": JOB, "Hospital": HOSPITAL, "Dataset": DATASET, "HospitalTask": HOSPITAL_TASK}
)
"""By kind."""

_POD_TEMPLATES: Mapping[str, str] = MappingProxyType(
    {"FederatedJob": "spec.resources.podTemplate", "HospitalTask": "spec.podTemplate"}
)


def unsupported(resource: Resource, where: Where = "Local") -> list[Problem]:
    """What the resource asks for that this version cannot do there, or that a hospital is not to be asked for."""
    document = resource.as_document()
    table = (entry for entry in UNSUPPORTED[document["kind"]] if where in entry.where)
    found = list(_refused(table, document))
    if where == "Cluster":
        found += _unsafe(document)
    return found


def _unsafe(document: Mapping[str, Any]) -> Iterator[Problem]:
    path = _POD_TEMPLATES.get(document["kind"], "")
    template = value_at(document, path)
    if isinstance(template, Mapping):
        yield from pod_template_problems(template, path)


def _refused(table: Iterator[Unsupported], document: Mapping[str, Any]) -> Iterator[Problem]:
    for entry in table:
        value = value_at(document, entry.path)
        if entry.refuses(value):
            shown = "" if isinstance(value, dict) else str(value)
            yield Problem(path=entry.path, value=shown, rule=entry.rule, remedy=entry.remedy)


def value_at(document: object, path: str) -> object:
    """What lies at a dotted path; None where nothing does."""
    for key in path.split("."):
        document = document.get(key) if isinstance(document, Mapping) else None
    return document
