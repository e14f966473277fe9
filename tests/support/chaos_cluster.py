"""A cluster of three brokers that soon notices who is lost, and what its copies of the topics are like."""

from pathlib import Path
from typing import Any

from kafka.errors import KafkaError

from consilia.broker.runtime import Jvm, Runtime
from consilia.errors import LogUnavailableError
from consilia.kafka.connection import make_admin
from consilia.kafka.settings import KafkaSettings

_SOON = ("broker.session.timeout.ms=4000", "broker.heartbeat.interval.ms=500")
"""After so long a silent node counts as lost; a busy one might too, so that Kafka itself waits more than twice that."""


class Hasty(Runtime):
    """Runs nodes that count each other as lost after four seconds."""

    def command(self, folder: Path, main: str, *arguments: str, jvm: Jvm) -> list[str]:
        """The command line; see `Runtime`."""
        hasty = [word for each in _SOON for word in ("--override", each)] if main == "kafka.Kafka" else []
        return super().command(folder, main, *arguments, *hasty, jvm=jvm)


def hasty(runtime: Runtime) -> Hasty:
    """The same Java and jars."""
    return Hasty(java=runtime.java, jars=runtime.jars, template=runtime.template)


def in_sync(settings: KafkaSettings) -> bool:
    """Whether every node has every record of every topic that it is to have."""
    try:
        return all(set(each["isr_nodes"]) == set(each["replica_nodes"]) for each in _partitions(settings, None))
    except (KafkaError, LogUnavailableError):
        return False


def leader(settings: KafkaSettings, topic: str) -> int:
    """The node through which the topic is written and read."""
    (one,) = _partitions(settings, [topic])
    return int(one["leader_id"])


def copies(settings: KafkaSettings, topic: str) -> tuple[set[int], set[int]]:
    """The nodes that are to have a copy of the topic, and those that have all of it."""
    (one,) = _partitions(settings, [topic])
    return set(one["replica_nodes"]), set(one["isr_nodes"])


def _partitions(settings: KafkaSettings, names: list[str] | None) -> list[dict[str, Any]]:
    with make_admin(settings) as admin:
        return [each for topic in admin.describe_topics(names) for each in topic["partitions"]]
