"""Kafka that Strimzi runs: users, rules and topics are asked of Strimzi, by its resources; no broker is talked to."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from consilia.api import FederatedJob
from consilia.errors import IdentityError
from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import SECRET, STRIMZI_TOPIC, STRIMZI_USER, Kind
from consilia_operator.names import HOSPITAL
from consilia_operator.transport import strimzi_answers, strimzi_objects
from consilia_operator.transport.conditions import is_true
from consilia_operator.transport.credentials import by_certificate, by_password
from consilia_operator.transport.foundation import Surroundings
from consilia_operator.transport.interface import (
    AGGREGATOR,
    CERTIFICATE_FILE,
    KEY_FILE,
    PASSWORD_FILE,
    Cluster,
    Credentials,
    Document,
    GoneJob,
    NotReady,
    Ready,
)
from consilia_operator.transport.membership import Membership
from consilia_operator.transport.secrets import decoded
from consilia_operator.transport.strimzi_listener import Listener
from consilia_operator.transport.strimzi_members import StrimziMembers
from consilia_operator.transport.strimzi_objects import LOG_NAME, Asked, Place
from consilia_operator.transport.strimzi_place import Places

CHECKED_SECONDS = 60.0
"""After so long everything is asked of Strimzi again."""
_LATER = 60.0


@dataclass(frozen=True, slots=True)
class _Known:
    answer: Ready = field(repr=False)
    hospitals: frozenset[str]
    until: float


class Strimzi:
    """The transport of jobs that name a Kafka of Strimzi's."""

    def __init__(self, cluster: Cluster, surroundings: Surroundings) -> None:
        self._cluster, self._clock = cluster, surroundings.clock
        self._places = Places(cluster, surroundings)
        self._everywhere = surroundings.settings.namespaces or ("",)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """For the users of hospitals, which several jobs change."""
        self._members = StrimziMembers(cluster, surroundings, self._places, self._locks)
        self._known: dict[tuple[str, str], _Known] = {}

    async def prepare(self, job: Document, hospitals: Sequence[str], members: Sequence[str] = ()) -> Ready | NotReady:
        """See `Transport`."""
        read, namespace = FederatedJob.model_validate(job), job["metadata"]["namespace"]
        transport = read.spec.transport
        assert transport is not None
        assert transport.strimzi is not None
        known = self._known.get((namespace, read.log_name))
        if known and known.until > self._clock() and known.hospitals == frozenset((*hospitals, *members)):
            return known.answer
        place = Place(namespace=transport.strimzi.namespace or namespace, cluster=transport.strimzi.cluster)
        try:
            listener = await self._places.listener(namespace, place, transport.strimzi.listener)
            if isinstance(listener, NotReady):
                return listener
            wanted = Asked(
                job=job,
                hospitals=hospitals,
                members=members,
                place=place,
                login=listener.login,
                own_user=transport.strimzi.user or "",
            )
            return await self._provide(wanted, listener)
        except IdentityError as error:
            return NotReady(reason="SecretDamaged", message=str(error), retry_seconds=_LATER)

    async def _provide(self, wanted: Asked, listener: Listener) -> Ready | NotReady:
        made = await self._ask_for(wanted)
        if isinstance(made, NotReady):
            return made
        users = {AGGREGATOR: wanted.aggregator, **{name: name for name in wanted.hospitals}}
        parties = {}
        for party, user in users.items():
            found = await self._credentials(wanted, user, listener)
            if isinstance(found, NotReady):
                return found
            parties[party] = found
        key = wanted.job["metadata"]["namespace"], wanted.log_name
        hospitals = frozenset((*wanted.hospitals, *made.intersection(wanted.members)))
        self._known[key] = _Known(Ready(parties=parties), hospitals, self._clock() + CHECKED_SECONDS)
        return self._known[key].answer

    async def _ask_for(self, wanted: Asked) -> frozenset[str] | NotReady:
        """Users and topics; what is not ready of them. Else the users' names.

        A member that has no user is not admitted yet, or not any more, and gets none here.
        """
        made = []
        async with self._locks[wanted.place.namespace]:
            for user in wanted.users():
                name = user["metadata"]["name"]
                there = await self._cluster.get(STRIMZI_USER, wanted.place.namespace, name)
                if there and not strimzi_objects.is_ours(there, user):
                    return strimzi_answers.taken(user)
                if there is None and name in wanted.members:
                    continue
                shared = HOSPITAL in user["metadata"]["labels"]
                made.append(await self._cluster.apply(strimzi_objects.with_rules_of(user, there) if shared else user))
        users = frozenset(each["metadata"]["name"] for each in made)
        made += [await self._cluster.apply(topic) for topic in wanted.topics()]
        return next((strimzi_answers.waiting(each) for each in made if not is_true(each, "Ready")), users)

    async def _credentials(self, wanted: Asked, user: str, listener: Listener) -> Credentials | NotReady:
        place, own = wanted.place, wanted.job["metadata"]["namespace"]
        found = await self._cluster.get(STRIMZI_USER, place.namespace, user)
        if user == wanted.own_user and place.namespace != own and not strimzi_answers.if_shared(found, own):
            return strimzi_answers.not_shared(STRIMZI_USER, place.namespace, user, own)
        if found is None:
            message = f"There is no KafkaUser {place.namespace}/{user}. Make it, or leave transport.strimzi.user out."
            return NotReady(reason="KafkaUserMissing", message=message, retry_seconds=_LATER)
        status = found.get("status") or {}
        if not is_true(found, "Ready") or not status.get("secret"):
            return strimzi_answers.waiting(found)
        files = decoded(await self._cluster.get(SECRET, place.namespace, status["secret"]))
        return _read(files, status.get("username", user), listener) or strimzi_answers.without_secret(
            place.namespace, user, status["secret"]
        )

    async def admit(self, namespace: str, hospital: str, request: bytes, before: bytes | None) -> Membership | NotReady:
        """See `Transport`."""
        return await self._members.admit(namespace, hospital, request, before)

    async def expel(self, namespace: str, hospital: str) -> None:
        """See `Transport`."""
        self._known = {key: each for key, each in self._known.items() if key[0] != namespace}
        await self._members.expel(namespace, hospital)

    async def members(self, namespace: str) -> Collection[str]:
        """See `Transport`."""
        users = await self._made_for(STRIMZI_USER, namespace)
        return [each["metadata"]["name"] for each in users if strimzi_objects.is_member(each)]

    async def own_way(self, namespace: str) -> Credentials | NotReady:
        """See `Transport`."""
        return await self._members.own_way(namespace)

    async def keep_up(self, namespace: str, over: Sequence[Document]) -> NotReady | None:
        """Nothing: that is what Strimzi's operator is for."""
        return None

    async def retire(self, job: GoneJob) -> None:
        """See `Transport`."""
        self._known.pop((job.namespace, job.log_name), None)
        for user in await self._made_for(STRIMZI_USER, job.namespace):
            if job.log_name in strimzi_objects.jobs_of(user):
                await self._take_from(user, job.log_name)
        for kind in (STRIMZI_USER, STRIMZI_TOPIC):
            for each in await self._made_for(kind, job.namespace):
                if _log_name(each) == job.log_name:
                    await self._cluster.delete(kind, each["metadata"]["namespace"], each["metadata"]["name"])

    async def _take_from(self, user: Document, log_name: str) -> None:
        """A hospital's user goes with its last job, unless it is a member; an aggregator's is its job's own."""
        namespace, name = user["metadata"]["namespace"], user["metadata"]["name"]
        if _log_name(user):
            return
        async with self._locks[namespace]:
            there = await self._cluster.get(STRIMZI_USER, namespace, name)
            if there is None:
                return
            after = strimzi_objects.with_rules(there, strimzi_objects.without_rules_of(there, log_name))
            if strimzi_objects.jobs_of(after) or strimzi_objects.is_member(after):
                await self._cluster.apply(after)
            else:
                await self._cluster.delete(STRIMZI_USER, namespace, name)

    async def orphans(self, namespace: str, living: Callable[[str], bool]) -> list[str]:
        """See `Transport`."""
        found: set[str] = set()
        for kind in (STRIMZI_USER, STRIMZI_TOPIC):
            for each in await self._made_for(kind, namespace):
                own = _log_name(each)
                found.update([own] if own else strimzi_objects.jobs_of(each))
        return sorted(name for name in found if not living(name))

    async def _made_for(self, kind: Kind, namespace: str) -> list[Document]:
        if not await self._cluster.exists(kind):
            return []
        selector = strimzi_objects.made_for(namespace)
        return [each for where in self._everywhere for each in await self._list(kind, where, selector)]

    async def _list(self, kind: Kind, namespace: str, selector: str) -> list[Document]:
        """None where the operator may not look: a cluster may have Strimzi for others alone."""
        try:
            return await self._cluster.list(kind, namespace, selector)
        except ApiRefused as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            return []


def _log_name(document: Document) -> str:
    return str(document["metadata"].get("annotations", {}).get(LOG_NAME, ""))


def _read(files: Mapping[str, bytes], user: str, listener: Listener) -> Credentials | None:
    if listener.login == "tls":
        certificate, key = files.get(CERTIFICATE_FILE), files.get(KEY_FILE)
        return by_certificate(listener.servers, listener.trust, certificate, key) if certificate and key else None
    password = files.get(PASSWORD_FILE, b"").decode(errors="replace").strip()
    return by_password(listener.servers, listener.trust, user, password) if password else None
