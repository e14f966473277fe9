"""Hospitals in other clusters over a Kafka of Strimzi's: our certificates, and Strimzi's rules for who holds them."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

from consilia.log import topics
from consilia_operator.kinds import SECRET, STRIMZI_USER
from consilia_operator.names import KAFKA
from consilia_operator.transport import leaves, strimzi_answers, strimzi_outside
from consilia_operator.transport.authorities import Authorities
from consilia_operator.transport.conditions import is_true
from consilia_operator.transport.credentials import by_certificate, by_password
from consilia_operator.transport.foundation import Surroundings
from consilia_operator.transport.interface import PASSWORD_FILE, Cluster, Credentials, Document, NotReady
from consilia_operator.transport.leaves import Leaf
from consilia_operator.transport.managed_objects import secret
from consilia_operator.transport.membership import Membership, certificate_for
from consilia_operator.transport.secrets import decoded, digest
from consilia_operator.transport.strimzi_listener import Listener, listener_of
from consilia_operator.transport.strimzi_objects import Place, is_member, is_ours, with_rules_of
from consilia_operator.transport.strimzi_place import Places

CHECKED_SECONDS = 60.0
"""After so long everything is asked of Strimzi again."""
HUB_SECRET = f"{KAFKA}-hub"
"""With the certificate of the hub's operator, where it needs one."""
_TLS = "kubernetes.io/tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    what: str
    answer: Membership
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """A listener that believes our authority, and nobody else."""

    place: Place
    listener: Listener
    authorities: Authorities


class StrimziMembers:
    """Of all hubs."""

    def __init__(
        self, cluster: Cluster, surroundings: Surroundings, places: Places, locks: defaultdict[str, asyncio.Lock]
    ) -> None:
        """`locks` are for the users of hospitals, by namespace: jobs change them, too."""
        self._cluster, self._around, self._places, self._locks = cluster, surroundings, places, locks
        self._admitted: dict[tuple[str, str], _Admitted] = {}

    async def admit(self, hub: str, hospital: str, request: bytes, before: bytes | None) -> Membership | NotReady:
        """See `Transport`."""
        what, now = digest(request, before or b""), self._around.clock()
        known = self._admitted.get((hub, hospital))
        if known and known.what == what and known.until > now:
            return known.answer
        door = await self._door(hub, self._around.settings.outside.strimzi.listener)
        if isinstance(door, NotReady):
            return door
        if door.listener.login != "tls":
            return strimzi_answers.door_unfit(door.place.namespace, door.place.cluster)
        certificate = certificate_for(door.authorities, request, hospital, before, self._around.now())
        waiting = await self._if_taken(hub, door) or await self._enrol(hub, door.place, hospital)
        if waiting:
            return waiting
        servers = door.listener.advertised or door.listener.servers
        answer = Membership(servers=servers, trust=door.listener.trust, certificate=certificate)
        self._admitted[hub, hospital] = _Admitted(
            what=digest(request, certificate), answer=answer, until=now + CHECKED_SECONDS
        )
        return answer

    async def _door(self, hub: str, name: str) -> _Door | NotReady:
        place = strimzi_outside.place_of(self._around.settings, hub)
        assert place is not None, "somebody else's log is asked of somebody else"
        # First, for whoever owns the Kafka needs its certificate.
        authorities = await self._places.authorities(hub)
        kafka = await self._places.kafka(hub, place, name)
        if isinstance(kafka, NotReady):
            return kafka
        if refused := await self._places.refusal(hub, place, kafka, authorities):
            return refused
        listener = listener_of(kafka, name)
        if isinstance(listener, NotReady):
            return listener
        return _Door(place=place, listener=listener, authorities=authorities)

    async def _enrol(self, hub: str, place: Place, hospital: str) -> NotReady | None:
        """Its KafkaUser, with the rules of its jobs, too, and its topics; what is not ready of them."""
        user = strimzi_outside.member(place, hub, hospital)
        async with self._locks[place.namespace]:
            there = await self._cluster.get(STRIMZI_USER, place.namespace, hospital)
            if there and not is_ours(there, user):
                return strimzi_answers.taken(user)
            made = [await self._cluster.apply(with_rules_of(user, there))]
        made += [await self._cluster.apply(topic) for topic in strimzi_outside.letters(place, hub, hospital)]
        return _first_waiting(made)

    async def expel(self, hub: str, hospital: str) -> None:
        """See `Transport`. Its certificate still opens the door, and behind it nothing is allowed."""
        self._admitted.pop((hub, hospital), None)
        place = strimzi_outside.place_of(self._around.settings, hub)
        if place is None or not await self._cluster.exists(STRIMZI_USER):
            return
        async with self._locks[place.namespace]:
            there = await self._cluster.get(STRIMZI_USER, place.namespace, hospital)
            if there and is_member(there) and is_ours(there, strimzi_outside.member(place, hub, hospital)):
                await self._cluster.delete(STRIMZI_USER, place.namespace, hospital)

    async def own_way(self, hub: str) -> Credentials | NotReady:
        """See `Transport`."""
        door = await self._door(hub, self._around.settings.outside.strimzi.own_listener)
        if isinstance(door, NotReady):
            return door
        if taken := await self._if_taken(hub, door):
            return taken
        made = await self._cluster.apply(strimzi_outside.correspondent(door.place, hub, door.listener.login))
        if waiting := _first_waiting([made]):
            return waiting
        if door.listener.login == "tls":
            return await self._by_certificate(hub, door)
        return await self._by_password(door, made)

    async def _if_taken(self, hub: str, door: _Door) -> NotReady | None:
        """Whether the Kafka is another hub's log."""
        user = strimzi_outside.correspondent(door.place, hub, door.listener.login)
        there = await self._cluster.get(STRIMZI_USER, door.place.namespace, topics.HUB)
        return strimzi_answers.other_hub(user) if there and not is_ours(there, user) else None

    async def _by_password(self, door: _Door, user: Document) -> Credentials | NotReady:
        name = str(user["status"].get("secret", topics.HUB))
        found = decoded(await self._cluster.get(SECRET, door.place.namespace, name))
        password = found.get(PASSWORD_FILE, b"").decode(errors="replace").strip()
        if not password:
            return strimzi_answers.without_secret(door.place.namespace, topics.HUB, name)
        return by_password(door.listener.servers, door.listener.trust, topics.HUB, password)

    async def _by_certificate(self, hub: str, door: _Door) -> Credentials:
        """By a key of our own: Strimzi need not be able to sign for anybody."""
        told, leaf, signer = self._around.settings.certificates, Leaf(principal=topics.HUB), door.authorities.signer
        files = decoded(await self._cluster.get(SECRET, hub, HUB_SECRET))
        if leaf.is_due(files, signer, self._around.now(), timedelta(days=told.renew_days)):
            files = leaf.issue(signer, self._around.now(), timedelta(days=told.lasts_days))
            await self._cluster.apply(secret(hub, HUB_SECRET, files, kind=_TLS))
        own = files[leaves.CERTIFICATE], files[leaves.KEY]
        return by_certificate(door.listener.servers, door.listener.trust, *own)


def _first_waiting(made: list[Document]) -> NotReady | None:
    return next((strimzi_answers.waiting(each) for each in made if not is_true(each, "Ready")), None)
