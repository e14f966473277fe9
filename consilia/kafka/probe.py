"""What these credentials may do on the cluster, found out by asking for it; nothing is changed. See `questions`."""

from collections.abc import Iterable
from dataclasses import dataclass

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient

from consilia.errors import LogUnavailableError
from consilia.kafka.acls import AclRule, Kind, Operation, Pattern, Resource, allowed
from consilia.kafka.connection import ANSWER_SECONDS, client_options
from consilia.kafka.errors import plain_errors
from consilia.kafka.questions import CLUSTER, NOBODY, QUESTIONS
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One thing that a party must be able to do, or must not."""

    operation: Operation
    kind: Kind
    name: str
    wanted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of trying it."""

    right: Right
    may: bool

    @property
    def passed(self) -> bool:
        """Whether it is as it should be."""
        return self.may is self.right.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a party found on a cluster."""

    version: str
    """Kafka's, as far as a client can tell."""
    authorizer: bool
    """Whether the cluster keeps access rules at all."""
    tried: tuple[Tried, ...]

    @property
    def passed(self) -> bool:
        """Whether all is as it should be."""
        return self.authorizer and all(each.passed for each in self.tried)


def expected(rules: Iterable[AclRule], principal: str, job: str) -> tuple[Right, ...]:
    """Every right on every thing of the job, and on the cluster: wanted where the rules give it to the principal.

    For each prefix there is a thing whose name only begins alike, which catches a rule whose dot is missing.
    """
    listed = list(rules)
    resources = dict.fromkeys(rule.resource for rule in listed)
    things = dict.fromkeys((each.kind, name) for each in resources for name in _names(each, job))
    return tuple(
        Right(operation=operation, kind=kind, name=name, wanted=allowed(listed, principal, operation, kind, name))
        for kind, name in (*things, (Kind.CLUSTER, CLUSTER))
        for operation in QUESTIONS[kind]
    )


def _names(resource: Resource, job: str) -> tuple[str, ...]:
    if resource.pattern is Pattern.LITERAL:
        return (resource.name,)
    return f"{resource.name}{job}", f"{resource.name.removesuffix('.')}-{NOBODY}.{job}"


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
