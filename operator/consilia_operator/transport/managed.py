"""Managed Kafka: one a namespace, shared by its jobs, whose end it outlives by rule."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from consilia.api import FederatedJob
from consilia.api.federated_job import name_on_log
from consilia.errors import (
    IdentityError,
    LogAccessError,
    LogError,
    LogUnavailableError,
    ManifestError,
    PermanentError,
)
from consilia_operator.transport import leaves
from consilia_operator.transport.administration import (
    Wanted,
    aggregator_user,
    enrol,
    enrolled,
    expel,
    leftovers,
    take_away,
)
from consilia_operator.transport.credentials import Passwords, by_certificate, by_password
from consilia_operator.transport.deputy import Deputy
from consilia_operator.transport.foundation import Foundation, Foundations, Surroundings
from consilia_operator.transport.interface import AGGREGATOR, Cluster, Credentials, Document, GoneJob, NotReady, Ready
from consilia_operator.transport.membership import Membership, certificate_for
from consilia_operator.transport.secrets import digest

logger = logging.getLogger("consilia.kafka")

VERIFIED_SECONDS = 1800.0
"""After so long a job's users and rules are brought about again, in case somebody took them away by hand."""
_SOON, _LATER = 3.0, 60.0
_TRUSTED = 1.0
"""So long Kafka is taken to be as it was, in seconds, where many hospitals are looked at one after the other."""
_LISTED = 60.0
"""And so long those hospitals that it knows."""


@dataclass(frozen=True, slots=True)
class _Verified:
    what: str
    until: float


@dataclass(frozen=True, slots=True)
class _Ground:
    """What was found, which many hospitals have in common."""

    found: Foundation
    until: float


@dataclass(frozen=True, slots=True)
class _Listed:
    identity: str
    hospitals: frozenset[str]
    until: float


class Managed:
    """The transport of jobs that name none, or ask for it."""

    def __init__(self, cluster: Cluster, surroundings: Surroundings) -> None:
        self._clock, self._now = surroundings.clock, surroundings.now
        self._foundations = Foundations(cluster, surroundings)
        self._outside = surroundings.settings.outside.of_managed.type != "None"
        self._passwords = Passwords(cluster, surroundings.clock)
        self._deputy = Deputy()
        self._verified: dict[tuple[str, str], _Verified] = {}
        self._grounds: dict[str, _Ground] = {}
        self._listed: dict[str, _Listed] = {}
        self._listing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def prepare(self, job: Document, hospitals: Sequence[str], members: Sequence[str] = ()) -> Ready | NotReady:
        """See `Transport`."""
        read, namespace = FederatedJob.model_validate(job), job["metadata"]["namespace"]
        try:
            found = await self._foundations.lay(namespace, read.spec.transport.managed if read.spec.transport else None)
            if isinstance(found, NotReady):
                return found
            wanted = Wanted(
                log_name=read.log_name,
                aggregator=await self._passwords.of_aggregator(job),
                hospitals={name: await self._passwords.of_hospital(namespace, name) for name in hospitals},
                members=tuple(members),
            )
            await self._let_in(namespace, found, wanted)
        except LogUnavailableError as error:
            return NotReady(reason="KafkaUnavailable", message=str(error), retry_seconds=_SOON)
        except (LogError, LogAccessError) as error:
            return NotReady(reason="KafkaRefused", message=str(error), retry_seconds=_LATER)
        except IdentityError as error:
            return NotReady(reason="SecretDamaged", message=str(error), retry_seconds=_LATER)
        except ManifestError as error:
            return NotReady(reason="KafkaMisconfigured", message=str(error), retry_seconds=_LATER)
        return Ready(parties=_credentials(found, wanted))

    async def _let_in(self, namespace: str, found: Foundation, wanted: Wanted) -> None:
        """See that Kafka knows the parties; it is not asked when it was told the same before."""
        passwords = wanted.passwords
        known = (text for name in sorted(passwords) for text in (name, passwords[name]))
        what = digest(found.identity, *known, *sorted(wanted.members))
        if not self._told(namespace, wanted.log_name, what):
            await self._tell(namespace, found, wanted, what)

    def _told(self, namespace: str, log_name: str, what: str) -> bool:
        known = self._verified.get((namespace, log_name))
        return bool(known and known.what == what and known.until > self._clock())

    async def _tell(self, namespace: str, found: Foundation, wanted: Wanted, what: str) -> None:
        now = self._clock()
        await self._deputy.bring_about(namespace, found.reach, wanted)
        self._verified[namespace, wanted.log_name] = _Verified(what, now + VERIFIED_SECONDS)

    async def keep_up(self, namespace: str, over: Sequence[Document]) -> NotReady | None:
        """See `Transport`. A Kafka that somebody deleted is not made again for jobs that are over.

        Raises:
            LogUnavailableError: the brokers do not answer.
            IdentityError: what a Secret of the brokers holds is damaged.
            ManifestError: the operator's settings make no brokers.
        """
        found = await self._foundations.keep(namespace)
        if isinstance(found, Foundation):
            await asyncio.gather(*(self._readmit_if_possible(namespace, found, job) for job in over))
        return found if isinstance(found, NotReady) else None

    async def _readmit_if_possible(self, namespace: str, found: Foundation, job: Document) -> None:
        """What is wrong with one job is for somebody to mend, and holds up nothing else."""
        try:
            await self._readmit(namespace, found, job)
        except PermanentError as error:
            what = f"FederatedJob {namespace}/{job['metadata']['name']}"
            logger.warning("%s: its model cannot be handed out after a restart of the brokers: %s", what, error)

    async def _readmit(self, namespace: str, found: Foundation, job: Document) -> None:
        """Its aggregator alone, which hands out the model; asks for nothing while the brokers are the same."""
        name = name_on_log(job["metadata"]["name"], job["metadata"]["uid"])
        what = digest(found.identity, "over")
        if not self._told(namespace, name, what):
            wanted = Wanted(log_name=name, aggregator=await self._passwords.of_aggregator(job), hospitals={})
            await self._tell(namespace, found, wanted, what)

    async def admit(self, namespace: str, hospital: str, request: bytes, before: bytes | None) -> Membership | NotReady:
        """See `Transport`. Kafka is made where there is none: whoever joins needs no job."""
        found = await self._ground(namespace)
        if isinstance(found, NotReady):
            return found
        if found.keys.members is None:
            message = "The managed Kafka cannot be reached from other clusters. Set operator.outside in the chart's "
            message += "values: type, host and port."
            return NotReady(reason="NotOutside", message=message, retry_seconds=_LATER)
        certificate = certificate_for(found.keys.members, request, hospital, before, self._now())
        what = digest(found.identity, "member")
        if not self._told(namespace, f"member {hospital}", what):
            now = self._clock()
            if hospital not in await self._enrolled(namespace, found):
                await self._deputy.ask(namespace, "admit a hospital", partial(enrol, found.reach, hospital))
            self._verified[namespace, f"member {hospital}"] = _Verified(what, now + VERIFIED_SECONDS)
        return Membership(servers=found.plan.members, trust=found.keys.trust, certificate=certificate)

    async def _ground(self, namespace: str) -> Foundation | NotReady:
        known = self._grounds.get(namespace)
        if known and known.until > self._clock():
            return known.found
        found = await self._foundations.lay(namespace, None)
        if isinstance(found, Foundation):
            self._grounds[namespace] = _Ground(found, self._clock() + _TRUSTED)
        return found

    async def _enrolled(self, namespace: str, found: Foundation) -> frozenset[str]:
        """Who is known to Kafka; an operator that was started again need not enrol thousands anew."""
        async with self._listing[namespace]:
            known = self._listed.get(namespace)
            if known is None or known.identity != found.identity or known.until <= self._clock():
                names = await self._deputy.ask(namespace, "look for hospitals", partial(enrolled, found.reach))
                known = self._listed[namespace] = _Listed(found.identity, names, self._clock() + _LISTED)
            return known.hospitals

    async def expel(self, namespace: str, hospital: str) -> None:
        """See `Transport`.

        Raises:
            LogUnavailableError: the brokers do not answer.
        """
        if way := await self._foundations.existing(namespace):
            await self._deputy.ask(namespace, "expel a hospital", partial(expel, way, hospital))
        self._verified.pop((namespace, f"member {hospital}"), None)
        self._listed.pop(namespace, None)

    async def members(self, namespace: str) -> Collection[str]:
        """See `Transport`."""
        if not self._outside or not (way := await self._foundations.existing(namespace)):
            return ()
        return await self._deputy.ask(namespace, "look for hospitals", partial(enrolled, way))

    async def own_way(self, namespace: str) -> Credentials | NotReady:
        """See `Transport`."""
        found = await self._foundations.lay(namespace, None)
        if isinstance(found, NotReady):
            return found
        own = found.keys.operator
        return by_certificate(found.plan.peers, found.keys.trust, own[leaves.CERTIFICATE], own[leaves.KEY])

    async def retire(self, job: GoneJob) -> None:
        """See `Transport`.

        Raises:
            LogUnavailableError: the brokers do not answer.
        """
        self._verified.pop((job.namespace, job.log_name), None)
        if way := await self._foundations.existing(job.namespace):
            await self._deputy.ask(job.namespace, "retire a job", partial(take_away, way, job.log_name))

    async def orphans(self, namespace: str, living: Callable[[str], bool]) -> list[str]:
        """See `Transport`.

        Raises:
            LogUnavailableError: the brokers do not answer.
        """
        if not (way := await self._foundations.existing(namespace)):
            return []
        found = await self._deputy.ask(namespace, "look for jobs", partial(leftovers, way))
        return [name for name in found if not living(name)]


def _credentials(found: Foundation, wanted: Wanted) -> Mapping[str, Credentials]:
    servers, trust = found.plan.clients, found.keys.trust
    user = aggregator_user(wanted.log_name)
    parties = {AGGREGATOR: by_password(servers, trust, user, wanted.aggregator)}
    return parties | {name: by_password(servers, trust, name, word) for name, word in wanted.hospitals.items()}
