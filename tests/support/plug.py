"""A plug that is pulled at the n-th moment: what a party does to its log and its disk are the moments."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Pulled(BaseException):
    """As final as SIGKILL: nobody who catches exceptions catches it."""


@dataclass
class Plug:
    """Counts moments; at `at` the party is dead, and stays so until the next plug."""

    at: int
    death: type[BaseException] = Pulled
    """What the party meets with then."""
    moments: int = 0
    others_turn: bool = False
    """Whether somebody else acts just now, on the same disk."""

    def moment(self) -> None:
        if self.others_turn:
            return
        self.moments += 1
        if self.moments >= self.at:
            raise self.death

    def around(self, act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """There is a moment before every act and one after it."""
        self.moment()
        result = act(*args, **kwargs)
        self.moment()
        return result


class Plugged:
    """A log, a producer or a transaction whose user may die before and after every call."""

    def __init__(self, inner: Any, plug: Plug, wait: Callable[[], object] = lambda: None) -> None:
        """`wait` is what the others do while this party waits."""
        self._inner, self._plug, self._wait = inner, plug, wait

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self._plug.around(getattr(self._inner, name), *args, **kwargs)

    def producer(self, name: str, **kwargs: Any) -> "Plugged":
        return Plugged(self._plug.around(self._inner.producer, name, **kwargs), self._plug)

    @contextmanager
    def transaction(self) -> Iterator["Plugged"]:
        self._plug.moment()
        with self._inner.transaction() as transaction:
            yield Plugged(transaction, self._plug)
            self._plug.moment()
        self._plug.moment()

    def wait(self, positions: Mapping[str, int], timeout: float) -> bool:
        self._plug.moment()
        self._plug.others_turn = True
        self._wait()
        self._plug.others_turn = False
        return bool(self._inner.wait(positions, 0))


def plug_disk(monkeypatch: Any, plug: Plug) -> None:
    """There are moments around what makes a file durable, too."""
    for place, name in ((os, "fsync"), (Path, "replace"), (Path, "touch"), (Path, "unlink")):
        original = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *args, _act=original, **kwargs: plug.around(_act, *args, **kwargs))
