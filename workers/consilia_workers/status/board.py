"""The newest snapshot, signed when it is asked for, and whoever waits for the next."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from time import monotonic, sleep, time_ns

from consilia.progress import JobProgress, TrainerProgress
from consilia.wire.identity import Identity, canonical

_GLANCE = 0.05
Snapshot = JobProgress | TrainerProgress


@dataclass(frozen=True, kw_only=True)
class _Posted:
    snapshot: Snapshot
    version: int
    identity: Identity

    @cached_property
    def answer(self) -> bytes:
        numbered = self.snapshot.model_copy(update={"version": self.version})
        body = canonical(numbered.model_dump(mode="json", by_alias=True, exclude_none=True))
        return json.dumps({"body": body.decode(), "signature": self.identity.sign(body)}).encode()


class Board:
    """One thread posts, another one's event loop answers."""

    def __init__(self, identity: Identity, first: Snapshot) -> None:
        """`identity` signs; the version of a snapshot is given here, whatever it says."""
        self._posted = _Posted(snapshot=first, version=time_ns() // 1000, identity=identity)
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = 0
        """The version that somebody was told last."""

    def post(self, snapshot: Snapshot) -> None:
        """Replace the newest, unless nothing has changed."""
        last = self._posted
        if snapshot == last.snapshot:
            return
        self._posted = _Posted(snapshot=snapshot, version=last.version + 1, identity=last.identity)
        if self._loop:
            with suppress(RuntimeError):  # it has just ended: nobody waits there any more
                self._loop.call_soon_threadsafe(self._wake)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answers are given in this loop."""
        self._loop = loop

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def wait_until_told(self, seconds: float) -> None:
        """Wait, no longer than so many seconds, until whoever has asked before was told the newest."""
        end = monotonic() + seconds
        while 0 < self._told < self._posted.version and monotonic() < end:
            sleep(_GLANCE)
        if self._told:
            sleep(_GLANCE)  # for the answer to leave

    async def newer(self, after: int, seconds: float) -> bytes | None:
        """The answer with the newest snapshot once its version is above `after`; None when `seconds` are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._posted.version <= after:
                    await self._news.wait()
            posted = self._posted
            self._told = posted.version
            return posted.answer
        return None
