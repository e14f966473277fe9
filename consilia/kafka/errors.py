"""Around every use of kafka-python: what it raises becomes an error of ours, with the cause that it does not tell."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as kafka_errors
from kafka.errors import KafkaError

from consilia.errors import ConsiliaError
from consilia.kafka.diagnosis import diagnose
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.topic_diagnosis import diagnose_topics
from consilia.kafka.translation import AT_THE_DOOR, Failure, translate, unwrapped

_DIAGNOSIS_SECONDS = 2.0
_SILENT = (
    *AT_THE_DOOR,
    kafka_errors.KafkaTimeoutError,
    kafka_errors.KafkaConnectionError,
    kafka_errors.RequestTimedOutError,
    kafka_errors.NodeNotReadyError,
    kafka_errors.BrokerNotAvailableError,
    kafka_errors.MetadataEmptyBrokerList,
    kafka_errors.StaleMetadata,
    kafka_errors.UnknownBrokerIdError,
    kafka_errors.Cancelled,
)
"""What kafka-python raises, among other things, when it cannot reach or enter a broker: it does not say why."""


@contextmanager
def plain_errors(
    settings: KafkaSettings,
    *,
    doing: str,
    topic: str | None = None,
    group: str | None = None,
    transactional_id: str | None = None,
) -> Iterator[None]:
    """Turn what kafka-python raises in the block into our errors; the names are for the message, see `Failure`.

    Where kafka-python only says that it has waited, the brokers are visited to find out why.

    Raises:
        ConsiliaError: for any error of kafka-python's.
    """
    try:
        yield
    except KafkaError as error:
        failure = Failure(
            error=unwrapped(error),
            settings=settings,
            doing=doing,
            topic=topic,
            group=group,
            transactional_id=transactional_id,
        )
        raise _cause(failure) from error


def _cause(failure: Failure) -> ConsiliaError:
    if not isinstance(failure.error, _SILENT):
        return translate(failure)
    if found := diagnose(failure.settings, _DIAGNOSIS_SECONDS):
        message = f"cannot {failure.what} as {failure.settings.principal}: {found.message}"
        return type(found)(message, remedy=found.remedy)
    topics = [failure.topic] if failure.topic else []
    return diagnose_topics(failure.settings, failure.doing, topics) or translate(failure)
