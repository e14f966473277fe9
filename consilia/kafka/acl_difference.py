"""What lies between the access rules that a job wants and those that a cluster has."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consilia.kafka.acls import AclRule, Kind, Pattern, Resource
from consilia.log import topics

ANY_HOST = "*"
_PREFIX = "consilia."


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
    found = sorted(found, key=Binding.words)
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


def job_alone(job: str, found: Iterable[Binding]) -> tuple[AclRule, ...]:
    """What permits anybody anything on this job's own names, and nothing else: of no use when the job is over."""
    alone = {each.rule for each in found if each.plain and _of_job(job, each.rule.resource)}
    return tuple(sorted(alone, key=lambda rule: Binding(rule=rule).words()))


def _ours(job: str, rule: AclRule) -> bool:
    """Whether it is about nothing but this job, or a hospital's prefix: other jobs' names are left alone."""
    resource = rule.resource
    if resource.pattern is Pattern.PREFIXED:
        return resource.name.startswith(_PREFIX)
    return _of_job(job, resource)


def _of_job(job: str, resource: Resource) -> bool:
    if resource.pattern is Pattern.PREFIXED:
        return False
    if resource.name in {topics.rounds(job), topics.model(job), topics.state(job), topics.aggregator(job)}:
        return True
    return bool(re.fullmatch(rf"consilia\.(up|trainer)\.[a-z0-9-]+\.{re.escape(job)}", resource.name))


def _reaches(binding: Binding, things: Iterable[tuple[Kind, str]]) -> bool:
    return any(binding.rule.resource.covers(kind, name) for kind, name in things)


def _things(job: str, wanted: Iterable[AclRule]) -> set[tuple[Kind, str]]:
    """All topics, groups and transactional ids that are the job's alone."""
    resources = {rule.resource for rule in wanted if rule.resource.name != topics.RETIRED}
    return {(each.kind, each.name + (job if each.pattern is Pattern.PREFIXED else "")) for each in resources}
