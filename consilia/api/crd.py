"""From the types to CustomResourceDefinitions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consilia.api.dataset import Dataset
from consilia.api.federated_job import FederatedJob
from consilia.api.hospital import Hospital
from consilia.api.hospital_task import HospitalTask
from consilia.api.resource import GROUP, VERSION, Resource
from consilia.api.schema import Schema, resource_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    """0 is always shown, 1 with `-o wide` only."""
    description: str

    def as_json(self) -> dict[str, Any]:
        """One entry of `additionalPrinterColumns`."""
        entry = {"name": self.name, "type": self.type, "jsonPath": self.path, "description": self.description}
        return {**entry, "priority": self.priority} if self.priority else entry


AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date", description="How long it has been there.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What the API server is told about one resource beside its schema."""

    resource: type[Resource]
    plural: str
    singular: str
    short: str
    columns: tuple[Column, ...]
    categories: tuple[str, ...] = ("consilia",)

    @property
    def name(self) -> str:
        """The CustomResourceDefinition's name."""
        return f"{self.plural}.{GROUP}"


JOB_COLUMNS = (
    Column(name="State", path=".status.summary.state", description="The condition that matters most now."),
    Column(name="Round", path=".status.summary.rounds", description="Rounds closed of all."),
    Column(name="Hospitals", path=".status.summary.hospitals", description="Hospitals ready of all."),
    Column(name="Metric", path=".status.summary.metric", description="The first metric of the last evaluation."),
    Column(name="Epsilon", path=".status.summary.epsilon", description="The largest ε spent by a hospital."),
    Column(name="Strategy", path=".spec.aggregation.strategy", priority=1, description="How updates are aggregated."),
    Column(name="Dataset", path=".spec.dataset", priority=1, description="The logical data set."),
    AGE,
)

HOSPITAL_COLUMNS = (
    Column(name="Accepted", path=".spec.accepted", type="boolean", description="Whether it may take part in jobs."),
    Column(
        name="Joined",
        path='.status.conditions[?(@.type=="Joined")].status',
        description="Whether it showed its key.",
    ),
    Column(
        name="Available",
        path='.status.conditions[?(@.type=="Available")].status',
        description="Whether it was heard of lately.",
    ),
    Column(name="Heartbeat", path=".status.lastHeartbeat", type="date", description="How long ago it was heard of."),
    Column(name="Version", path=".status.operatorVersion", priority=1, description="Its version of Consilia."),
    AGE,
)

DATASET_COLUMNS = (
    Column(name="Ready", path='.status.conditions[?(@.type=="Ready")].status', description="Whether it can be used."),
    Column(
        name="Reason",
        path='.status.conditions[?(@.type=="Ready")].reason',
        description="Why it can be used, or cannot.",
    ),
    Column(name="Unit", path=".spec.unit", description="Whose presence the budget hides."),
    Column(name="Spent", path=".status.spent", description="ε spent by all jobs."),
    Column(name="Reserved", path=".status.reserved", description="ε promised to running jobs."),
    Column(name="Budget", path=".spec.privacyBudget.epsilon", description="ε over the life of the data."),
    Column(name="Approval", path=".spec.approval.mode", priority=1, description="Who approves jobs."),
    AGE,
)

HOSPITAL_TASK_COLUMNS = (
    Column(name="State", path=".status.state", description="The condition that matters most now."),
    Column(name="Job", path=".spec.job.name", description="The hub's job."),
    Column(name="Dataset", path=".spec.dataset", description="The data set that it asks for."),
    Column(
        name="Round", path=".status.round", type="integer", description="The last round that an update was sent for."
    ),
    Column(name="Epsilon", path=".status.epsilonSpent", description="ε spent so far."),
    Column(name="GPU", path=".spec.gpu", type="integer", priority=1, description="GPUs that it asks for."),
    Column(name="Decision", path=".spec.decision", priority=1, description="What the hospital says."),
    Column(name="Message", path=".status.message", priority=1, description="Why it stands where it stands."),
    AGE,
)

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        resource=FederatedJob,
        plural="federatedjobs",
        singular="federatedjob",
        short="fj",
        columns=JOB_COLUMNS,
        categories=("consilia", "all"),
    ),
    Definition(resource=Hospital, plural="hospitals", singular="hospital", short="hosp", columns=HOSPITAL_COLUMNS),
    Definition(resource=Dataset, plural="datasets", singular="dataset", short="dset", columns=DATASET_COLUMNS),
    Definition(
        resource=HospitalTask,
        plural="hospitaltasks",
        singular="hospitaltask",
        short="ht",
        columns=HOSPITAL_TASK_COLUMNS,
        categories=("consilia", "all"),
    ),
)


def custom_resource_definition(definition: Definition) -> dict[str, Any]:
    """The object that `kubectl apply` takes."""
    kind = definition.resource.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": _names(definition, kind),
            "versions": [_version(definition, resource_schema(definition.resource))],
        },
    }


def _names(definition: Definition, kind: str) -> Mapping[str, Any]:
    return {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": definition.plural,
        "singular": definition.singular,
        "shortNames": [definition.short],
        "categories": list(definition.categories),
    }


def _version(definition: Definition, schema: Schema) -> Mapping[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.as_json() for column in definition.columns],
        "schema": {"openAPIV3Schema": schema},
    }
