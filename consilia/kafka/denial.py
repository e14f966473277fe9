"""Which right a transaction lacks that cannot be committed: kafka-python tells what is denied, not what for."""

from collections.abc import Iterable, Mapping
from contextlib import closing

from kafka import errors as kafka_errors
from kafka.errors import KafkaError

from consilia.kafka.acls import Kind, Operation
from consilia.kafka.errors import plain_errors
from consilia.kafka.probe import Probe
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.translation import denied_topics, unwrapped


def require_rights(
    settings: KafkaSettings, error: KafkaError, *, appended: Iterable[str], offsets: Mapping[str, Iterable[str]]
) -> None:
    """See that `error`, with which a transaction ended, is not for want of a right.

    `appended` are the topics that it writes to; `offsets` those of which it commits offsets, by group.

    Raises:
        ConsiliaError: it is; with the topic or the group.
    """
    told, denied = unwrapped(error), denied_topics(error)
    # The transaction may hear of it a little before its records do.
    for topic in set(appended) & set(denied):
        with plain_errors(settings, doing="write to", topic=topic):
            raise error
    read = [topic for topics in offsets.values() for topic in topics]
    if isinstance(told, kafka_errors.TopicAuthorizationFailedError) and read:
        for topic in denied or _unreadable(settings, read):
            with plain_errors(settings, doing="commit an offset of", topic=topic):
                raise error
    if isinstance(told, kafka_errors.GroupAuthorizationFailedError) and offsets:
        with plain_errors(settings, doing="commit", group=", ".join(offsets)):
            raise error


def _unreadable(settings: KafkaSettings, topics: Iterable[str]) -> list[str]:
    """Which of the topics this party may not read."""
    with closing(Probe(settings)) as probe:
        return [topic for topic in topics if not probe.may(Operation.READ, Kind.TOPIC, topic)]
