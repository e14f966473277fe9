"""The access rules of a cluster, in an administrator's hands: seen, added, removed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from consilia.errors import LogAccessError, LogError, LogUnavailableError
from consilia.kafka.acl_difference import ANY_HOST, Binding
from consilia.kafka.acls import AclRule, Kind, Operation, Pattern, Resource
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings

_SETTLED_SECONDS = 10.0
"""How long a change may take to be known to the broker that is asked."""
_PAUSE = 0.05
_AT_ONCE = 500
"""Rules in one request, which must be answered soon."""
_COMPARED_AT_ONCE = 10
"""Filters in one request: each is compared with every rule that there is."""


class Access:
    """An administrator's connection to the cluster's access rules."""

    def __init__(self, settings: KafkaSettings, admin: KafkaAdminClient) -> None:
        """`admin` stays the caller's to close; it may Describe and Alter the cluster."""
        self._settings, self._admin = settings, admin

    def found(self) -> list[Binding]:
        """The rules of topics, groups and transactional ids that the cluster has.

        Raises:
            LogAccessError: these credentials may not see them, or the cluster has no access rules at all.
            LogUnavailableError: it does not answer.
        """
        with as_administrator(self._settings, "look up the access rules"):
            return [_binding(acl) for asked in _questions() for acl in self._admin.describe_acls(asked)[0]]

    def add(self, rules: Sequence[AclRule]) -> None:
        """Add them, and see them in force.

        Raises:
            LogAccessError: these credentials may not.
        """
        for begin in range(0, len(rules), _AT_ONCE):
            some = rules[begin : begin + _AT_ONCE]
            with as_administrator(self._settings, "add access rules"):
                for error in self._admin.create_acls([_acl(rule) for rule in some])["failed"]:
                    raise error("")
        if rules:  # changes become known in their order, and those of one request together
            self._await(lambda: self._has(rules[-1]))

    def remove(self, rules: Sequence[AclRule]) -> None:
        """Take them away, and see them gone.

        Raises:
            LogAccessError: these credentials may not.
        """
        self._delete([_filter(rule) for rule in rules])

    def forget(self, principal: str, topics: Sequence[str]) -> None:
        """Take away all rules of a principal, and everybody's on these topics by name, without listing any.

        Raises:
            LogAccessError: these credentials may not.
        """
        every = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
        of_topics = [ResourcePatternFilter(ResourceType.TOPIC, name, ACLResourcePatternType.LITERAL) for name in topics]
        wanted = [(principal, every), *((None, pattern) for pattern in of_topics)]
        self._delete([ACLFilter(who, None, ACLOperation.ANY, ACLPermissionType.ANY, what) for who, what in wanted])

    def _delete(self, filters: Sequence[ACLFilter]) -> None:
        for begin in range(0, len(filters), _COMPARED_AT_ONCE):
            with as_administrator(self._settings, "remove access rules"):
                for _, _, error in self._admin.delete_acls(filters[begin : begin + _COMPARED_AT_ONCE]):
                    if error is not kafka_errors.NoError:
                        raise error("")
        if filters:
            self._await(lambda: not self._finds(filters[-1]))

    def _has(self, rule: AclRule) -> bool:
        return self._finds(_filter(rule))

    def _finds(self, wanted: ACLFilter) -> bool:
        with as_administrator(self._settings, "look up the access rules"):
            return bool(self._admin.describe_acls(wanted)[0])

    def _await(self, settled: Callable[[], bool]) -> None:
        """The controller has answered; the broker that decides may hear of it a moment later."""
        deadline = monotonic() + _SETTLED_SECONDS
        while not settled():
            if monotonic() > deadline:
                message = f"Kafka at {self._settings.where} does not show the changed access rules."
                raise LogUnavailableError(message, remedy="See that the controller and the brokers run; try again.")
            sleep(_PAUSE)


@contextmanager
def as_administrator(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """What an administrator's request in the block fails by, as errors of our own; `doing` begins with a verb.

    Raises:
        LogError: the cluster has no access rules at all.
        LogAccessError: these credentials are no administrator's.
    """
    with plain_errors(settings, doing=doing):
        try:
            yield
        except kafka_errors.SecurityDisabledError as error:
            message = f"Kafka at {settings.where} has no authorizer: everybody may do everything there."
            remedy = "Set authorizer.class.name on all brokers, and allow.everyone.if.no.acl.found=false."
            raise LogError(message, remedy=remedy) from error
        except kafka_errors.ClusterAuthorizationFailedError as error:
            message = f"cannot {doing} on Kafka at {settings.where}: {settings.principal} may not."
            remedy = "Use the settings of a super user, or of one with Describe and Alter on the cluster."
            raise LogAccessError(message, remedy=remedy) from error


def _questions() -> Iterator[ACLFilter]:
    """All rules that matter here.

    Of transactional ids not by ANY operation: kafka-python cannot read an answer with TwoPhaseCommit (KIP-939).
    """
    yield _any(ResourceType.TOPIC, ACLOperation.ANY)
    yield _any(ResourceType.GROUP, ACLOperation.ANY)
    for operation in (ACLOperation.ALL, ACLOperation.WRITE, ACLOperation.DESCRIBE):
        yield _any(ResourceType.TRANSACTIONAL_ID, operation)


def _any(kind: ResourceType, operation: ACLOperation) -> ACLFilter:
    pattern = ResourcePatternFilter(kind, None, ACLResourcePatternType.ANY)
    return ACLFilter(None, None, operation, ACLPermissionType.ANY, pattern)


def _binding(acl: ACL) -> Binding:
    pattern = acl.resource_pattern
    resource = Resource(
        kind=_KINDS[pattern.resource_type],
        name=pattern.resource_name,
        pattern=Pattern[pattern.pattern_type.name],
    )
    rule = AclRule(principal=acl.principal, operation=Operation[acl.operation.name], resource=resource)
    return Binding(rule=rule, host=acl.host, denies=acl.permission_type is ACLPermissionType.DENY)


_KINDS = {
    ResourceType.TOPIC: Kind.TOPIC,
    ResourceType.GROUP: Kind.GROUP,
    ResourceType.TRANSACTIONAL_ID: Kind.TRANSACTIONAL_ID,
}


def _acl(rule: AclRule) -> ACL:
    return ACL(rule.principal, ANY_HOST, ACLOperation[rule.operation.name], ACLPermissionType.ALLOW, _pattern(rule))


def _filter(rule: AclRule) -> ACLFilter:
    operation, allow = ACLOperation[rule.operation.name], ACLPermissionType.ALLOW
    return ACLFilter(rule.principal, ANY_HOST, operation, allow, _pattern(rule))


def _pattern(rule: AclRule) -> ResourcePattern:
    resource = rule.resource
    pattern = ACLResourcePatternType[resource.pattern.name]
    return ResourcePattern(ResourceType[resource.kind.name], resource.name, pattern)
