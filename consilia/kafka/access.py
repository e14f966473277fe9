"""Apply a job's access rules to a cluster: see what is there, add what is missing, remove what is no longer wanted."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from consilia.kafka.acls import AclRule, Kind, Operation, Pattern, Resource
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.log import topics

ANY_HOST = "*"
_PREFIX = "consilia."
_SETTLED_SECONDS = 10.0
"""How long a change may take to be known to the broker that is asked."""
_PAUSE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """An access rule as the cluster has it."""

    rule: AclRule
    host: str = ANY_HOST
    denies: bool = False
    """Whether it forbids what an ordinary rule permits; it wins over all that permit."""

    @property
    def plain(self) -> bool:
        """Whether it permits, and from any host, as our rules do."""
        return self.host == ANY_HOST and not self.denies

    def words(self) -> str:
        """For people."""
        may = "is denied" if self.denies else "may"
        where = "" if self.host == ANY_HOST else f" from {self.host}"
        resource = self.rule.resource
        behind = " and all that begins so" if resource.pattern is Pattern.PREFIXED else ""
        return f"{self.rule.principal} {may} {self.rule.operation} {resource.kind} {resource.name}{behind}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What lies between the rules that are wanted and those that the cluster has."""

    present: tuple[AclRule, ...]
    """Wanted, and there."""
    missing: tuple[AclRule, ...]
    """Wanted, and not there."""
    stale: tuple[AclRule, ...]
    """Not wanted, of the same principals, and on this job or on names of ours: what pruning takes away."""
    others: tuple[Binding, ...]
    """Not wanted, and reaching this job all the same; not ours to take away."""


def difference(job: str, wanted: Sequence[AclRule], found: Iterable[Binding]) -> Difference:
    """Compare. `job` is its name on the log."""
    found = list(found)
    there = {binding.rule for binding in found if binding.plain}
    rest = [binding for binding in found if not (binding.plain and binding.rule in set(wanted))]
    principals = {rule.principal for rule in wanted}
    stale = [each for each in rest if each.plain and each.rule.principal in principals and _ours(job, each.rule)]
    things = _things(job, wanted)
    others = [each for each in rest if each not in stale and _reaches(each, things)]
    return Difference(
        present=tuple(rule for rule in wanted if rule in there),
        missing=tuple(rule for rule in wanted if rule not in there),
        stale=tuple(each.rule for each in stale),
        others=tuple(others),
    )


def _ours(job: str, rule: AclRule) -> bool:
    """Whether it is about nothing but this job, or a hospital's prefix: other jobs' names are left alone."""
    resource = rule.resource
    if resource.pattern is Pattern.PREFIXED:
        return resource.name.startswith(_PREFIX)
    if resource.name in {topics.rounds(job), topics.model(job), topics.state(job), topics.aggregator(job)}:
        return True
    return bool(re.fullmatch(rf"consilia\.(up|trainer)\.[a-z0-9-]+\.{re.escape(job)}", resource.name))


def _reaches(binding: Binding, things: Iterable[tuple[Kind, str]]) -> bool:
    return any(binding.rule.resource.covers(kind, name) for kind, name in things)


def _things(job: str, wanted: Iterable[AclRule]) -> set[tuple[Kind, str]]:
    """All topics, groups and transactional ids of the job."""
    resources = {rule.resource for rule in wanted}
    return {(each.kind, each.name + (job if each.pattern is Pattern.PREFIXED else "")) for each in resources}


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
        if not rules:
            return
        with as_administrator(self._settings, "add access rules"):
            for error in self._admin.create_acls([_acl(rule) for rule in rules])["failed"]:
                raise error("")
        self._await(lambda there: there.issuperset(rules))

    def remove(self, rules: Sequence[AclRule]) -> None:
        """Take them away, and see them gone.

        Raises:
            LogAccessError: these credentials may not.
        """
        if not rules:
            return
        with as_administrator(self._settings, "remove access rules"):
            for _, _, error in self._admin.delete_acls([_filter(rule) for rule in rules]):
                if error is not kafka_errors.NoError:
                    raise error("")
        self._await(lambda there: there.isdisjoint(rules))

    def _await(self, settled: Callable[[set[AclRule]], bool]) -> None:
        """The controller has answered; the broker that decides may hear of it a moment later."""
        deadline = monotonic() + _SETTLED_SECONDS
        while not settled({binding.rule for binding in self.found() if binding.plain}):
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
