"""What the operator is told at its start: one JSON file, which the chart writes. Each field with unit and default."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from consilia.errors import RunError
from consilia.kafka.settings import Proxy

Role = Literal["Hub", "Hospital"]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]
Issuing = Literal["Builtin", "CertManager"]
Resources = dict[Literal["requests", "limits"], dict[str, str]]
Port = Annotated[int, Field(ge=1, le=65535)]
ListenerName = Annotated[str, Field(pattern=r"^[a-z0-9]{1,11}$")]
"""As Strimzi has it."""


class Section(BaseModel):
    """A part of the settings: camelCase in JSON, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Images(Section):
    """The images of what the operator makes."""

    worker: str = Field(description="Aggregators and trainers of jobs that name no `task.image`.")
    kafka: str = Field(description="Brokers of managed Kafka.")
    pull_policy: PullPolicy = Field(default="IfNotPresent", description="When a node fetches an image.")
    pull_secrets: tuple[str, ...] = Field(default=(), description="Secrets for it, in every namespace that has pods.")


class Sizes(Section):
    """What the pods that the operator makes ask for, as Kubernetes writes it."""

    aggregator: Resources = Field(
        default={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
        description="Of an aggregator.",
    )
    trainer: Resources = Field(
        default={"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "8Gi"}},
        description="Of a trainer, beside its GPUs; `resources.podTemplate` has the last word.",
    )
    ledger: Resources = Field(
        default={"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        description="Of a hospital's ledger, and of what looks at its data.",
    )
    kafka: Resources = Field(
        default={"requests": {"cpu": "250m", "memory": "768Mi"}, "limits": {"memory": "1536Mi"}},
        description="Of a broker of managed Kafka.",
    )


class Storage(Section):
    """Where durable things lie."""

    storage_class: str | None = Field(
        default=None, description="StorageClass of all claims. Default: the cluster's default."
    )
    trainer: str = Field(
        default="2Gi", description="The claim of each trainer for updates on their way: twice the model, and room."
    )
    ledger: str = Field(
        default="1Gi",
        description="The claim of each hospital's ledger, which is never deleted: a kilobyte a round of every job.",
    )


class Certificates(Section):
    """Who issues the certificates of managed Kafka."""

    issuing: Issuing = Field(
        default="Builtin",
        description="`Builtin`: the operator's own authority, one a namespace. `CertManager`: cert-manager.",
    )
    issuer_ref: dict[Literal["name", "kind", "group"], str] | None = Field(
        default=None, description="cert-manager's issuer, which must put its CA into `ca.crt`; for CertManager."
    )
    lasts_days: int = Field(default=90, ge=1, le=3650, description="How long a broker's certificate is valid, in days.")
    renew_days: int = Field(
        default=30, ge=0, le=3650, description="How long before its end it is replaced, in days; less than lastsDays."
    )


class OutsideStrimzi(Section):
    """The Kafka of Strimzi's over which hub and hospitals in other clusters correspond."""

    cluster: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)] = Field(
        default="consilia", description="Name of the `Kafka` resource; it is made if the hub's namespace has none."
    )
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)] | None = Field(
        default=None, description="Its namespace, where it is somebody else's. Default: the hub's."
    )
    listener: ListenerName = Field(
        default="members", description="Name of the listener that hospitals call: `tls: true`, authentication `tls`."
    )
    own_listener: ListenerName = Field(
        default="tls", description="Name of the listener inside the cluster that the hub's operator calls."
    )


class Outside(Section):
    """How hospitals in other clusters reach the hub's log."""

    log: Literal["Managed", "Strimzi"] = Field(
        default="Managed",
        description="Whose Kafka the hub's log is, for hospitals in other clusters: the operator's own, or Strimzi's. "
        "Jobs with such hospitals must run over the same.",
    )
    strimzi: OutsideStrimzi = Field(default=OutsideStrimzi(), description="Which one, for `log: Strimzi`.")
    type: Literal["None", "NodePort", "LoadBalancer"] = Field(
        default="None",
        description="The kind of Service that each broker gets for them. `None`: they do not reach it. For Strimzi: "
        "of a Kafka that the operator makes; one that is there is used as it is.",
    )
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:{}-]+$", max_length=253)] | None = Field(
        default=None,
        description="The name or address that they call; `{broker}` in it stands for the broker's number, from 0. "
        "Needed unless `type` is None.",
    )
    port: Port = Field(
        default=30093,
        description="NodePort: of broker 0; broker n has the n-th port after it. LoadBalancer: of every broker. With "
        "Strimzi NodePort needs one more behind the last broker's, which hospitals do not call.",
    )

    @property
    def of_managed(self) -> "Outside":
        """The same for managed Kafka: nobody reaches it where the log is another."""
        return self if self.log == "Managed" else Outside()

    def address(self, broker: int) -> str:
        """Of that broker, as host:port."""
        host = (self.host or "").replace("{broker}", str(broker))
        return f"{host}:{self.port + (broker if self.type == 'NodePort' else 0)}"


class OutboundProxy(Section):
    """A hospital's way out to its hub's log, where there is only one."""

    url: Proxy | None = Field(
        default=None, description="http://host:port (by CONNECT), socks5:// or socks5h://. Default: there is none."
    )
    username: str | None = Field(default=None, min_length=1, description="The user there, if it asks for one.")
    secret: str = Field(
        default="consilia-proxy",
        description="The Secret in the hospital's namespace with that user's password, as `password`.",
    )


class OfferedGpus(Section):
    """GPUs of one kind."""

    product: str = Field(min_length=1, max_length=253, description="The kind, such as NVIDIA-H100.")
    count: int = Field(ge=0, le=100_000, description="How many the hospital offers.")


class GpuTest(Section):
    """What `helm test` asks for to see whether PyTorch can use GPUs here."""

    gpus: int = Field(
        default=0, ge=0, le=64, description="So many `nvidia.com/gpu`, in one pod as a trainer's. 0: it does not look."
    )
    runtime_class_name: str | None = Field(
        default=None, description="The RuntimeClass by which containers get GPUs here. Default: the nodes' own."
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Nodes that it is tried on.")
    tolerations: tuple[dict[str, Any], ...] = Field(
        default=(), description="Taints of these nodes, as a pod's `tolerations` has them."
    )
    seconds: int = Field(
        default=180,
        ge=5,
        le=3600,
        description="How long it may take until the pod has a GPU, its image is fetched and PyTorch has computed. Give "
        "`helm test` a longer `--timeout` than that.",
    )


class MonitoringPeers(Section):
    """Who may read the metrics of what the operator makes."""

    namespace_labels: dict[str, str] = Field(
        default_factory=dict, description="Labels of the namespaces that may. Default: every namespace."
    )


class OperatorSettings(Section):
    """All of it."""

    roles: tuple[Role, ...] = Field(
        default=("Hub", "Hospital"),
        min_length=1,
        description="`Hub`: FederatedJobs and Hospitals. `Hospital`: Datasets and HospitalTasks. Both in one cluster.",
    )
    hospital: str | None = Field(
        default=None,
        description="The namespace of the hospital that follows a hub in another cluster over the log. Default: none.",
    )
    namespaces: tuple[str, ...] = Field(
        default=(), description="The namespaces to look after, whose Roles it has. Default: all, with a ClusterRole."
    )
    images: Images = Field(description="The images of what the operator makes.")
    sizes: Sizes = Field(default=Sizes(), description="What its pods ask for.")
    storage: Storage = Field(default=Storage(), description="Where durable things lie.")
    certificates: Certificates = Field(default=Certificates(), description="Who issues certificates.")
    outside: Outside = Field(default=Outside(), description="How hospitals in other clusters reach the hub's log.")
    proxy: OutboundProxy = Field(default=OutboundProxy(), description="A hospital's way out to its hub's log.")
    isolation: Literal["Required", "Ignored"] = Field(
        default="Required",
        description="What a hospital with a cluster of its own does where NetworkPolicies are not enforced: `Required` "
        "lets no job in without differential privacy, `Ignored` does.",
    )
    gpus: tuple[OfferedGpus, ...] = Field(
        default=(),
        max_length=32,
        description="What the hub is told of the hospital's GPUs, for its `Hospital`. The operator cannot count them: "
        "nodes are not its to see. What a job gets is decided by the Dataset's `approval.maxGpus` and the scheduler.",
    )
    gpu_test: GpuTest = Field(
        default=GpuTest(), description="What `helm test` asks for to see whether PyTorch can use GPUs here."
    )
    monitoring: MonitoringPeers = Field(default=MonitoringPeers(), description="Who may read metrics.")
    cluster_domain: str = Field(default="cluster.local", description="The cluster's DNS domain.")
    network_policies: bool = Field(default=True, description="Make a NetworkPolicy beside each pod.")
    resync_seconds: float = Field(
        default=300, ge=10, description="How often everything is looked at anew, whether or not it changed, in seconds."
    )
    workers: int = Field(default=8, ge=1, le=64, description="How many objects are reconciled at once.")
    metrics_port: Port = Field(default=8080, description="Where /metrics, /healthz and /readyz are served.")
    dead_watch_seconds: float = Field(
        default=90, ge=15, description="How long a heartbeat may not come back through the watch, in seconds."
    )
    lease_seconds: int = Field(
        default=30, ge=10, le=600, description="How long the operator's Lease holds without renewal, in seconds."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="What is written to standard error."
    )
    log_format: Literal["Text", "Json"] = Field(default="Text", description="How it is written.")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            RunError: it is missing, no JSON, or a field is wrong.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            message = f"cannot use the operator's settings in {path}: {error}."
            raise RunError(message, remedy="Correct the chart's values under `operator`.") from None

    def as_document(self) -> dict[str, Any]:
        """As it stands in the file, defaults filled in."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
