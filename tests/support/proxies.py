"""Real proxies on loopback, HTTP CONNECT and SOCKS5, with and without a login: they count, resolve names and refuse."""

import asyncio
import base64
import ipaddress
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Self, TypeVar

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Result = TypeVar("Result")
HOST = "127.0.0.1"


class ProxyServer:
    """A proxy that runs within a `with` block, in a thread of its own."""

    def __init__(
        self,
        kind: str,
        *,
        login: tuple[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        forbidden: Callable[[str], bool] = lambda target: False,
        answer: bytes | None = None,
        silent: bool = False,
    ) -> None:
        """A `kind` of "http" or "socks5".

        `names` are those that only it can resolve; `forbidden` says which targets, as host:port, it does not lead to;
        with `answer` it says just that, whatever it is asked; b"" hangs up, and `silent` says nothing at all.
        """
        self.kind, self._login, self._names = kind, login, dict(names or {})
        self._forbidden, self._answer, self._silent = forbidden, answer, silent
        self.targets: list[str] = []
        """What it was asked to lead to, as host:port, in order."""
        self.ways_out: set[int] = set()
        """The local ports of the connections that it made."""
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, HOST, 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port and all connections."""
        if self._thread.is_alive():
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.sleep(0.01)  # one that never began, of a connection just let in, would not close it
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._silent:
            await reader.read()
        if self._answer is not None:
            await reader.read(4096)
            writer.write(self._answer)
            await writer.drain()
            return
        target = await (self._http if self.kind == "http" else self._socks)(reader, writer)
        if target is not None:
            await _pump(reader, writer, *target)

    async def _reach(self, host: str, port: int) -> Streams | str:
        """A connection to the target, or why there is none: "forbidden", "unreachable"."""
        self.targets.append(f"{host}:{port}")
        if self._forbidden(f"{host}:{port}"):
            return "forbidden"
        try:
            reached = await asyncio.open_connection(self._names.get(host, host), port)
        except OSError:
            return "unreachable"
        self.ways_out.add(reached[1].get_extra_info("sockname")[1])
        return reached

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streams | None:
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, authority, _ = request.split(" ")
        assert method == "CONNECT"
        if self._login and f"Proxy-Authorization: Basic {_basic(*self._login)}" not in headers:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            return None
        host, _, port = authority.rpartition(":")
        reached = await self._reach(host.strip("[]"), int(port))
        if isinstance(reached, str):
            writer.write({"forbidden": b"HTTP/1.1 403 Forbidden", "unreachable": b"HTTP/1.1 502 Bad Gateway"}[reached])
            writer.write(b"\r\nContent-Length: 0\r\n\r\n")
            return None
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 hospital\r\n\r\n")
        return reached

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streams | None:
        methods = await reader.readexactly((await reader.readexactly(2))[1])
        wanted = 2 if self._login else 0
        writer.write(bytes([5, wanted if wanted in methods else 255]))
        if wanted not in methods or (self._login and not await self._socks_login(reader, writer)):
            return None
        _, _, _, kind = await reader.readexactly(4)
        host = await _socks_host(reader, kind)
        reached = await self._reach(host, int.from_bytes(await reader.readexactly(2), "big"))
        if isinstance(reached, str):
            writer.write(bytes([5, {"forbidden": 2, "unreachable": 4}[reached], 0, 1]) + bytes(6))
            return None
        # Bound to a name: allowed by RFC 1928, and not what every client expects.
        writer.write(b"\x05\x00\x00\x03\x05proxy\x04\x38")
        return reached

    async def _socks_login(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reader.readexactly(1)
        given = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
        right = tuple(given) == self._login
        writer.write(bytes([1, 0 if right else 1]))
        return right


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


async def _socks_host(reader: asyncio.StreamReader, kind: int) -> str:
    if kind == 3:
        return (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    return str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *target: Any) -> None:
    """Both directions, until either ends."""
    there_reader, there_writer = target
    ways = [asyncio.ensure_future(_copy(reader, there_writer)), asyncio.ensure_future(_copy(there_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        there_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1 << 16):
        writer.write(piece)
        await writer.drain()
