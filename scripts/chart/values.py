"""The values of the chart: values.yaml, its schema and the reference are made from here."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from consilia_operator.settings import OperatorSettings, PullPolicy

Texts = dict[str, str]
Label = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A DNS label, such as the name of a namespace."""
Duration = Annotated[str, Field(pattern=r"^([0-9]+(ms|s|m|h))+$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Taint = Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"]
Quantities = dict[Literal["requests", "limits"], Texts]
Affinity = dict[Literal["nodeAffinity", "podAffinity", "podAntiAffinity"], dict[str, Any]]


class Values(BaseModel):
    """Some values of a chart."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Image(Values):
    """One image."""

    repository: str = Field(min_length=1, description="Its name in the registry.")
    tag: str = Field(default="", description="Its tag. Default: the chart's `appVersion`.")
    digest: str = Field(default="", pattern="^(sha256:[0-9a-f]{64})?$", description="`sha256:…`; it wins over the tag.")


class Images(Values):
    """Where the images are, and how nodes get them."""

    registry: str = Field(
        default="localhost",
        description="What stands before each repository. `make images` builds them as `localhost/…`: push them to a "
        "registry that your nodes reach, and name it here.",
    )
    operator: Image = Field(default=Image(repository="consilia-operator"), description="The operator.")
    worker: Image = Field(
        default=Image(repository="consilia-worker"),
        description="Aggregators and trainers of jobs that name no `task.image`.",
    )
    kafka: Image = Field(default=Image(repository="consilia-kafka"), description="Brokers of managed Kafka.")
    pull_policy: PullPolicy = Field(default="IfNotPresent", description="When a node fetches an image.")
    pull_secrets: tuple[Label, ...] = Field(
        default=(), description="Secrets for it. They must be in every namespace that has pods of ours."
    )


class Crds(Values):
    """The four CustomResourceDefinitions."""

    install: bool = Field(
        default=True, description="Install and upgrade them with the release. Without it, apply `crds/` yourself."
    )
    keep: bool = Field(
        default=True,
        description="Leave them, and with them all jobs, datasets and their records, in the cluster on uninstall.",
    )


class Rbac(Values):
    """What the operator may do, and who may use its resources."""

    create: bool = Field(
        default=True, description="Make the Roles. Without it, bind them to the ServiceAccount yourself."
    )
    namespace_reader: bool = Field(
        default=True,
        description="With `watchNamespaces`: a ClusterRole that reads just these Namespace objects, whose label says "
        "which hub may ask a hospital. Without it, being listed is the consent.",
    )
    user_roles: bool = Field(
        default=True,
        description="Let who has the cluster role `view` see our resources, `edit` change jobs, and `admin` change "
        "hospitals, datasets and decisions as well. Only without `watchNamespaces`.",
    )
    strimzi: Literal["Auto", "Enabled", "Disabled"] = Field(
        default="Auto",
        description="May the operator manage Strimzi's resources, for `transport.strimzi`? `Auto`: if the cluster has "
        "them when the chart is installed or upgraded.",
    )


class Admission(Values):
    """ValidatingAdmissionPolicies: what the cluster refuses, whoever asks."""

    enabled: bool = Field(
        default=True,
        description="Refuse, where the cluster has ValidatingAdmissionPolicies (Kubernetes 1.30), that somebody raises "
        "a privacy budget without the verb `raisebudget`, deletes a ledger without `deleteledger`, or writes into a "
        "status what the ledger says. Needs rights on the whole cluster to install.",
    )


class ServiceAccount(Values):
    """The operator's identity."""

    create: bool = Field(default=True, description="Make it.")
    name: str = Field(default="", description="Its name. Default: `RELEASE-operator`.")
    annotations: Texts = Field(default={}, description="Annotations on it.")


class Monitor(Values):
    """A ServiceMonitor or PodMonitor."""

    enabled: bool = Field(default=True, description="Make it, where the cluster has `monitoring.coreos.com/v1`.")
    interval: Duration = Field(default="30s", description="How often Prometheus scrapes.")
    labels: Texts = Field(default={}, description="Labels by which your Prometheus chooses it.")


class Rules(Values):
    """The PrometheusRule."""

    enabled: bool = Field(default=True, description="Make it, where the cluster has `monitoring.coreos.com/v1`.")
    labels: Texts = Field(default={}, description="Labels by which your Prometheus chooses it.")


class Dashboards(Values):
    """Grafana's dashboards, as ConfigMaps that its sidecar finds."""

    enabled: bool = Field(default=True, description="Make them.")
    namespace: Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")] = Field(
        default="", description="Where. Default: the release's namespace."
    )
    labels: Texts = Field(default={"grafana_dashboard": "1"}, description="Labels by which the sidecar finds them.")
    annotations: Texts = Field(default={}, description="Annotations on them, such as the sidecar's folder.")


class Metrics(Values):
    """What Prometheus and Grafana are given."""

    service_monitor: Monitor = Field(default=Monitor(), description="The operator's metrics.")
    pod_monitor: Monitor = Field(
        default=Monitor(),
        description="The metrics of aggregators, trainers and ledgers, in all namespaces looked after.",
    )
    prometheus_rule: Rules = Field(default=Rules(), description="The alerts.")
    dashboards: Dashboards = Field(default=Dashboards(), description="The dashboards.")


class NetworkPolicy(Values):
    """The operator's NetworkPolicy."""

    enabled: bool = Field(
        default=True,
        description="Let the operator reach DNS, the API server, its own Kafka and programs, and nothing else.",
    )
    api_server_ports: tuple[Port, ...] = Field(
        default=(443, 6443), min_length=1, description="Ports of the API server, before and behind its Service."
    )
    extra_egress: tuple[dict[str, Any], ...] = Field(
        default=(), description="More that it may reach, as a NetworkPolicy's `egress` has it: an external Kafka."
    )


class Toleration(Values):
    """One toleration."""

    key: str = Field(default="", description="The taint's key.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="How the value is compared.")
    value: str = Field(default="", description="The taint's value.")
    effect: Taint = Field(default="", description="The taint's effect.")
    toleration_seconds: int | None = Field(default=None, description="For how long.")


def _operator() -> type[BaseModel]:
    """The settings that do not follow from other values, as the operator itself declares them."""
    own = {
        name: (field.annotation, field) for name, field in OperatorSettings.model_fields.items() if name not in DERIVED
    }
    return create_model("Operator", __base__=Values, __doc__="What the operator is told.", **own)


DERIVED = ("images", "namespaces", "hospital", "proxy", "isolation", "gpus", "gpu_test")
"""Fields of the operator's settings that the chart fills from `images` and `watchNamespaces`, or no hub has use for."""
Operator = _operator()


class ChartValues(Values):
    """All of it."""

    global_: dict[str, Any] = Field(
        default={}, alias="global", description="Not used; there because Helm gives it to every subchart."
    )
    watch_namespaces: tuple[Label, ...] = Field(
        default=(),
        json_schema_extra={"uniqueItems": True},
        description="The namespaces to look after: the hub's and each hospital's. The operator gets a Role in each, "
        "and no ClusterRole. Default: all.",
    )
    images: Images = Field(default=Images(), description="Where the images are, and how nodes get them.")
    operator: Operator = Field(  # type: ignore[valid-type]
        default=Operator(), description="What the operator is told, in its own words."
    )
    crds: Crds = Field(default=Crds(), description="The four CustomResourceDefinitions.")
    rbac: Rbac = Field(default=Rbac(), description="What the operator may do, and who may use its resources.")
    admission: Admission = Field(default=Admission(), description="What the cluster refuses, whoever asks.")
    service_account: ServiceAccount = Field(default=ServiceAccount(), description="The operator's identity.")
    metrics: Metrics = Field(default=Metrics(), description="What Prometheus and Grafana are given.")
    network_policy: NetworkPolicy = Field(default=NetworkPolicy(), description="What the operator may reach.")
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
