"""The managed Kafka of a namespace as such: its objects laid, its brokers up. Jobs come after."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

from consilia.api.infrastructure import ManagedTransport
from consilia.errors import LogUnavailableError
from consilia_operator import pods
from consilia_operator.conditions import moment
from consilia_operator.kinds import POD, PVC, STATEFUL_SET
from consilia_operator.names import KAFKA
from consilia_operator.settings import OperatorSettings
from consilia_operator.transport import leaves, managed_objects
from consilia_operator.transport.administration import Reach
from consilia_operator.transport.certificates import Certificates, Keys
from consilia_operator.transport.interface import Cluster, Document, NotReady
from consilia_operator.transport.managed_plan import Plan
from consilia_operator.transport.secrets import digest

logger = logging.getLogger("consilia.kafka")

CHECKED_SECONDS = 60.0
"""After so long all objects are looked at again, not only the StatefulSet."""
_SOON, _LATER = 2.0, 60.0
_PODLESS = 30.0
"""After so long without a pod for each broker that is told."""
_SELECTOR = ",".join(f"{name}={value}" for name, value in managed_objects.selector().items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """A namespace's Kafka, and how to get to it."""

    plan: Plan
    keys: Keys
    identity: str
    """Changes when the brokers, or a disk of theirs, are others: what was told them may be lost."""
    state: tuple[str, int] = ("", 0)
    """The StatefulSet's uid and generation."""
    until: float = 0.0

    @property
    def reach(self) -> Reach:
        """An administrator's way."""
        return _reach(self.plan, self.keys)


def _reach(plan: Plan, keys: Keys) -> Reach:
    operator = keys.operator
    return Reach(
        servers=plan.peers, trust=keys.trust, certificate=operator[leaves.CERTIFICATE], key=operator[leaves.KEY]
    )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What foundations are laid by, and in."""

    settings: OperatorSettings
    operator_namespace: str
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    """What time it is, for certificates."""
    clock: Callable[[], float] = monotonic
    """Counts seconds, for what is remembered."""


class Foundations:
    """Of all namespaces."""

    def __init__(self, cluster: Cluster, surroundings: Surroundings) -> None:
        self._cluster, self._around = cluster, surroundings
        self._certificates = Certificates(cluster, surroundings.settings, surroundings.now)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._known: dict[str, Foundation] = {}

    async def lay(self, namespace: str, asked: ManagedTransport | None) -> Foundation | NotReady:
        """See that the namespace's Kafka is there and up. What is there stays as big as it is.

        Raises:
            IdentityError: what one of its Secrets holds is damaged.
        """
        there = await self._cluster.get(STATEFUL_SET, namespace, KAFKA)
        if there and (answer := await self._remembered(there, asked)):
            return answer
        async with self._locks[namespace]:
            there = await self._cluster.get(STATEFUL_SET, namespace, KAFKA)
            if there and (answer := await self._remembered(there, asked)):
                return answer
            return await self._lay(namespace, there, asked)

    async def keep(self, namespace: str) -> Foundation | NotReady | None:
        """The same without a job that asks for it: only what is there is kept; None if there is nothing.

        Raises:
            IdentityError: what one of its Secrets holds is damaged.
        """
        there = await self._cluster.get(STATEFUL_SET, namespace, KAFKA)
        return await self.lay(namespace, None) if there else None

    async def _remembered(self, there: Document, asked: ManagedTransport | None) -> Foundation | NotReady | None:
        """The answer, if it takes no more than the StatefulSet to give it."""
        if refused := _differs(there, asked):
            return refused
        known = self._known.get(there["metadata"]["namespace"])
        if known is None or self._around.clock() >= known.until or _state(there) != known.state:
            return None
        return known if _up(there, known.plan) else await self._not_up(there)

    async def _lay(
        self, namespace: str, there: Document | None, asked: ManagedTransport | None
    ) -> Foundation | NotReady:
        settings = self._around.settings
        plan = Plan.found(there, settings) if there else Plan.wanted(namespace, asked, settings)
        if asked and plan.asks_for_more(asked):
            logger.warning("%s: a job asks for %s a broker; Kafka has %s", namespace, asked.storage, plan.storage)
        keys = await self._certificates.ensure(plan)
        if isinstance(keys, NotReady):
            return keys
        made = await self._apply(plan, keys)
        if not _up(made, plan):
            return await self._not_up(made)
        found = Foundation(
            plan=plan,
            keys=keys,
            identity=await self._identity(made),
            state=_state(made),
            until=self._around.clock() + CHECKED_SECONDS,
        )
        self._known[namespace] = found
        return found

    async def _apply(self, plan: Plan, keys: Keys) -> Document:
        settings = self._around.settings
        members = [keys.members.bundle] if keys.members else []
        read = digest(plan.node_settings(settings), keys.trust, keys.brokers[leaves.CERTIFICATE], *members)
        made: Document = {}
        for document in managed_objects.documents(
            plan, settings, digest=read, operator_namespace=self._around.operator_namespace
        ):
            made = await self._cluster.apply(document)  # the StatefulSet comes last
        return made

    async def _identity(self, stateful_set: Document) -> str:
        namespace = stateful_set["metadata"]["namespace"]
        """Which disks and which processes: a broker that was killed may have come back without all that it was told."""
        claims = await self._cluster.list(PVC, namespace, _SELECTOR)
        brokers = await self._cluster.list(POD, namespace, _SELECTOR)
        parts = [each["metadata"]["uid"] for each in claims]
        parts += [f"{each['metadata']['uid']} {pods.restarts(each)}" for each in brokers]
        return digest(stateful_set["metadata"]["uid"], *sorted(parts))

    async def _not_up(self, stateful_set: Document) -> NotReady:
        """Why, as far as the brokers' pods tell."""
        namespace = stateful_set["metadata"]["namespace"]
        wanted, ready = stateful_set["spec"]["replicas"], stateful_set.get("status", {}).get("readyReplicas", 0)
        brokers = await self._cluster.list(POD, namespace, _SELECTOR)
        for pod in sorted(brokers, key=lambda pod: pod["metadata"]["name"]):
            if found := pods.trouble(pod):
                message = f"Pod {namespace}/{pod['metadata']['name']} of the managed Kafka: {found.message}"
                return NotReady(reason=f"Kafka{found.reason}", message=message, retry_seconds=_SOON * 5)
        message = f"Managed Kafka {namespace}/{KAFKA} starts: {ready} of {wanted} brokers are ready."
        if len(brokers) < wanted and self._had_time(stateful_set):
            message += f" Only {len(brokers)} of {wanted} pods are there: a quota or a policy may not let them in. "
            message += f"See why: kubectl -n {namespace} describe statefulset {KAFKA}"
        return NotReady(reason="KafkaStarting", message=message, retry_seconds=_SOON)

    def _had_time(self, stateful_set: Document) -> bool:
        """Whether its pods should be there."""
        made = stateful_set["metadata"].get("creationTimestamp")
        return bool(made) and (self._around.now() - moment(made)).total_seconds() > _PODLESS

    async def existing(self, namespace: str) -> Reach | None:
        """An administrator's way to the Kafka that the namespace has; None if it has none.

        Raises:
            LogUnavailableError: it is not up.
            IdentityError: what one of its Secrets holds is damaged.
        """
        there = await self._cluster.get(STATEFUL_SET, namespace, KAFKA)
        if not there:
            return None
        plan = Plan.found(there, self._around.settings)
        keys = await self._certificates.ensure(plan)
        if isinstance(keys, NotReady) or not _up(there, plan):
            message = f"the managed Kafka of namespace {namespace} is not up."
            raise LogUnavailableError(message, remedy=f"Look at it: kubectl -n {namespace} describe pods {KAFKA}-0.")
        return _reach(plan, keys)


def _differs(stateful_set: Document, asked: ManagedTransport | None) -> NotReady | None:
    """A job that asks for nothing takes what is there."""
    metadata, brokers = stateful_set["metadata"], stateful_set["spec"]["replicas"]
    if asked is None or asked.brokers == brokers:
        return None
    message = f"The managed Kafka of namespace {metadata['namespace']} has {brokers} broker(s), and the job asks for "
    message += f"{asked.brokers}. Make the job anew with transport.managed.brokers: {brokers}, or without transport; "
    message += "or use another namespace."
    return NotReady(reason="TransportDiffers", message=message, retry_seconds=_LATER, permanent=True)


def _state(stateful_set: Document) -> tuple[str, int]:
    return stateful_set["metadata"]["uid"], stateful_set["metadata"].get("generation", 0)


def _up(stateful_set: Document, plan: Plan) -> bool:
    return bool(stateful_set.get("status", {}).get("readyReplicas", 0) >= plan.enough)
