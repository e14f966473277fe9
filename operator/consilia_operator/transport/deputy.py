"""Does an administrator's work without holding up the operator: in threads, and for many jobs in one visit."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from consilia.errors import ConsiliaError, LogUnavailableError
from consilia_operator.transport.administration import Reach, Wanted, bring_about

PATIENCE_SECONDS = 120.0
"""After so long without an end a visit counts as failed; its thread ends by kafka-python's own limits."""
_MOST_AT_ONCE = 100
"""Jobs of one visit."""

Answer = TypeVar("Answer")
_Call = tuple[Wanted, asyncio.Future[None]]


@dataclass(slots=True)
class _Desk:
    """One Kafka's: one visit at a time, and who waits for the next."""

    door: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[_Call] = field(default_factory=list)


class Deputy:
    """Of all namespaces."""

    def __init__(self) -> None:
        self._desks: defaultdict[str, _Desk] = defaultdict(_Desk)

    async def bring_about(self, namespace: str, reach: Reach, wanted: Wanted) -> None:
        """See that a job's users and rules are on the namespace's Kafka.

        Jobs that come while another visit is under way are dealt with together, in the next one.

        Raises:
            LogUnavailableError: the brokers do not answer.
            LogAccessError: they do not take us for an administrator.
        """
        desk = self._desks[namespace]
        done = asyncio.get_running_loop().create_future()
        desk.waiting.append((wanted, done))
        try:
            async with desk.door:
                while not done.done():
                    await _visit(desk, reach)
            await done
        finally:
            done.cancel()  # nothing, unless this call was given up: then no visit shall be made for it
            desk.waiting = _awaited(desk.waiting)

    async def ask(self, namespace: str, doing: str, act: Callable[[], Answer]) -> Answer:
        """Have something else done there.

        Raises:
            LogUnavailableError: it took too long.
        """
        async with self._desks[namespace].door:
            return await _in_thread(doing, act)


async def _visit(desk: _Desk, reach: Reach) -> None:
    batch, desk.waiting = desk.waiting[:_MOST_AT_ONCE], desk.waiting[_MOST_AT_ONCE:]
    jobs = [wanted for wanted, _ in batch]
    failed: ConsiliaError | None = None
    try:
        await _in_thread("prepare jobs", lambda: bring_about(reach, jobs))
    except ConsiliaError as error:
        failed = error
    except BaseException:
        desk.waiting = _awaited(batch) + desk.waiting  # for the others: each of them comes to the door yet
        raise
    for _, done in batch:
        if not done.done():
            done.set_exception(failed) if failed else done.set_result(None)


def _awaited(calls: list[_Call]) -> list[_Call]:
    return [(wanted, done) for wanted, done in calls if not done.done()]


async def _in_thread(doing: str, act: Callable[[], Answer]) -> Answer:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.to_thread(act)
    except TimeoutError:
        message = f"cannot {doing} on Kafka: no end of it after {PATIENCE_SECONDS:.0f} s."
        raise LogUnavailableError(
            message, remedy="See that the brokers run and have time; this is tried again."
        ) from None
