"""Which transport a job has; and all of them as one, which the operator deals with."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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
        self._each: dict[Name, Transport] = {
            "managed": Managed(cluster, around),
            "strimzi": Strimzi(cluster, around),
            "external": External(cluster, around.clock),
        }

    async def prepare(self, job: Document, hospitals: Sequence[str], members: Sequence[str] = ()) -> Ready | NotReady:
        """See `Transport`."""
        return await self._each[transport_of(job)].prepare(job, hospitals, members)

    async def admit(self, namespace: str, hospital: str, request: bytes, before: bytes | None) -> Membership | NotReady:
        """See `Transport`. Hub and hospital correspond over managed Kafka."""
        return await self._each["managed"].admit(namespace, hospital, request, before)

    async def expel(self, namespace: str, hospital: str) -> None:
        """See `Transport`."""
        await self._each["managed"].expel(namespace, hospital)

    async def own_way(self, namespace: str) -> Credentials | NotReady:
        """See `Transport`."""
        return await self._each["managed"].own_way(namespace)

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
