"""What these credentials may do on the cluster, found out by asking for it; nothing is changed. See `questions`."""

from collections.abc import Iterable

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient

from consilia.errors import LogUnavailableError
from consilia.kafka.acls import Kind, Operation
from consilia.kafka.connection import ANSWER_SECONDS, client_options
from consilia.kafka.errors import plain_errors
from consilia.kafka.questions import QUESTIONS
from consilia.kafka.rights import CLUSTER, Checked, Right, Tried
from consilia.kafka.settings import KafkaSettings

_DENIED = frozenset(
    error.errno
    for error in (
        kafka_errors.TopicAuthorizationFailedError,
        kafka_errors.GroupAuthorizationFailedError,
        kafka_errors.ClusterAuthorizationFailedError,
        kafka_errors.TransactionalIdAuthorizationFailedError,
    )
)
_TIMEOUT_MS = round(ANSWER_SECONDS * 1000)
_NO_ANSWER = frozenset({kafka_errors.UnknownError.errno, kafka_errors.RequestTimedOutError.errno})


class Probe:
    """A connection that only asks."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connects at once.

        Raises:
            ConsiliaError: the cluster cannot be reached, or does not let this party in.
        """
        self._settings = settings
        with plain_errors(settings, doing="connect"):
            self._client = KafkaNetClient(**client_options(settings))
            version = self._client.get_broker_version(round(settings.connect_seconds * 1000))
        self._version = ".".join(map(str, version))

    def check(self, rights: Iterable[Right]) -> Checked:
        """Try each in its turn.

        Raises:
            LogUnavailableError: the cluster does not answer, or is not ready to.
        """
        tried = (Tried(right=each, may=self.may(each.operation, each.kind, each.name)) for each in rights)
        return Checked(version=self._version, authorizer=self._has_authorizer(), tried=tuple(tried))

    def may(self, operation: Operation, kind: Kind, name: str) -> bool:
        """Whether these credentials may do that.

        Raises:
            LogUnavailableError: the cluster does not answer, or is not ready to.
        """
        code = self._code(operation, kind, name)
        if code in _NO_ANSWER:
            message = f"Kafka at {self._settings.where} cannot say whether this party may {operation} {kind} {name}."
            raise LogUnavailableError(message, remedy="Look into the broker's log, and try again.")
        return code not in _DENIED

    def close(self) -> None:
        """Leave."""
        self._client.close()

    def _has_authorizer(self) -> bool:
        code: int = kafka_errors.SecurityDisabledError.errno
        return self._code(Operation.DESCRIBE, Kind.CLUSTER, CLUSTER) != code

    def _code(self, operation: Operation, kind: Kind, name: str) -> int:
        question = QUESTIONS[kind][operation]
        with plain_errors(self._settings, doing=f"ask whether this party may {operation} {kind} {name}"):
            node = self._client.least_loaded_node()
            answer = self._client.send_and_receive(node, question.request(name), timeout_ms=_TIMEOUT_MS)
        return question.code(answer)
