"""Everything is looked at anew now and then; and what a list finds must have come through the watch."""

import asyncio
import logging
from collections.abc import Coroutine
from random import uniform
from typing import Any

from consilia_operator import kinds
from consilia_operator.context import Context
from consilia_operator.errors import ApiRefused, ApiUnavailable
from consilia_operator.heartbeat import Heartbeat
from consilia_operator.names import KAFKA
from consilia_operator.store import Key, key_of, version_of
from consilia_operator.sweeping import orphaned
from consilia_operator.waking import OURS

logger = logging.getLogger("consilia.operator.resync")

_AT_WORK = 15.0
"""By when kopf's watches have begun, in seconds after the start."""


async def run(context: Context, heartbeat: Heartbeat) -> None:
    """Until cancelled."""
    # kopf begins with a list of its own: of what went between `first` and that one, it never tells.
    await asyncio.sleep(min(_AT_WORK, context.settings.resync_seconds))
    await _tried(compare(context, heartbeat))
    while True:
        await asyncio.sleep(context.settings.resync_seconds)
        await _tried(resync(context, heartbeat))


async def _tried(program: Coroutine[Any, Any, None]) -> None:
    try:
        await program
    except (ApiRefused, ApiUnavailable) as error:
        logger.warning("the resync is repeated later: %s", error)


async def first(context: Context) -> None:
    """Know all that is there before anything is decided."""
    for kind in OURS:
        for namespace in context.settings.namespaces or ("",):
            found, version = await context.api.snapshot(kind, namespace)
            context.store.replace(kind, namespace or None, found, version)


async def resync(context: Context, heartbeat: Heartbeat) -> None:
    """List what is ours, and have all of it looked at, spread over the time until the next resync."""
    await compare(context, heartbeat)
    spread = context.settings.resync_seconds
    for key in everything(context):
        context.queue.add_later(key, uniform(0, spread))  # noqa: S311 (no secret)


async def compare(context: Context, heartbeat: Heartbeat) -> None:
    """List what is ours, and have looked at what the watches did not tell."""
    for kind in OURS:
        for namespace in context.settings.namespaces or ("",):
            found, version = await context.api.snapshot(kind, namespace)
            news, gone = context.store.replace(kind, namespace or None, found, version)
            versions = {key_of(kind, each): version_of(each) for each in found}
            for key in news:
                heartbeat.expect(key, versions[key])
                context.queue.add(key)
            for key in gone:
                heartbeat.gone(key)
                context.queue.add(key)


def everything(context: Context) -> list[Key]:
    """All that is to be looked at."""
    keys = [key_of(kind, each) for kind in OURS for each in context.store.all(kind)]
    logs = (*context.store.all(kinds.STATEFUL_SET), *context.store.all(kinds.FEDERATED_JOB))
    hubs = dict.fromkeys(each["metadata"]["namespace"] for each in logs)
    return [*keys, *orphaned(context), *(Key(kinds.STATEFUL_SET, namespace, KAFKA) for namespace in hubs)]
