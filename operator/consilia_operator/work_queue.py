"""Which keys are to be looked at: each once however often it is named, never two at a time, failures ever later."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
FIRST_RETRY, LAST_RETRY = 0.5, 60.0


@dataclass(slots=True)
class WorkQueue(Generic[K]):
    """For one event loop."""

    _ready: asyncio.Queue[K] = field(default_factory=asyncio.Queue)
    _waiting: set[K] = field(default_factory=set)
    """In `_ready`, and not yet taken."""
    _working: set[K] = field(default_factory=set)
    _again: set[K] = field(default_factory=set)
    """Named again while being worked on."""
    _timers: dict[K, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[K, int] = field(default_factory=dict)

    def add(self, key: K) -> None:
        """Have the key looked at as soon as possible."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_later(self, key: K, seconds: float) -> None:
        """Have the key looked at after so many seconds; an earlier appointment stands."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def take(self) -> K:
        """The next key; it is yours until `done`, `failed` or `forget`."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """It was looked at, and all is well."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K) -> float:
        """It must be looked at again, later with every failure in a row; in how many seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        seconds: float = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 16))
        self._release(key)
        self.add_later(key, seconds)
        return seconds

    def _release(self, key: K) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._working)
