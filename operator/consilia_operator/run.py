"""The operator as a whole. `run` is the whole story."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import kopf
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from consilia.errors import ConsiliaError
from consilia_operator import handlers, kinds, resync
from consilia_operator.api_server import ApiServer, connect
from consilia_operator.applying import Applying
from consilia_operator.budgets import Budgets
from consilia_operator.conditions import holds
from consilia_operator.context import Context
from consilia_operator.correspondence import agent, hub
from consilia_operator.health import serve
from consilia_operator.heartbeat import Heartbeat
from consilia_operator.lease import Lease
from consilia_operator.ledgers import Ledgers
from consilia_operator.metrics import JOB_STATES, Metrics
from consilia_operator.names import FIELD_MANAGER, HUB, MANAGED_BY
from consilia_operator.progress_watch import ProgressWatch, new_session
from consilia_operator.settings import OperatorSettings
from consilia_operator.store import Document, Key, Store
from consilia_operator.transport.choosing import Transports
from consilia_operator.waking import wake
from consilia_operator.watching import Watch
from consilia_operator.work_queue import WorkQueue
from consilia_operator.working import reconcilers, work

logger = logging.getLogger("consilia.operator")

_MADE = (kinds.DEPLOYMENT, kinds.JOB, kinds.STATEFUL_SET, kinds.POD)
"""The kinds of what we make whose state matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which process this is."""

    namespace: str
    pod: str


@dataclass(slots=True)
class Standing:
    """What the probes are told."""

    heartbeat: Heartbeat | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def dead(self) -> list[str]:
        """Why this process should be started anew."""
        return self.heartbeat.problems() if self.heartbeat else []

    def waiting(self) -> list[str]:
        """Why it does nothing yet."""
        return [] if self.ready.is_set() else ["the operator is not at work yet"]


async def run(settings: OperatorSettings, place: Place) -> None:
    """Look after the cluster until told to stop.

    Raises:
        FencedError: another operator has taken over.
    """
    _stop_when_told()
    registry, standing = CollectorRegistry(), Standing()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(connect())
        session = await stack.enter_async_context(new_session())
        probes = serve(settings.metrics_port, registry, dead=standing.dead, waiting=standing.waiting)
        port = await stack.enter_async_context(probes)
        logger.info("serving /metrics, /healthz and /readyz on port %d", port)
        await stack.enter_async_context(_lease(api, settings, place))
        context = make_context(settings, place, api, session, registry)
        await prepare(context)
        apart = apart_namespaces(settings, place.namespace)
        standing.heartbeat = Heartbeat(api, place.namespace, settings.dead_watch_seconds, apart)
        standing.ready.set()
        await until_one_ends(programs(context, standing.heartbeat))


def _stop_when_told() -> None:
    """Until kopf sees to signals itself: the first process of a container ignores those that nobody handles."""
    inside = asyncio.current_task()
    assert inside is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, inside.cancel)


@asynccontextmanager
async def _lease(api: ApiServer, settings: OperatorSettings, place: Place) -> AsyncIterator[None]:
    """Holds the Lease; losing it cancels whoever is inside."""
    lease = Lease(api, place.namespace, place.pod, settings.lease_seconds)
    await lease.acquire()
    inside = asyncio.current_task()
    assert inside is not None
    keeping = asyncio.create_task(lease.keep(), name="lease")
    keeping.add_done_callback(lambda task: None if task.cancelled() else inside.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if keeping.done():
            keeping.result()
        raise
    finally:
        keeping.cancel()
        with suppress(ConsiliaError, asyncio.CancelledError):
            await lease.release()


def make_context(
    settings: OperatorSettings, place: Place, api: ApiServer, session: ClientSession, registry: CollectorRegistry
) -> Context:
    """All that a look at an object needs."""
    store, queue, metrics = Store(), WorkQueue[Key](), Metrics(registry)
    metrics.queue_depth.set_function(lambda: len(queue))
    Budgets(registry, partial(store.all, kinds.DATASET))
    for state in JOB_STATES:
        metrics.jobs.labels(state).set_function(partial(count, store, state))
    applying = Applying(api, store)
    return Context(
        settings=settings,
        namespace=place.namespace,
        api=api,
        store=store,
        queue=queue,
        applying=applying,
        progress=ProgressWatch(session, queue.add),
        transport=Transports(api, settings, place.namespace),
        metrics=metrics,
        ledgers=Ledgers(api=api, applying=applying, settings=settings, operator_namespace=place.namespace),
    )


def count(store: Store, state: str) -> int:
    """How many jobs are in a state."""
    return sum(1 for job in store.all(kinds.FEDERATED_JOB) if state_of(job) == state)


def state_of(job: Document) -> str:
    """One of `JOB_STATES`."""
    conditions = job.get("status", {}).get("conditions", ())
    held = (kind for kind in ("Failed", "Succeeded", "Suspended", "Running") if holds(conditions, kind))
    return next(held, "Pending")


async def prepare(context: Context) -> None:
    """Know all that is there before anything is decided."""
    await resync.first(context)
    for watch in watches(context):
        await watch.list()
    for key in resync.everything(context):
        context.queue.add(key)


def watches(context: Context) -> list[Watch]:
    """Of what the operator made, and of the namespaces that consent."""

    def changed(key: Key, document: Document) -> None:
        for each in wake(context.store, key, document):
            context.queue.add(each)

    def watch(kind: kinds.Kind, namespace: str, selector: str) -> Watch:
        return Watch(
            api=context.api, store=context.store, kind=kind, namespace=namespace, selector=selector, changed=changed
        )

    made = f"{MANAGED_BY}={FIELD_MANAGER}"
    namespaces = context.settings.namespaces
    found = [watch(kind, namespace, made) for kind in _MADE for namespace in namespaces or ("",)]
    return found if namespaces else [*found, watch(kinds.NAMESPACE, "", HUB)]


def programs(context: Context, heartbeat: Heartbeat) -> list[Coroutine[Any, Any, None]]:
    """All that goes on side by side."""
    by_kind, settings = reconcilers(context), context.settings
    correspondence = [hub.run(context)] if "Hub" in settings.roles else []
    if settings.hospital:
        correspondence.append(agent.run(context, settings.hospital))
    return [
        *correspondence,
        watch_with_kopf(context, heartbeat),
        heartbeat.run(),
        resync.run(context, heartbeat),
        *(each.run() for each in watches(context)),
        *(work(context, by_kind) for _ in range(context.settings.workers)),
    ]


async def watch_with_kopf(context: Context, heartbeat: Heartbeat) -> None:
    """Until a signal says stop."""
    apart = apart_namespaces(context.settings, context.namespace)
    await kopf.operator(
        registry=handlers.registry(context, heartbeat),
        settings=handlers.settings(),
        standalone=True,
        clusterwide=not apart,
        namespaces=apart,
    )


def apart_namespaces(settings: OperatorSettings, own: str) -> tuple[str, ...]:
    """Those that kopf watches one by one, our own for the heartbeat among them; none if it watches all at once."""
    return tuple(sorted({*settings.namespaces, own})) if settings.namespaces else ()


async def until_one_ends(programs: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all until one ends, by itself or with an error, which is raised; then end the others."""
    tasks = [asyncio.create_task(each) for each in programs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
