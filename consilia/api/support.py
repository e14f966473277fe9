"""What the API can say and this version cannot do yet. A field that does not work yet is refused, never ignored."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from consilia.api.problem import Problem
from consilia.api.resource import Resource


@dataclass(frozen=True, slots=True)
class Unsupported:
    """One field that is refused when it is set, or set to a value that does not work yet."""

    path: str
    feature: str
    """What comes with a later version, with its verb."""
    remedy: str
    supported: tuple[object, ...] = ()
    """The values that do work; empty where the field as a whole does not."""

    @property
    def rule(self) -> str:
        """The message."""
        return f"not supported yet: {self.path}: {self.feature}"

    def refuses(self, value: object) -> bool:
        """Whether the field may not hold this; None is an absent field."""
        return value is not None and value not in self.supported


_OPERATOR = "comes with the operator, in a later version"

JOB = (
    Unsupported(
        "spec.task.image",
        f"running a container image {_OPERATOR}",
        "Remove the field: a local run uses the code that is installed.",
    ),
    Unsupported(
        "spec.rounds.mode", "asynchronous rounds come with a later version", "Set mode: Synchronous.", ("Synchronous",)
    ),
    Unsupported(
        "spec.privacy",
        "differential privacy comes with a later version",
        "Remove the field, and train on data that needs no such protection only.",
    ),
    Unsupported(
        "spec.secureAggregation.mode",
        "secure aggregation comes with a later version",
        "Set mode: None; the aggregator then sees single updates.",
        ("None",),
    ),
    Unsupported("spec.compression.codec", "compression comes with a later version", "Set codec: None.", ("None",)),
    Unsupported(
        "spec.personalization",
        "parameters that stay in the hospital come with a later version",
        "Remove the field; all parameters are shared.",
    ),
    Unsupported(
        "spec.stream",
        "learning from a live topic comes with a later version",
        "Remove the field; the Dataset at rest is used.",
    ),
    Unsupported(
        "spec.transport.managed",
        f"Kafka that is run for the job {_OPERATOR}",
        "Remove transport, and give `consilia run` --kafka embedded for a broker on this machine.",
    ),
    Unsupported(
        "spec.transport.strimzi",
        f"finding what Strimzi runs {_OPERATOR}",
        "Remove transport, and give `consilia run` --kafka with a file of settings for one of its listeners.",
    ),
    Unsupported(
        "spec.transport.external.secretRef",
        f"reading a Secret {_OPERATOR}",
        "Remove secretRef, and give `consilia run` --kafka with a file of settings that names the credentials.",
    ),
    Unsupported(
        "spec.resources",
        f"asking a cluster for resources {_OPERATOR}",
        "Remove the field; training.device chooses between CPU and GPU.",
    ),
    Unsupported(
        "spec.runPolicy.suspend", f"suspending a job {_OPERATOR}", "Stop the run and go on with --resume.", (False,)
    ),
    Unsupported("spec.runPolicy.schedulingTimeoutSeconds", f"the limit on waiting {_OPERATOR}", "Remove the field."),
    Unsupported("spec.runPolicy.backoffLimit", f"starting failed programs again {_OPERATOR}", "Remove the field."),
    Unsupported(
        "spec.runPolicy.ttlSecondsAfterFinished", f"clearing up finished jobs {_OPERATOR}", "Remove the field."
    ),
)

HOSPITAL = (
    Unsupported(
        "spec.accepted", f"accepting hospitals {_OPERATOR}", "Remove the field: a local run accepts its own.", (False,)
    ),
    Unsupported(
        "spec.publicKey", f"enrolling hospitals {_OPERATOR}", "Remove the field: a local run makes its own keys."
    ),
)

DATASET = (
    Unsupported("spec.source.persistentVolumeClaim", f"mounting a claim {_OPERATOR}", "Use hostPath or builtin."),
    Unsupported("spec.unit", "privacy budgets come with a later version", "Remove the field.", ("Record",)),
    Unsupported(
        "spec.approval.mode",
        f"automatic approval {_OPERATOR}",
        "Remove approval: in a local run, who starts the job approves it.",
        ("Manual",),
    ),
    Unsupported("spec.privacyBudget", "privacy budgets come with a later version", "Remove the field."),
)

HOSPITAL_TASK = (
    Unsupported("spec", f"offering a job to a hospital {_OPERATOR}", "Remove the object: a local run needs none."),
)

UNSUPPORTED: Mapping[str, tuple[Unsupported, ...]] = MappingProxyType(
    {"FederatedJob": JOB, "Hospital": HOSPITAL, "Dataset": DATASET, "HospitalTask": HOSPITAL_TASK}
)
"""By kind."""


def unsupported(resource: Resource) -> list[Problem]:
    """What the resource asks for that this version cannot do."""
    document = resource.as_document()
    return list(_refused(UNSUPPORTED[document["kind"]], document))


def _refused(table: tuple[Unsupported, ...], document: Mapping[str, Any]) -> Iterator[Problem]:
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
