"""A wire between a hospital and the world, on loopback, that a test may cut and mend."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

HOST = "127.0.0.1"


class Wire:
    """Carries bytes to one port, in a thread of its own. While it is cut nothing passes, and nobody is told."""

    def __init__(self, port: int) -> None:
        """`port` is where it leads to."""
        self._target, self.port = port, 0
        self._whole = asyncio.Event()
        """Of the connections since the last cut."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._whole.set()
        self._server = self._run(asyncio.start_server(self._accept, HOST, 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """From now on nothing passes; connections stay, and new ones are taken, all of them silent."""
        self._run(self._cut_all())

    def mend(self, *, forgotten: bool = False) -> None:
        """Let what was held back pass, as TCP would; or, `forgotten`, leave old connections silent for ever.

        The latter is what a firewall does that has lost its table, or was replaced.
        """
        self._run(self._mend(forgotten=forgotten))

    async def _cut_all(self) -> None:
        self._whole.clear()

    async def _mend(self, *, forgotten: bool) -> None:
        if forgotten:
            self._whole = asyncio.Event()
        self._whole.set()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._carry(reader, writer, self._whole)
        finally:
            await _close(writer)
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: asyncio.Event) -> None:
        await whole.wait()
        there_reader, there_writer = await asyncio.open_connection(HOST, self._target)
        try:
            await _first_of(_copy(reader, there_writer, whole), _copy(there_reader, writer, whole))
        finally:
            await _close(there_writer)


async def _first_of(*ways: Coroutine[Any, Any, None]) -> None:
    """Until one of them ends."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: asyncio.Event) -> None:
    while piece := await reader.read(1 << 16):
        await whole.wait()
        writer.write(piece)
        await writer.drain()
    await whole.wait()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
