"""Why a topic cannot be used although its cluster answers: kafka-python tries again and again, and does not say why."""

from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, NoError, for_code

from consilia.errors import ConsiliaError, LogUnavailableError
from consilia.kafka.connection import make_admin
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.translation import Failure, translate

_MIN_ISR = "min.insync.replicas"


def diagnose_topics(settings: KafkaSettings, doing: str, topics: Iterable[str]) -> ConsiliaError | None:
    """What keeps this party from `doing` it with the first of the topics that is in trouble; None if none is.

    `doing` begins with a verb, as in `Failure`. The cluster must answer, see `diagnose`.
    """
    wanted = list(topics)
    if not wanted:
        return None
    try:
        with make_admin(settings) as admin:
            found = admin.describe_topics(wanted)
            wrong = (_trouble(settings, doing, each) or _too_few(settings, doing, each, admin) for each in found)
            return next((error for error in wrong if error), None)
    except KafkaError as error:
        return translate(Failure(error=error, settings=settings, doing=doing))


def _trouble(settings: KafkaSettings, doing: str, topic: Mapping[str, Any]) -> ConsiliaError | None:
    error = for_code(topic["error_code"])
    if error is not NoError:
        return translate(Failure(error=error(), settings=settings, doing=doing, topic=topic["name"]))
    for partition in topic["partitions"]:
        if partition["leader_id"] < 0:
            holders = ", ".join(map(str, partition["replica_nodes"]))
            message = (
                f"cannot {doing} topic {topic['name']} on Kafka at {settings.where}: every broker with a copy is away."
            )
            return LogUnavailableError(message, remedy=f"Bring one of these brokers back: {holders}.")
    return None


def _too_few(
    settings: KafkaSettings, doing: str, topic: Mapping[str, Any], admin: KafkaAdminClient
) -> ConsiliaError | None:
    in_sync = min(len(each["isr_nodes"]) for each in topic["partitions"])
    copies = max(len(each["replica_nodes"]) for each in topic["partitions"])
    needed = min(_min_in_sync(settings, topic["name"], admin), copies)  # as Kafka itself does
    if in_sync >= needed:
        return None
    message = (
        f"cannot {doing} topic {topic['name']} on Kafka at {settings.where}: "
        f"{in_sync} of its {copies} copies in sync, and its {_MIN_ISR} demands {needed}."
    )
    return LogUnavailableError(message, remedy="Bring the brokers back that are away.")


def _min_in_sync(settings: KafkaSettings, topic: str, admin: KafkaAdminClient) -> int:
    """As the cluster says it; where it does not tell this party, with an error or without, as its settings do."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, [_MIN_ISR])
    try:
        found = admin.describe_configs([resource], config_filter="all")
    except KafkaError:
        found = {}
    told = found.get("topic", {}).get(topic, {}).get(_MIN_ISR)
    return int(told["value"]) if told else settings.min_insync_replicas or 1
