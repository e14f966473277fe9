"""One party's end of the correspondence: letters go out in order, and are read from where the last look ended.

Everything here waits for the log, so it is called in a thread: see `Clerk`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from consilia.errors import ConsiliaError
from consilia.log import Log, Record, follow
from consilia.wire.correspondence import FromHub, Report, key_of, write
from consilia.wire.identity import Identity

Answer = TypeVar("Answer")
_PARTING = 5.0
"""So long a connection may take to close, in seconds: whoever is told to stop has 30 for everything."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A letter, and the topic that it goes to."""

    topic: str
    letter: FromHub | Report


class Mailbox:
    """A connection to the log. Not shared between threads."""

    def __init__(self, log: Log, name: str, identity: Identity) -> None:
        """Whoever has written under this `name` before can write no more. The log is this mailbox's from now on."""
        self._log, self._identity = log, identity
        try:
            self._producer = log.producer(name)
        except BaseException:
            log.close()
            raise

    def end(self, topic: str) -> int:
        """Behind the newest record."""
        return self._log.end_offset(topic)

    def receive(self, positions: Mapping[str, int], seconds: float) -> list[Record]:
        """What has come on these topics from these offsets on; waits so long for something to come."""
        self._log.wait(positions, seconds)
        return [record for topic, offset in positions.items() for record in follow(self._log, topic, offset)]

    def everything(self, topics: Sequence[str]) -> list[Record]:
        """All that is there on these topics. They are asked for together: one after the other would take minutes."""
        for topic in topics:
            self._log.end_offset(topic)  # from here on the log knows how far it has to read
        self._log.wait(dict.fromkeys(topics, 0), 0)
        return [record for topic in topics for record in follow(self._log, topic, 0)]

    def send(self, letters: Sequence[Posted]) -> None:
        """All of them or none."""
        with self._producer.transaction() as transaction:
            for each in letters:
                value, headers = write(each.letter, self._identity)
                transaction.append(each.topic, value, key=key_of(each.letter), headers=headers)

    def close(self) -> None:
        """Leave the log."""
        self._log.close()


class Clerk:
    """A thread of its own for what waits; one call at a time. The program's end does not wait for it."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self._serve, name="correspondence", daemon=True).start()

    async def have(self, act: Callable[[], Answer]) -> Answer:
        """Have it done there."""
        future: Future[Answer] = Future()
        self._asked.put((future, act))
        return await asyncio.wrap_future(future)

    async def close(self, mailbox: Mailbox) -> None:
        """Leave the log; where it does not answer, without waiting for that."""
        with suppress(ConsiliaError, TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.have(mailbox.close)), _PARTING)

    def dismiss(self) -> None:
        """Without waiting for what it is at."""
        self._asked.put(None)

    def _serve(self) -> None:
        while asked := self._asked.get():
            future, act = asked
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(act())
                except BaseException as error:  # noqa: BLE001 (it is whoever asked that hears of it)
                    future.set_exception(error)
