"""Which transport a job has; and all of them as one, which the operator deals with."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Literal, TypeVar

from consilia_operator.settings import OperatorSettings
from consilia_operator.transport.external import External
from consilia_operator.transport.foundation import Surroundings
from consilia_operator.transport.interface import (
    Cluster,
    Credentials,
    Document,
    GoneJob,
    NotReady,
    Ready,
    Transport,
)
from consilia_operator.transport.managed import Managed
from consilia_operator.transport.membership import Membership
from consilia_operator.transport.strimzi import Strimzi
from consilia_operator.transport.strimzi_answers import elsewhere
from consilia_operator.transport.strimzi_outside import place_of

Name = Literal["managed", "strimzi", "external"]
Answer = TypeVar("Answer")


def transport_of(job: Document) -> Name:
    """By the job's spec; without a word of it, Kafka is managed."""
    chosen = job["spec"].get("transport") or {}
    return "strimzi" if chosen.get("strimzi") else "external" if chosen.get("external") else "managed"


class Transports:
    """Each job's own; what is left of jobs that are gone is looked for wherever it could be."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings, operator_namespace: str) -> None:
        """`operator_namespace` is where the operator's own pod is: brokers let it in."""
        around = Surroundings(settings, operator_namespace)
        self._settings = settings
        self._log: Name = "strimzi" if settings.outside.log == "Strimzi" else "managed"
        """The hub's, over which it corresponds with hospitals in other clusters."""
        self._each: dict[Name, Transport] = {
            "managed": Managed(cluster, around),
            "strimzi": Strimzi(cluster, around),
            "external": External(cluster, around.clock),
        }

    async def prepare(self, job: Document, hospitals: Sequence[str], members: Sequence[str] = ()) -> Ready | NotReady:
        """See `Transport`."""
        if members and (refused := self._elsewhere(job, members)):
            return refused
        return await self._each[transport_of(job)].prepare(job, hospitals, members)

    def _elsewhere(self, job: Document, members: Sequence[str]) -> NotReady | None:
        """Why these hospitals cannot take part: the job runs over a Kafka that they are not let into."""
        hub, chosen = job["metadata"]["namespace"], job["spec"].get("transport") or {}
        place = place_of(self._settings, hub)
        if place is None:
            way_out = "without transport"
            return None if transport_of(job) == "managed" else elsewhere("the managed Kafka", members, way_out)
        asked = chosen.get("strimzi") or {}
        if asked.get("cluster") == place.cluster and (asked.get("namespace") or hub) == place.namespace:
            return None
        way_out = f"with transport.strimzi: {{cluster: {place.cluster}, namespace: {place.namespace}}}"
        return elsewhere(f"Kafka {place.namespace}/{place.cluster} of Strimzi's", members, way_out)

    async def admit(self, namespace: str, hospital: str, request: bytes, before: bytes | None) -> Membership | NotReady:
        """See `Transport`."""
        return await self._each[self._log].admit(namespace, hospital, request, before)

    async def expel(self, namespace: str, hospital: str) -> None:
        """See `Transport`."""
        await self._each[self._log].expel(namespace, hospital)

    async def members(self, namespace: str) -> Collection[str]:
        """See `Transport`."""
        return await self._each[self._log].members(namespace)

    async def own_way(self, namespace: str) -> Credentials | NotReady:
        """See `Transport`."""
        return await self._each[self._log].own_way(namespace)

    async def keep_up(self, namespace: str, over: Sequence[Document]) -> NotReady | None:
        """See `Transport`."""
        found: list[NotReady | None] = []
        for name, transport in self._each.items():
            found.append(await transport.keep_up(namespace, [job for job in over if transport_of(job) == name]))
        return next(filter(None, found), None)

    async def retire(self, job: GoneJob) -> None:
        """See `Transport`. One that fails does not keep the others from it."""
        _, failed = await self._of_each(lambda transport: transport.retire(job))
        if failed:
            raise failed[0]

    async def orphans(self, namespace: str, living: Callable[[str], bool]) -> list[str]:
        """See `Transport`. What some found is told though others failed: who retires it hears of these, too."""
        found, failed = await self._of_each(lambda transport: transport.orphans(namespace, living))
        names = {name for names in found for name in names}
        if failed and not names:
            raise failed[0]
        return sorted(names)

    async def _of_each(self, ask: Callable[[Transport], Awaitable[Answer]]) -> tuple[list[Answer], list[BaseException]]:
        """All answers, and what was raised instead."""
        said = await asyncio.gather(*map(ask, self._each.values()), return_exceptions=True)
        failed = [each for each in said if isinstance(each, BaseException)]
        return [each for each in said if not isinstance(each, BaseException)], failed
