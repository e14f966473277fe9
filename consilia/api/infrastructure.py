"""Where the job runs and what it talks through: `spec.transport`, `spec.resources` and `spec.stream`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from consilia.api.resource import ApiObject
from consilia.api.rules import Rule
from consilia.api.scalars import Int, JsonObject, KeyedList, Name, Quantity, ShortText

StartAt = Literal["Latest", "Earliest"]

Brokers = Annotated[
    Int,
    Field(ge=1, le=3),
    Rule(
        cel="self == 1 || self == 3",
        holds=lambda count: count in {1, 3},
        message="must be 1 or 3",
        remedy="write 3 to go on without one of them, or 1; a vote among two is lost with either",
    ),
]


ServerAddress = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-\[\]:]+:[0-9]{1,5}$", max_length=253)]


class ManagedTransport(ApiObject):
    """Kafka that the operator runs: one in the job's namespace, shared by its jobs, whose end it outlives."""

    brokers: Brokers = Field(default=1, description="How many brokers: 1, or 3, which go on without one of them.")
    storage: Quantity = Field(default="10Gi", description="Disk of each broker.")


class StrimziTransport(ApiObject):
    """A Kafka cluster that Strimzi runs."""

    cluster: ShortText = Field(min_length=1, description="Name of the `Kafka` resource.")
    namespace: Name | None = Field(default=None, description="Its namespace. Default: the job's.")
    listener: Name = Field(default="tls", description="Name of the listener to connect to.")
    user: ShortText | None = Field(
        default=None, description="Name of the `KafkaUser` that the aggregator is. Default: one made for the job."
    )


class SecretRef(ApiObject):
    """A Secret in the job's namespace."""

    name: ShortText = Field(min_length=1, description="Name of the Secret.")


class ExternalTransport(ApiObject):
    """A Kafka cluster that somebody else runs."""

    bootstrap_servers: Annotated[
        tuple[ServerAddress, ...],
        Field(min_length=1, max_length=16),
        KeyedList(),
    ] = Field(description="Addresses to begin with, as host:port.")
    secret_ref: SecretRef | None = Field(
        default=None,
        description="Credentials: `ca.crt`, and `user.crt` with `user.key` or `username` with `password`.",
    )


class TransportSpec(ApiObject):
    """The log between the parties."""

    managed: ManagedTransport | None = Field(default=None, description="Kafka run by the operator.")
    strimzi: StrimziTransport | None = Field(default=None, description="Kafka run by Strimzi.")
    external: ExternalTransport | None = Field(default=None, description="Kafka run by somebody else.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="[has(self.managed), has(self.strimzi), has(self.external)].exists_one(given, given)",
            holds=lambda spec: [spec.managed, spec.strimzi, spec.external].count(None) == 2,
            message="transport needs exactly one of managed, strimzi and external",
            remedy="keep one of them; without transport, Kafka is managed",
        ),
    )


class ResourcesSpec(ApiObject):
    """What a hospital's trainer asks its cluster for."""

    gpu: Int = Field(default=0, ge=0, le=64, description="GPUs of each trainer, as nvidia.com/gpu.")
    pod_template: JsonObject | None = Field(
        default=None,
        description="Merged over the trainer's own pod template: node selectors, tolerations, MIG, resource claims. "
        "What could touch the hospital's safety is refused.",
    )


class StreamTrigger(ApiObject):
    """When a hospital has seen enough to take part in a round."""

    records: Int | None = Field(default=None, ge=1, le=1_000_000_000, description="After this many new records.")
    seconds: Int | None = Field(
        default=None, ge=1, le=2_592_000, description="After this time since the last round, in seconds."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.records) || has(self.seconds)",
            holds=lambda spec: spec.records is not None or spec.seconds is not None,
            message="trigger needs records, seconds or both (whichever comes first)",
            remedy="set one of them, for example records: 1000",
        ),
    )


class StreamSpec(ApiObject):
    """Learning from a live Kafka topic inside the hospital instead of a data set at rest."""

    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=249)] = Field(
        description="The topic in the hospital's own Kafka, whose address is the hospital's affair."
    )
    start_at: StartAt = Field(
        default="Latest", description="Where reading starts the first time: new records only, or all that are kept."
    )
    window_records: Int = Field(
        default=10_000, ge=1, le=1_000_000_000, description="The most recent records that a round trains on."
    )
    trigger: StreamTrigger = Field(description="When a hospital has seen enough to take part in a round.")
