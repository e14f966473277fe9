"""From kafka-python's exceptions to ours: what failed, on which broker and topic, for whom, and the way out."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from kafka import errors as kafka_errors
from kafka.errors import KafkaError

from consilia.errors import ConsiliaError, FencedError, LogAccessError, LogError, LogUnavailableError
from consilia.kafka.settings import KafkaSettings

_IN_TEXT = re.compile(r"[{,] ?'([^']+)'")
_SEVERAL = re.compile(r"\(partition=\d+\): (\w+)")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]+")
_TOPIC_DENIED = kafka_errors.TopicAuthorizationFailedError
_QUOTED = re.compile(r"\[Error (\d+)\]")
ACLS = "`consilia kafka acls` prints, and applies, what every party needs."
_OPERATIONS = {
    "write": "Write",
    "read": "Read",
    "follow": "Read",
    "commit": "Read",  # of an offset; that records are denied is told of their own topic
    "create": "Create",
    "delete": "Delete",
    "trim": "Delete",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What kafka-python raised, and while what was being done."""

    error: KafkaError
    settings: KafkaSettings
    doing: str
    """A verb, and what leads on to the topic's name: "write to", "read", "create", "list the topics"."""
    topic: str | None = None
    group: str | None = None
    transactional_id: str | None = None

    @property
    def words(self) -> str:
        """What kafka-python says."""
        return str(self.error).rstrip(". ") or type(self.error).__name__

    @property
    def what(self) -> str:
        """What was being done, and to which topic."""
        return f"{self.doing} topic {self.topic}" if self.topic else self.doing

    @property
    def failed(self) -> str:
        """The beginning of every message: what could not be done, and where."""
        return f"cannot {self.what} on Kafka at {self.settings.where}"

    @property
    def operation(self) -> str:
        """Kafka's name of the right that it takes, as far as the verb tells."""
        return _OPERATIONS.get(self.doing.partition(" ")[0], "Describe")

    @property
    def producer(self) -> str:
        """The producer in words."""
        return (
            f"transactional id {self.transactional_id}" if self.transactional_id else "the producer's transactional id"
        )


def unwrapped(error: KafkaError) -> KafkaError:
    """The error that another one holds, or quotes in its words: so kafka-python tells what ended a producer.

    Of several that a request came to, one that trying again will not cure comes first.
    """
    if type(error) is kafka_errors.BrokerResponseError:
        several = [getattr(kafka_errors, name, KafkaError) for name in _SEVERAL.findall(str(error))]
        return min(several, key=lambda each: bool(each.retriable))(str(error)) if several else error
    if type(error) is not KafkaError:
        return error
    held = next((each for each in error.args if isinstance(each, KafkaError)), None)
    if held is not None:
        return unwrapped(held)
    quoted = _QUOTED.search(str(error))
    return kafka_errors.for_code(int(quoted[1]))(str(error)) if quoted else error


def translate(failure: Failure) -> ConsiliaError:
    """Our error for one of kafka-python's."""
    for classes, explain in _EXPLANATIONS:
        if isinstance(failure.error, classes):
            return explain(failure)
    return _other(failure)


def _denied(failure: Failure, operation: str, resource: str) -> ConsiliaError:
    message = f"{failure.failed}: {failure.settings.principal} may not {operation} {resource}."
    return LogAccessError(message, remedy=f"Allow {operation} on {resource} to it: {ACLS}")


def denied_topics(error: KafkaError) -> list[str]:
    """The topics that kafka-python says are denied to this party, if that is what it says."""
    told = unwrapped(error)
    return sorted(filter(_TOPIC.fullmatch, _names(told))) if isinstance(told, _TOPIC_DENIED) else []


def _topic_denied(failure: Failure) -> ConsiliaError:
    # The one that it was about may not be to blame: in a transaction all records fail with one.
    named = ", ".join(denied_topics(failure.error)) or failure.topic
    return _denied(failure, failure.operation, f"topic {named}" if named else "the topic")


def _names(error: KafkaError) -> list[str]:
    """What kafka-python put into an error: as a set, one by one, or as a set in the middle of a text."""
    given = [name for each in error.args for name in (each if isinstance(each, set | frozenset | list) else [each])]
    return [name for each in given for name in (_IN_TEXT.findall(str(each)) or [str(each)])]


def _group_denied(failure: Failure) -> ConsiliaError:
    return _denied(failure, "Read", f"group {failure.group}" if failure.group else "the consumer group")


def _transactional_id_denied(failure: Failure) -> ConsiliaError:
    return _denied(failure, "Write", failure.producer)


def _cluster_denied(failure: Failure) -> ConsiliaError:
    return _denied(failure, failure.operation, "the cluster")


def _not_let_in(failure: Failure) -> ConsiliaError:
    settings = failure.settings
    message = f"{failure.failed}: the broker does not let {settings.principal} in ({failure.words})."
    return LogAccessError(message, remedy=f"Correct the password in {settings.password}, or username in the settings.")


def _fenced(failure: Failure) -> ConsiliaError:
    message = f"{failure.failed}: a newer process has taken over {failure.producer}, or the transaction took too long."
    return FencedError(message, remedy="Let the newer process do the work; raise transactionSeconds if there is none.")


def _too_large(failure: Failure) -> ConsiliaError:
    message = f"{failure.failed}: the record is larger than the topic takes."
    return LogError(message, remedy="Set the topic's max.message.bytes (the cluster's message.max.bytes) to 3145728.")


def _absent(failure: Failure) -> ConsiliaError:
    message = f"{failure.failed}: there is no such topic, or {failure.settings.principal} may not Describe it."
    return LogError(message, remedy=f"Create the topic, or allow Describe on it: {ACLS}")


def _too_few_replicas(failure: Failure) -> ConsiliaError:
    message = f"{failure.failed}: fewer of its copies are in sync than its min.insync.replicas demands."
    return LogUnavailableError(message, remedy="Bring the brokers back that are away, and try again.")


def _bad_replication(failure: Failure) -> ConsiliaError:
    copies = failure.settings.replication_factor
    message = f"{failure.failed}: there are not enough brokers for {copies or 'that many'} copies of it."
    return LogError(message, remedy="Set replicationFactor to at most the number of brokers.")


def _bad_configuration(failure: Failure) -> ConsiliaError:
    message = f"{failure.failed}: the cluster does not take the topic's settings ({failure.words})."
    return LogError(message, remedy="Change replicationFactor or minInsyncReplicas, or the cluster's policy.")


def _too_old(failure: Failure) -> ConsiliaError:
    message = f"{failure.failed}: the broker is too old for it ({failure.words})."
    return LogError(message, remedy="Use Kafka 3.0 or newer.")


def _other(failure: Failure) -> ConsiliaError:
    message = f"{failure.failed} as {failure.settings.principal}: {failure.words}."
    if failure.error.retriable or isinstance(failure.error, _PASSING):
        return LogUnavailableError(message, remedy="See that the brokers run and can be reached, and try again.")
    return LogError(message, remedy="Look into the broker's log.")


_PASSING = (
    kafka_errors.BrokerNotAvailableError,
    kafka_errors.UnknownBrokerIdError,
    kafka_errors.TransactionAbortedError,
    kafka_errors.InvalidTxnStateError,
)
"""kafka-python calls these final; a broker that comes back, or a new transaction, cures them."""


AT_THE_DOOR = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
)
"""The broker does not let the party in; see `findings` for why not."""
_Explain = Callable[[Failure], ConsiliaError]
_EXPLANATIONS: tuple[tuple[tuple[type[KafkaError], ...], _Explain], ...] = (
    ((_TOPIC_DENIED,), _topic_denied),
    ((kafka_errors.GroupAuthorizationFailedError,), _group_denied),
    ((kafka_errors.TransactionalIdAuthorizationFailedError,), _transactional_id_denied),
    ((kafka_errors.ClusterAuthorizationFailedError,), _cluster_denied),
    (AT_THE_DOOR, _not_let_in),
    (
        (
            kafka_errors.ProducerFencedError,
            kafka_errors.InvalidProducerEpochError,
            kafka_errors.InvalidProducerIdMappingError,
            kafka_errors.TransactionCoordinatorFencedError,
        ),
        _fenced,
    ),
    ((kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError), _too_large),
    ((kafka_errors.UnknownTopicOrPartitionError, kafka_errors.UnknownTopicIdError), _absent),
    ((kafka_errors.NotEnoughReplicasError, kafka_errors.NotEnoughReplicasAfterAppendError), _too_few_replicas),
    ((kafka_errors.InvalidReplicationFactorError,), _bad_replication),
    ((kafka_errors.InvalidConfigurationError, kafka_errors.PolicyViolationError), _bad_configuration),
    ((kafka_errors.UnsupportedVersionError,), _too_old),
)
