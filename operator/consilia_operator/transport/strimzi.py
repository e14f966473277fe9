"""Kafka that Strimzi runs: users, rules and topics are asked of Strimzi, by its resources; no broker is talked to."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from consilia.api import FederatedJob
from consilia.api.infrastructure import StrimziTransport
from consilia.errors import IdentityError
from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import SECRET, STRIMZI_KAFKA, STRIMZI_TOPIC, STRIMZI_USER, Kind
from consilia_operator.names import HOSPITAL, HUB
from consilia_operator.transport import strimzi_objects
from consilia_operator.transport.conditions import condition_message, is_true
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
from consilia_operator.transport.strimzi_listener import Listener, listener_of
from consilia_operator.transport.strimzi_objects import LOG_NAME, Asked, Place

CHECKED_SECONDS = 60.0
"""After so long everything is asked of Strimzi again."""
_SOON, _LATER = 3.0, 60.0


@dataclass(frozen=True, slots=True)
class _Known:
    answer: Ready = field(repr=False)
    hospitals: frozenset[str]
    until: float


class Strimzi:
    """The transport of jobs that name a Kafka of Strimzi's."""

    def __init__(self, cluster: Cluster, surroundings: Surroundings) -> None:
        self._cluster, self._clock = cluster, surroundings.clock
        self._everywhere = surroundings.settings.namespaces or ("",)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """For the users of hospitals, which several jobs change."""
        self._known: dict[tuple[str, str], _Known] = {}

    async def prepare(self, job: Document, hospitals: Sequence[str], members: Sequence[str] = ()) -> Ready | NotReady:
        """See `Transport`."""
        read, namespace = FederatedJob.model_validate(job), job["metadata"]["namespace"]
        transport = read.spec.transport
        assert transport is not None
        assert transport.strimzi is not None
        key, now = (namespace, read.log_name), self._clock()
        known = self._known.get(key)
        if known and known.until > now and known.hospitals == frozenset(hospitals):
            return known.answer
        try:
            answer = await self._prepare(job, hospitals, transport.strimzi)
        except IdentityError as error:
            return NotReady(reason="SecretDamaged", message=str(error), retry_seconds=_LATER)
        if isinstance(answer, Ready):
            self._known[key] = _Known(answer, frozenset(hospitals), now + CHECKED_SECONDS)
        return answer

    async def _prepare(self, job: Document, hospitals: Sequence[str], asked: StrimziTransport) -> Ready | NotReady:
        own = job["metadata"]["namespace"]
        place = Place(namespace=asked.namespace or own, cluster=asked.cluster)
        listener = await self._listener(own, place, asked.listener)
        if isinstance(listener, NotReady):
            return listener
        wanted = Asked(job=job, hospitals=hospitals, place=place, login=listener.login, own_user=asked.user or "")
        if waiting := await self._ask_for(wanted):
            return waiting
        users = {AGGREGATOR: wanted.aggregator, **{name: name for name in hospitals}}
        parties = {}
        for party, user in users.items():
            found = await self._credentials(wanted, user, listener)
            if isinstance(found, NotReady):
                return found
            parties[party] = found
        return Ready(parties=parties)

    async def _listener(self, own: str, place: Place, name: str) -> Listener | NotReady:
        """Where the Kafka is reached, and how one logs in there."""
        if not await self._cluster.exists(STRIMZI_KAFKA):
            message = (
                "spec.transport.strimzi needs Strimzi 1.0 or newer (kafka.strimzi.io/v1), which is not installed. "
            )
            message += "Install it, or make the job anew without transport."
            return NotReady(reason="StrimziMissing", message=message, retry_seconds=_LATER)
        kafka = await self._kafka(own, place, name)
        return kafka if isinstance(kafka, NotReady) else listener_of(kafka, name)

    async def _kafka(self, own: str, place: Place, listener: str) -> Document | NotReady:
        """The Kafka itself: in the jobs' own namespace it is made where there is none."""
        kafka = await self._cluster.get(STRIMZI_KAFKA, place.namespace, place.cluster)
        if place.namespace != own:
            return _if_shared(kafka, own) or _not_shared(STRIMZI_KAFKA, place.namespace, place.cluster, own)
        if kafka is None:
            for document in strimzi_objects.kafka(place, listener):
                kafka = await self._cluster.create_once(document)
        assert kafka is not None
        return kafka

    async def _ask_for(self, wanted: Asked) -> NotReady | None:
        """Users and topics; what is not ready of them."""
        made = []
        async with self._locks[wanted.place.namespace]:
            for user in wanted.users():
                there = await self._cluster.get(STRIMZI_USER, wanted.place.namespace, user["metadata"]["name"])
                if there and not strimzi_objects.is_ours(there, user):
                    return _taken(STRIMZI_USER, user)
                shared = HOSPITAL in user["metadata"]["labels"]
                made.append(await self._cluster.apply(strimzi_objects.with_rules_of(user, there) if shared else user))
        made += [await self._cluster.apply(topic) for topic in wanted.topics()]
        return next((_waiting(each) for each in made if not is_true(each, "Ready")), None)

    async def _credentials(self, wanted: Asked, user: str, listener: Listener) -> Credentials | NotReady:
        place, own = wanted.place, wanted.job["metadata"]["namespace"]
        found = await self._cluster.get(STRIMZI_USER, place.namespace, user)
        if user == wanted.own_user and place.namespace != own and not _if_shared(found, own):
            return _not_shared(STRIMZI_USER, place.namespace, user, own)
        if found is None:
            message = f"There is no KafkaUser {place.namespace}/{user}. Make it, or leave transport.strimzi.user out."
            return NotReady(reason="KafkaUserMissing", message=message, retry_seconds=_LATER)
        status = found.get("status") or {}
        if not is_true(found, "Ready") or not status.get("secret"):
            return _waiting(found)
        files = decoded(await self._cluster.get(SECRET, place.namespace, status["secret"]))
        return _read(files, status.get("username", user), listener) or _without_secret(place, user, status["secret"])

    async def admit(self, namespace: str, hospital: str, request: bytes, before: bytes | None) -> Membership | NotReady:
        """Not over Strimzi's Kafka: hub and hospital correspond over the managed one."""
        message = "Hospitals in other clusters join by way of the managed Kafka."
        return NotReady(reason="NotOutside", message=message, retry_seconds=_LATER, permanent=True)

    async def expel(self, namespace: str, hospital: str) -> None:
        """Nothing: see `admit`."""

    async def own_way(self, namespace: str) -> Credentials | NotReady:
        """None: see `admit`."""
        message = "Hub and hospital correspond over the managed Kafka."
        return NotReady(reason="NotOutside", message=message, retry_seconds=_LATER, permanent=True)

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
        """A hospital's user goes with its last job; an aggregator's is its job's own."""
        namespace, name = user["metadata"]["namespace"], user["metadata"]["name"]
        if _log_name(user):
            return
        async with self._locks[namespace]:
            there = await self._cluster.get(STRIMZI_USER, namespace, name)
            if there is None:
                return
            after = strimzi_objects.with_rules(there, strimzi_objects.without_rules_of(there, log_name))
            if strimzi_objects.jobs_of(after):
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


def _if_shared(found: Document | None, own: str) -> Document | None:
    """Who may make jobs in one namespace has no claim on another's objects, unless each of them says so.

    The namespace's own label says only that a hospital may be asked there.
    """
    return found if found and found["metadata"].get("labels", {}).get(HUB) == own else None


def _not_shared(kind: Kind, namespace: str, name: str, own: str) -> NotReady:
    """The same whether or not there is one, which is not for everybody to know."""
    message = f"Namespace {namespace} has no {kind.kind} {name} that lets jobs of {own} use it. Whoever owns it says: "
    message += f"kubectl -n {namespace} label {kind.kind.lower()} {name} {HUB}={own}"
    return NotReady(reason="StrimziNotShared", message=message, retry_seconds=_LATER)


def _log_name(document: Document) -> str:
    return str(document["metadata"].get("annotations", {}).get(LOG_NAME, ""))


def _read(files: Mapping[str, bytes], user: str, listener: Listener) -> Credentials | None:
    if listener.login == "tls":
        certificate, key = files.get(CERTIFICATE_FILE), files.get(KEY_FILE)
        return by_certificate(listener.servers, listener.trust, certificate, key) if certificate and key else None
    password = files.get(PASSWORD_FILE, b"").decode(errors="replace").strip()
    return by_password(listener.servers, listener.trust, user, password) if password else None


def _waiting(document: Document) -> NotReady:
    metadata, kind = document["metadata"], document["kind"]
    what = f"{kind} {metadata['namespace']}/{metadata['name']}"
    said = condition_message(document, "NotReady") or condition_message(document, "Ready") or "it has not answered yet"
    message = f"Strimzi has not made {what} ready: {said}. See that its operators run, and look at it: kubectl -n "
    message += f"{metadata['namespace']} describe {kind.lower()} {metadata['name']}."
    return NotReady(reason=f"{kind}Pending", message=message, retry_seconds=_SOON)


def _taken(kind: Kind, document: Document) -> NotReady:
    metadata = document["metadata"]
    message = (
        f"{kind.kind} {metadata['namespace']}/{metadata['name']} is there already and was made for something else. "
    )
    message += "Delete it, or give the hospital another name."
    return NotReady(reason=f"{kind.kind}Taken", message=message, retry_seconds=_LATER)


def _without_secret(place: Place, user: str, secret: str) -> NotReady:
    message = f"The Secret {place.namespace}/{secret} of KafkaUser {user} does not hold what its listener asks for. "
    message += "See that the user's authentication is of the listener's type."
    return NotReady(reason="KafkaUserPending", message=message, retry_seconds=_SOON)
