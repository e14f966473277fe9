"""What a party must be able to do on Kafka, and must not: to be tried, see `probe`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from consilia.kafka.acls import AclRule, Kind, Operation, Pattern, Resource, allowed

CLUSTER = "kafka-cluster"
"""Kafka's name of the one resource of the kind Cluster."""
NOBODY = "consilia-check"
"""A name that nothing and nobody has."""
TRIED: Mapping[Kind, tuple[Operation, ...]] = MappingProxyType({
    Kind.TOPIC: (
        Operation.DESCRIBE, Operation.READ, Operation.WRITE, Operation.CREATE, Operation.DELETE, Operation.ALTER,
        Operation.DESCRIBE_CONFIGS, Operation.ALTER_CONFIGS,
    ),
    Kind.GROUP: (Operation.DESCRIBE, Operation.READ),
    Kind.TRANSACTIONAL_ID: (Operation.DESCRIBE, Operation.WRITE),
    Kind.CLUSTER: (Operation.DESCRIBE, Operation.CREATE, Operation.ALTER, Operation.ALTER_CONFIGS),
})  # fmt: skip
"""What is tried on each kind of thing."""


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
        for operation in TRIED[kind]
    )


def _names(resource: Resource, job: str) -> tuple[str, ...]:
    if resource.pattern is Pattern.LITERAL:
        return (resource.name,)
    return f"{resource.name}{job}", f"{resource.name.removesuffix('.')}-{NOBODY}.{job}"
