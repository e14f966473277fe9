"""The status port: one thread with an event loop, a bounded number of connections, a bounded time for each."""

import asyncio
import logging
import socket
from contextlib import suppress
from http import HTTPStatus
from threading import Thread

from consilia.errors import RunError
from consilia_workers.status.http import LONGEST_HEAD, Answer, parse, refusal
from consilia_workers.status.routes import Routes

logger = logging.getLogger("consilia.status")

_CONNECTIONS = 64
"""So many at once; who comes then is told to come back later."""
_PATIENCE = 10.0
"""So long may a caller take to ask, and to take the answer, in seconds."""


class StatusServer:
    """Serves from `start` until the process or `close` ends it."""

    def __init__(self, port: int, routes: Routes) -> None:
        """Takes the port on all addresses; 0 takes any.

        Raises:
            RunError: the port cannot be had.
        """
        self._socket, self._routes = _listen(port), routes
        self.port: int = self._socket.getsockname()[1]
        """The one that was taken."""
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="status", daemon=True)
        self._closed = asyncio.Event()
        self._connections = 0

    def start(self) -> None:
        """Begin to answer."""
        self._routes.board.attach(self._loop)
        self._thread.start()
        logger.info("status on port %d", self.port)

    def close(self) -> None:
        """Answer no more."""
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._meet, sock=self._socket, limit=LONGEST_HEAD, backlog=_CONNECTIONS)
        async with server:
            await self._closed.wait()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its request to its end; whoever breaks off harms nobody."""
        self._connections += 1
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
                answer = _FULL if self._connections > _CONNECTIONS else await self._answer(reader)
                await _send(writer, answer)
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"ask in {LONGEST_HEAD} bytes")
        asked = parse(head)
        return asked if isinstance(asked, Answer) else await self._routes.answer(asked)


_FULL = refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections: come back later")


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    async with asyncio.timeout(_PATIENCE):
        writer.write(answer.as_bytes())
        writer.close()
        await writer.wait_closed()


def _listen(port: int) -> socket.socket:
    """On IPv6 and IPv4, or on IPv4 alone where there is no other."""
    both = socket.has_dualstack_ipv6()
    try:
        family = socket.AF_INET6 if both else socket.AF_INET
        return socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        message = f"cannot serve the status on port {port}: {error.strerror}."
        raise RunError(message, remedy="Give status_port another value.") from error
