"""The values of the chart for a hospital of its own: values.yaml, its schema and the reference are made from here."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, create_model

from consilia_operator.settings import OperatorSettings, Resources, Sizes
from scripts.chart.values import (
    DERIVED,
    Admission,
    Affinity,
    Crds,
    Image,
    Label,
    Metrics,
    NetworkPolicy,
    Port,
    Quantities,
    ServiceAccount,
    Texts,
    Toleration,
    Values,
)
from scripts.chart.values import Images as HubImages

Cidr = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
_HUBS = ("roles", "certificates", "outside", "sizes")
"""Fields of the operator's settings that say nothing to a hospital, or say it otherwise."""


class Images(Values):
    """Where the images are, and how nodes get them."""

    registry: str = Field(
        default="localhost",
        description="What stands before each repository: a registry that your nodes reach.",
    )
    operator: Image = Field(default=Image(repository="consilia-operator"), description="The operator.")
    worker: Image = Field(
        default=Image(repository="consilia-worker"),
        description="The ledger, inspections, and trainers of jobs that name no `task.image`.",
    )
    pull_policy: HubImages.model_fields["pull_policy"].annotation = Field(  # type: ignore[valid-type]
        default="IfNotPresent", description="When a node fetches an image."
    )
    pull_secrets: tuple[Label, ...] = Field(default=(), description="Secrets for it, in the release's namespace.")


class HospitalSizes(Values):
    """What its pods ask for."""

    trainer: Resources = Field(default=Sizes().trainer, description=Sizes.model_fields["trainer"].description)
    ledger: Resources = Field(default=Sizes().ledger, description=Sizes.model_fields["ledger"].description)


def _operator() -> type[BaseModel]:
    kept = {
        name: (field.annotation, field)
        for name, field in OperatorSettings.model_fields.items()
        if name in {"proxy", "isolation", "gpus", "gpu_test"} or name not in (*DERIVED, *_HUBS)
    }
    sizes = (HospitalSizes, Field(default=HospitalSizes(), description="What its pods ask for."))
    return create_model("HospitalOperator", __base__=Values, __doc__="What the operator is told.", sizes=sizes, **kept)


HospitalOperator = _operator()


class Rbac(Values):
    """What the operator may do."""

    create: bool = Field(
        default=True,
        description="Make the Role, of this namespace alone. Without it, bind it to the ServiceAccount yourself.",
    )


class PodAdmission(Admission):
    """ValidatingAdmissionPolicies: what the cluster refuses, whoever asks, the operator included."""

    claims: tuple[Label, ...] = Field(
        default=(),
        description="PersistentVolumeClaims with patients' data: no pod mounts them but those that a Job of the "
        "operator makes.",
    )
    digests_only: bool = Field(
        default=True,
        description="Refuse pods of the operator's whose images are named by tags, which somebody could exchange. The "
        "images above need `digest` then.",
    )


class Ports(Values):
    """A range of ports."""

    first: Port = Field(description="The first.")
    last: Port = Field(description="The last.")


class Log(Values):
    """Where the hub's log is."""

    ports: tuple[Ports, ...] = Field(
        default=(Ports(first=30093, last=30101),),
        min_length=1,
        description="Ports of the hub's brokers, or of the proxy: ask the hub; `accept` prints them.",
    )
    cidrs: tuple[Cidr, ...] = Field(
        default=(), description="Networks that they are in, as 192.0.2.0/28. Default: any address, on these ports."
    )


class Egress(NetworkPolicy):
    """What may talk to whom."""

    enabled: bool = Field(
        default=True,
        description="Refuse all connections of the namespace's pods, in both directions, but the operator's and those "
        "that its programs need.",
    )
    log: Log = Field(default=Log(), description="The one way out.")


class NamedDataset(Values):
    """A Dataset."""

    name: Label = Field(description="Its logical name, by which jobs ask for it.")
    spec: dict[str, Any] = Field(description="As docs/reference/dataset.md has it.")


class HospitalChartValues(Values):
    """All of it."""

    global_: dict[str, Any] = Field(
        default={}, alias="global", description="Not used; there because Helm gives it to every subchart."
    )
    datasets: tuple[NamedDataset, ...] = Field(
        default=(), description="What the hospital lets be asked for, as Datasets; they outlive the release."
    )
    images: Images = Field(default=Images(), description="Where the images are, and how nodes get them.")
    operator: HospitalOperator = Field(  # type: ignore[valid-type]
        default=HospitalOperator(), description="What the operator is told, in its own words."
    )
    crds: Crds = Field(default=Crds(), description="The four CustomResourceDefinitions.")
    rbac: Rbac = Field(default=Rbac(), description="What the operator may do.")
    admission: PodAdmission = Field(default=PodAdmission(), description="What the cluster refuses, whoever asks.")
    service_account: ServiceAccount = Field(default=ServiceAccount(), description="The operator's identity.")
    metrics: Metrics = Field(default=Metrics(), description="What Prometheus and Grafana are given.")
    network_policy: Egress = Field(default=Egress(), description="What may talk to whom.")
    resources: Quantities = Field(
        default={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        description="What the operator's pod asks for.",
    )
    node_selector: Texts = Field(default={}, description="Nodes that the operator may run on.")
    tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints that the operator's pod tolerates.")
    affinity: Affinity = Field(default={}, description="Where the operator's pod would rather run.")
    priority_class_name: str = Field(default="", description="The operator's PriorityClass.")
    pod_labels: Texts = Field(default={}, description="More labels on the operator's pod.")
    pod_annotations: Texts = Field(default={}, description="More annotations on the operator's pod.")
    common_labels: Texts = Field(default={}, description="More labels on every object of the chart, except the CRDs.")
    common_annotations: Texts = Field(
        default={}, description="Annotations on every object of the chart, except the CRDs."
    )
