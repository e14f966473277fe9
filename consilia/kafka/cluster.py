"""What is asked of the cluster as such: its topics, where they begin and end, where groups stand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TypeVar
from uuid import UUID

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec

from consilia.errors import LogAccessError, LogError, LogUnavailableError
from consilia.kafka.connection import MESSAGE_BYTES
from consilia.kafka.errors import plain_errors
from consilia.kafka.feed import partition
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.translation import ACLS, unwrapped

_SEGMENT_BYTES = 64 << 20
"""What Kafka deletes and compacts by: of a topic's file only what lies before the newest segment is ever cleaned."""
_SETTLED_SECONDS = 10.0
"""How long a change of topics may take to be known to all brokers."""
_NEWS_SECONDS = 2.0
"""How long a broker may take to hear of a topic that another one knows already."""
_PAUSE = 0.01
_COPIES_MS = 1
"""How long a trim waits for the copies of a topic, in milliseconds. Its leader has let go of the records by then; the
copies follow when they next ask for news, half a second later, or when the broker that holds them is back."""
_MOVING = (
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.CoordinatorLoadInProgressError,
    kafka_errors.NotCoordinatorError,
    kafka_errors.NotLeaderForPartitionError,
    kafka_errors.LeaderNotAvailableError,
)
"""The broker in charge is being replaced, or has not heard of it yet."""

Answer = TypeVar("Answer")


class Cluster:
    """An administrative connection."""

    def __init__(self, settings: KafkaSettings, admin: KafkaAdminClient) -> None:
        """`admin` is this object's own from now on."""
        self._settings, self._admin = settings, admin

    def topics(self) -> Sequence[str]:
        """All topics that this party may see, but Kafka's own, sorted."""
        with self._asking("list the topics"):
            return sorted(topic for topic in self._admin.list_topics() if not topic.startswith("__"))

    def has(self, topic: str, doing: str = "look up") -> bool:
        """Whether the topic exists, and can be read and written now; see `identity`."""
        return self.identity(topic, doing) is not None

    def identity(self, topic: str, doing: str = "look up") -> UUID | None:
        """What tells the topic from an earlier one of its name; None if it is not there, or has no leader yet.

        `doing`, a verb, is what it is asked for.

        Raises:
            LogAccessError: this party may not know.
            LogError: it has more than one partition, so that it is no sequence.
        """
        with self._asking(doing, topic):
            (found,) = self._admin.describe_topics([topic])
            error = kafka_errors.for_code(found["error_code"])
            if error is kafka_errors.UnknownTopicOrPartitionError:
                return None
            if error is not kafka_errors.NoError:
                raise error
        if len(found["partitions"]) != 1:
            message = f"the topic {topic} has {len(found['partitions'])} partitions."
            raise LogError(message, remedy="Make it anew with one: the log needs its records in one order.")
        return UUID(str(found["topic_id"])) if found["partitions"][0]["leader_id"] >= 0 else None

    def create(self, topic: str, *, compacted: bool) -> None:
        """Make the topic unless it exists.

        Raises:
            LogError: it exists and is of the other kind, or the cluster cannot make it as wanted.
            LogAccessError: this party may not create it.
        """
        if not self.ensure(topic, compacted=compacted):
            self._require_kind(topic, compacted=compacted)

    def ensure(self, topic: str, *, compacted: bool = False) -> bool:
        """Make the topic unless one of its name exists, of whichever kind; whether this made it.

        Raises:
            LogAccessError: this party may not create it.
            LogError: the cluster cannot make it as wanted.
        """
        if self.has(topic, "create"):
            return False
        made = True
        with self._asking("create", topic):
            try:
                self._admin.create_topics({topic: self._plan(compacted=compacted)})
            except kafka_errors.TopicAlreadyExistsError:
                made = False
        self._await(topic)
        return made

    def _plan(self, *, compacted: bool) -> dict[str, object]:
        configs = topic_configuration(compacted=compacted)
        if self._settings.min_insync_replicas:
            configs["min.insync.replicas"] = str(self._settings.min_insync_replicas)
        return {"num_partitions": 1, "replication_factor": self._settings.replication_factor or -1, "configs": configs}

    def _await(self, topic: str, *, present: bool = True) -> None:
        deadline = monotonic() + _SETTLED_SECONDS
        while self.has(topic) is not present:
            if monotonic() > deadline:
                state = "there" if present else "gone"
                message = f"the topic {topic} is not {state} after {_SETTLED_SECONDS:.0f} seconds."
                raise LogUnavailableError(message, remedy="See that the cluster's controller and brokers run.")
            sleep(_PAUSE)

    def _require_kind(self, topic: str, *, compacted: bool) -> None:
        deadline = monotonic() + _NEWS_SECONDS
        while (policy := self._policy(topic)) is None:
            if monotonic() > deadline:
                message = f"{self._settings.principal} may not DescribeConfigs of the topic {topic} on Kafka"
                raise LogAccessError(f"{message} at {self._settings.where}.", remedy=f"Allow it: {ACLS}")
            sleep(_PAUSE)
        is_compacted = "compact" in policy
        if is_compacted != compacted:
            raise LogError(
                f"The topic {topic} exists, {'' if is_compacted else 'not '}compacted.",
                remedy="Delete it first, or keep it so.",
            )

    def _policy(self, topic: str) -> str | None:
        """What the topic keeps; None if this party may not know, or the broker asked has not heard of the topic yet.

        kafka-python does not say which.
        """
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, ["cleanup.policy"])
        with self._asking("look up", topic):
            found = self._admin.describe_configs([resource], config_filter="all")
        policy = found["topic"].get(topic, {}).get("cleanup.policy")
        return None if policy is None else str(policy["value"])

    def delete(self, topic: str) -> None:
        """Delete the topic, its records and its committed offsets; nothing happens if it is absent."""
        with self._asking("delete", topic):
            try:
                self._admin.delete_topics([topic])
            except kafka_errors.UnknownTopicOrPartitionError:
                return
        self._await(topic, present=False)

    def end(self, topic: str, *, committed: bool = True) -> int | None:
        """The offset behind the topic's last committed record and its marker; None if there is no such topic.

        If not `committed`, behind all that was written.
        """
        level = "read_committed" if committed else "read_uncommitted"
        try:
            with self._asking("read", topic):
                found = _settled(
                    lambda: self._admin.list_partition_offsets(
                        {partition(topic): OffsetSpec.LATEST}, isolation_level=level
                    )
                )
        except _AbsentError:
            # Kafka says so, too, of a topic that this party may not know of.
            self.has(topic, "read")
            return None
        return int(found[partition(topic)].offset)

    def trim(self, before: Mapping[str, int]) -> None:
        """Let go of the records of each topic below an offset, which must be at or before the topic's `end`."""
        if before:
            name = next(iter(before)) if len(before) == 1 else None
            offsets = {partition(topic): offset for topic, offset in before.items()}
            with self._asking("trim", name):
                try:
                    _settled(lambda: self._admin.delete_records(offsets, timeout_ms=_COPIES_MS))
                except kafka_errors.BrokerResponseError as error:
                    if not isinstance(unwrapped(error), kafka_errors.RequestTimedOutError):
                        raise

    def committed(self, group: str, topic: str) -> int | None:
        """Where `group` stands on `topic`; None if it never committed."""
        with self._asking("look up offsets of", topic, group=group):
            found = _settled(lambda: self._admin.list_group_offsets({group: [partition(topic)]}))[group]
        stands = found.get(partition(topic))
        return int(stands.offset) if stands and stands.offset >= 0 else None

    def close(self) -> None:
        """Leave the cluster."""
        self._admin.close()

    @contextmanager
    def _asking(self, doing: str, topic: str | None = None, *, group: str | None = None) -> Iterator[None]:
        with plain_errors(self._settings, doing=doing, topic=topic, group=group):
            try:
                yield
            except kafka_errors.UnknownTopicOrPartitionError as error:
                raise _AbsentError(str(error)) from error


def topic_configuration(*, compacted: bool) -> dict[str, str]:
    """How a topic of ours is kept, by Kafka's names; it has one partition."""
    return {
        # With `delete` beside it, records may be let go from a compacted topic as well: see `trim`.
        "cleanup.policy": "compact,delete" if compacted else "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "segment.bytes": str(_SEGMENT_BYTES),
        "max.message.bytes": str(MESSAGE_BYTES),
        "min.cleanable.dirty.ratio": "0.5",
        "file.delete.delay.ms": "1000",
        "unclean.leader.election.enable": "false",
    }


def _settled(ask: Callable[[], Answer]) -> Answer:
    """The answer, once the broker that has it is ready: a new one takes a moment to take over from another."""
    deadline = monotonic() + _SETTLED_SECONDS
    while True:
        try:
            return ask()
        except _MOVING:
            if monotonic() > deadline:
                raise
            sleep(_PAUSE)


class _AbsentError(LogError):
    """There is no such topic, or this party may not know of it."""
