"""Who may do what on Kafka: the access rules of one job, each with its reason.

Everything that is not listed here is denied, so the list is the least that the programs need. Kafka's authorizer lets
whoever may Read, Write, Delete or Alter something also Describe it, so no rule says Describe.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from consilia.api.scalars import NAME_PATTERN
from consilia.errors import LogError
from consilia.log import topics

AGGREGATOR = "aggregator"
"""The aggregator's name beside the hospitals'."""

_USER = "User:"
_JOB = re.compile(rf"{NAME_PATTERN.rstrip('$')}(\.[0-9a-z]+)?")
_PRINCIPAL = re.compile(r"[A-Za-z]+:(?!\*$)[^\x00-\x1f\x7f]+")


class Operation(StrEnum):
    """What may be done, by Kafka's names."""

    ALL = "All"
    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    ALTER = "Alter"
    DESCRIBE = "Describe"
    CLUSTER_ACTION = "ClusterAction"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"
    IDEMPOTENT_WRITE = "IdempotentWrite"
    CREATE_TOKENS = "CreateTokens"
    DESCRIBE_TOKENS = "DescribeTokens"

    def includes(self, other: "Operation") -> bool:
        """Whether who may do this may do `other` as well, as Kafka's authorizer has it."""
        return self in {other, Operation.ALL} or self in _IMPLIED_BY.get(other, ())


_IMPLIED_BY: Mapping[Operation, frozenset[Operation]] = {
    Operation.DESCRIBE: frozenset({Operation.READ, Operation.WRITE, Operation.DELETE, Operation.ALTER}),
    Operation.DESCRIBE_CONFIGS: frozenset({Operation.ALTER_CONFIGS}),
}


class Kind(StrEnum):
    """What a rule is about."""

    TOPIC = "Topic"
    GROUP = "Group"
    CLUSTER = "Cluster"
    TRANSACTIONAL_ID = "TransactionalId"


class Pattern(StrEnum):
    """How a rule's name is compared with a resource's."""

    LITERAL = "Literal"
    PREFIXED = "Prefixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One or more things of a kind, by name."""

    kind: Kind
    name: str
    pattern: Pattern = Pattern.LITERAL

    def covers(self, kind: Kind, name: str) -> bool:
        """Whether the one thing of that kind and name is among these; a literal `*` stands for all."""
        if self.kind is not kind:
            return False
        return name.startswith(self.name) if self.pattern is Pattern.PREFIXED else self.name in {name, "*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AclRule:
    """One permission, from any host. Two with other reasons are the same rule."""

    principal: str
    """As the broker names it: `User:riverside`, or `User:CN=riverside` from a certificate."""
    operation: Operation
    resource: Resource
    why: str = field(default="", compare=False)
    """What the program needs it for, in one sentence."""

    def allows(self, operation: Operation, kind: Kind, name: str) -> bool:
        """Whether its principal may do that by this rule."""
        return self.operation.includes(operation) and self.resource.covers(kind, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """The principals of a job: each party its own, or nobody would be apart from anybody.

    Raises:
        LogError: a name or a principal is not valid, or two parties share a principal.
    """

    aggregator: str
    hospitals: Mapping[str, str]
    """By the hospital's name."""
    watchers: tuple[str, ...] = ()
    """Who may only follow: dashboards."""

    def __post_init__(self) -> None:
        for name in self.hospitals:
            _require_name(name)
        named = list(self.named())
        for principal in (principal for _, principal in named):
            if not _PRINCIPAL.fullmatch(principal):
                message = f"{principal!r} is no principal of one party."
                raise LogError(message, remedy="Write User:NAME, or User: and the certificate's subject.")
        holders: dict[str, str] = {}
        for name, principal in named:
            if (other := holders.setdefault(principal, name)) != name:
                message = f"{other} and {name} have the same principal {principal}."
                raise LogError(message, remedy="Give each party a user or certificate of its own.")

    def named(self) -> Iterator[tuple[str, str]]:
        """Every party's name and principal."""
        yield AGGREGATOR, self.aggregator
        yield from self.hospitals.items()
        yield from (("watcher", principal) for principal in self.watchers)

    def principal(self, name: str) -> str:
        """The principal of a hospital, or of the aggregator.

        Raises:
            LogError: the job has no such party.
        """
        known = {AGGREGATOR: self.aggregator, **self.hospitals}
        if name not in known:
            raise LogError(f"{name} has no part in the job.", remedy=f"Name one of: {', '.join(known)}.")
        return known[name]


def _require_name(name: str) -> None:
    """A dot in a hospital's name would make its prefix reach into another's."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > 63 or name == AGGREGATOR:
        message = f"{name!r} cannot be a hospital's name on Kafka."
        remedy = f"Use lower-case letters, digits and hyphens, and not the word {AGGREGATOR}."
        raise LogError(message, remedy=remedy)


def require_job(job: str) -> None:
    """See that `job` can be a job's name on the log: a name, and perhaps a dot and a suffix.

    Raises:
        LogError: it cannot.
    """
    if not _JOB.fullmatch(job) or len(job) > 127:
        message = f"{job!r} cannot be a job's name on the log."
        raise LogError(message, remedy="Use lower-case letters, digits and hyphens; a suffix stands behind one dot.")


def rules(job: str, parties: Parties) -> tuple[AclRule, ...]:
    """All that a job needs, and nothing more. `job` is its name on the log.

    Raises:
        LogError: `job` is no name of a job.
    """
    require_job(job)
    hospitals = (rule for name, user in parties.hospitals.items() for rule in _hospital(job, name, user))
    watchers = (rule for user in parties.watchers for rule in _grant(user, _topic(topics.rounds(job)), _WATCH))
    return tuple(dict.fromkeys((*_aggregator(job, parties), *hospitals, *watchers)))


def member_rules(hospital: str, principal: str) -> tuple[AclRule, ...]:
    """All that a hospital in a cluster of its own needs to correspond with its hub; jobs come beside it.

    Raises:
        LogError: `hospital` cannot be a hospital's name.
    """
    _require_name(hospital)
    writer = Resource(kind=Kind.TRANSACTIONAL_ID, name=topics.correspondent(hospital))
    return (
        *_grant(principal, _topic(topics.offers(hospital)), _LISTEN),
        *_grant(principal, _topic(topics.reports(hospital)), _REPORT),
        *_grant(principal, writer, _ONE_CORRESPONDENT),
    )


def hub_rules(principal: str) -> tuple[AclRule, ...]:
    """All that a hub's operator needs to correspond with its hospitals, where it is no super user."""
    writer = Resource(kind=Kind.TRANSACTIONAL_ID, name=topics.HUB)
    return (
        *_grant(principal, _prefix(Kind.TOPIC, topics.offers("")), _OFFER),
        *_grant(principal, _prefix(Kind.TOPIC, topics.reports("")), _HEED),
        *_grant(principal, writer, _ONE_HUB),
    )


_Reasons = Mapping[Operation, str]

_WATCH: _Reasons = {Operation.READ: "Follows the job from outside."}
_SEND: _Reasons = {Operation.WRITE: "Sends its messages and updates, which it cannot read back."}
_ONE_TRAINER: _Reasons = {Operation.WRITE: "Sends an update whole or not at all; the newest process takes over."}
_HEAR: _Reasons = {Operation.READ: "Hears which round is open, and how it ended."}
_FETCH: _Reasons = {Operation.READ: "Fetches the global model."}
_LISTEN: _Reasons = {Operation.READ: "Hears which jobs it is offered."}
_REPORT: _Reasons = {Operation.WRITE: "Tells the hub that it is there, and what came of the offers."}
_OFFER: _Reasons = {
    Operation.READ: "Knows after a restart what it has offered.",
    Operation.WRITE: "Offers jobs, and the hospital's way to the log.",
}
_HEED: _Reasons = {Operation.READ: "Hears that hospitals are there, and what came of the offers."}
_ONE_HUB: _Reasons = {Operation.WRITE: "Offers whole or not at all; the newest process takes over."}
_ONE_CORRESPONDENT: _Reasons = {Operation.WRITE: "Tells it whole or not at all; the newest process takes over."}
_MADE: _Reasons = {
    Operation.CREATE: "Makes the topic when the job begins.",
    Operation.DESCRIBE_CONFIGS: "Sees that a topic that exists already is kept as the log needs it.",
}
_ROUNDS: _Reasons = {
    **_MADE,
    Operation.READ: "Reads after a restart how far the job is.",
    Operation.WRITE: "Opens and closes rounds.",
    Operation.DELETE: "Deletes the topic when the job is retired.",
}
_MODEL: _Reasons = {
    **_MADE,
    Operation.READ: "Combines the updates with the last model.",
    Operation.WRITE: "Publishes the global model.",
    Operation.DELETE: "Lets go of older models, and of the topic when the job is retired.",
}
_STATE: _Reasons = {
    **_MADE,
    Operation.READ: "Goes on with the server optimizer's state.",
    Operation.WRITE: "Keeps the server optimizer's state.",
    Operation.DELETE: "Lets go of older states, and of the topic when the job is retired.",
}
_RECEIVE: _Reasons = {
    **_MADE,
    Operation.READ: "Receives the hospital's messages and updates.",
    Operation.DELETE: "Lets go of payloads that are dealt with, and of the topic when the job is retired.",
}
_RETIRE: _Reasons = {
    Operation.CREATE: "Makes the topic when the first job is retired.",
    Operation.DESCRIBE_CONFIGS: "Sees that a topic that exists already is kept as the log needs it.",
    Operation.READ: "Looks whether the job is recorded already.",
    Operation.WRITE: "Records what was there before the job's topics are deleted.",
}
_COMMIT: _Reasons = {Operation.READ: "Commits how far it has read, in the transaction with the result."}
_ONE_AGGREGATOR: _Reasons = {Operation.WRITE: "Publishes a result whole or not at all; the newest process takes over."}


def _aggregator(job: str, parties: Parties) -> Iterator[AclRule]:
    name = topics.aggregator(job)
    for resource, reasons in (
        (_topic(topics.rounds(job)), _ROUNDS),
        (_topic(topics.model(job)), _MODEL),
        (_topic(topics.state(job)), _STATE),
        *((_topic(topics.up(hospital, job)), _RECEIVE) for hospital in parties.hospitals),
        (_topic(topics.RETIRED), _RETIRE),
        (Resource(kind=Kind.GROUP, name=name), _COMMIT),
        (Resource(kind=Kind.TRANSACTIONAL_ID, name=name), _ONE_AGGREGATOR),
    ):
        yield from _grant(parties.aggregator, resource, reasons)


def _hospital(job: str, name: str, principal: str) -> Iterator[AclRule]:
    # Prefixes end with a dot, which no hospital's name has: `a` never reaches what is `ab`'s or `a-b`'s.
    yield from _grant(principal, _prefix(Kind.TOPIC, topics.up(name, "")), _SEND)
    yield from _grant(principal, _prefix(Kind.TRANSACTIONAL_ID, topics.trainer(name, "")), _ONE_TRAINER)
    yield from _grant(principal, _topic(topics.rounds(job)), _HEAR)
    yield from _grant(principal, _topic(topics.model(job)), _FETCH)


def _topic(name: str) -> Resource:
    return Resource(kind=Kind.TOPIC, name=name)


def _prefix(kind: Kind, name: str) -> Resource:
    return Resource(kind=kind, name=name, pattern=Pattern.PREFIXED)


def _grant(principal: str, resource: Resource, reasons: _Reasons) -> Iterator[AclRule]:
    for operation, why in reasons.items():
        yield AclRule(principal=principal, operation=operation, resource=resource, why=why)


def allowed(rules: Iterable[AclRule], principal: str, operation: Operation, kind: Kind, name: str) -> bool:
    """Whether one of the rules lets the principal do that."""
    return any(rule.principal == principal and rule.allows(operation, kind, name) for rule in rules)


def user_names(principals: Iterable[str]) -> list[str]:
    """The principals that log in with a user's name; whoever comes with a certificate's subject needs no password."""
    return [each.removeprefix(_USER) for each in principals if each.startswith(_USER) and "=" not in each]
