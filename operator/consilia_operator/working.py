"""The workers: each takes a key, has its object reconciled, and sees to what comes of it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from consilia.errors import ConsiliaError, TemporaryError
from consilia_operator import datasets, hospital_tasks, hospitals, kafka_upkeep, kinds, reconcile
from consilia_operator.context import Context
from consilia_operator.errors import Conflict
from consilia_operator.kinds import Kind
from consilia_operator.store import Key

logger = logging.getLogger("consilia.operator")

Reconcile = Callable[[Context, Key], Awaitable[float | None]]

HUB: Mapping[Kind, Reconcile] = {
    kinds.FEDERATED_JOB: reconcile.reconcile,
    kinds.HOSPITAL: hospitals.reconcile,
    kinds.STATEFUL_SET: kafka_upkeep.reconcile,
}
HOSPITAL: Mapping[Kind, Reconcile] = {
    kinds.DATASET: datasets.reconcile,
    kinds.HOSPITAL_TASK: hospital_tasks.reconcile,
}


def reconcilers(context: Context) -> Mapping[Kind, Reconcile]:
    """What this operator's roles look after."""
    roles = context.settings.roles
    return {**(HUB if "Hub" in roles else {}), **(HOSPITAL if "Hospital" in roles else {})}


async def work(context: Context, by_kind: Mapping[Kind, Reconcile]) -> None:
    """Until cancelled."""
    while True:
        key = await context.queue.take()
        if key.kind not in by_kind:
            context.queue.done(key)
            continue
        await _look(context, key, by_kind[key.kind])


async def _look(context: Context, key: Key, reconcile: Reconcile) -> None:
    """One look; whatever goes wrong is told and repeated, and never ends the operator."""
    started = monotonic()
    try:
        again = await reconcile(context, key)
    except Conflict:
        context.queue.done(key)
        context.queue.add_later(key, 0.2)  # what changed comes through the watch
    except TemporaryError as error:
        _failed(context, key, "Unavailable", f"{key}: {error}")
    except ConsiliaError as error:
        _failed(context, key, "Refused", f"{key}: {error}")
    except Exception:
        logger.exception("%s: this is a bug in Consilia", key)
        _failed(context, key, "Bug", "")
    else:
        context.queue.done(key)
        if again is not None:
            context.queue.add_later(key, again)
    context.metrics.reconcile_seconds.labels(key.kind.kind).observe(monotonic() - started)


def _failed(context: Context, key: Key, reason: str, message: str) -> None:
    seconds = context.queue.failed(key)
    context.metrics.reconcile_errors.labels(key.kind.kind, reason).inc()
    if message:
        logger.warning("%s Again in %.0f s.", message, seconds)
