"""The sockets that lead kafka-python, and our own diagnosis, through a proxy.

kafka-python 3.0.12 has tunnels of its own. While they wait for the proxy's answer they ask whether they may write,
which is always so, and keep a core busy; they say the same for every refusal; they want the password in a URL, where
one of `/?#[]` breaks it and from where it gets into errors; and a SOCKS5 answer that holds a name or an IPv6 address
ends them. `Tunnel` takes their place, by the registry that `KafkaNetSocket` keeps for that.
"""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from kafka.errors import KafkaConnectionError
from kafka.net import NetworkSelector

from consilia.errors import ConsiliaError, LogUnavailableError
from consilia.kafka.network import DirectNetwork
from consilia.kafka.proxy import Dialogue, Proxy, Question

_SCHEME = "consilia-proxy"

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
"""One of `socket.getaddrinfo`'s results."""


def proxy_url(proxy: Proxy) -> str:
    """What kafka-python's clients take as `proxy_url` to use `Tunnel`; it holds no secret."""
    return f"{_SCHEME}:?{proxy.query}"


def converse(dialogue: Dialogue, sock: socket.socket, proxy: Proxy, deadline: float) -> None:
    """Hold the dialogue over a blocking socket, until `deadline` by the monotonic clock.

    Raises:
        ConsiliaError: what the dialogue raises, or the proxy hung up.
        OSError: the connection broke, or time is up.
    """
    answer: bytes | None = None
    while (question := _next(dialogue, answer)) is not None:
        request, missing = question
        sock.settimeout(max(deadline - time.monotonic(), 1e-3))
        sock.sendall(request)
        answer = b""
        while count := missing(answer):
            sock.settimeout(max(deadline - time.monotonic(), 1e-3))
            answer += _received(sock.recv(count), proxy)


def _next(dialogue: Dialogue, answer: bytes | None) -> Question | None:
    """The next question, or None when there are no more."""
    try:
        return next(dialogue) if answer is None else dialogue.send(answer)
    except StopIteration:
        return None


def _received(piece: bytes, proxy: Proxy) -> bytes:
    if not piece:
        message = f"the proxy {proxy} hung up in the middle of its answer."
        raise LogUnavailableError(message, remedy="See whether the proxy works, and lets this machine use it.")
    return piece


class Tunnel(DirectNetwork):
    """One connection of kafka-python's through a proxy."""

    SCHEMES = (_SCHEME,)

    def __init__(self, proxy_url: str) -> None:
        """`proxy_url` as the function of that name makes it."""
        self._proxy = Proxy.from_query(urlsplit(proxy_url).query)

    def dns_lookup(self, host: str, port: int, raise_error: bool = False) -> Sequence[AddressInfo]:
        """The broker's addresses, or its name as it is if the proxy is to resolve it."""
        if self._proxy.resolves:
            return [(socket.AF_UNSPEC, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
        return super().dns_lookup(host, port, raise_error)  # type: ignore[no-any-return]

    async def connect(
        self,
        net: NetworkSelector,
        addrinfo: AddressInfo,
        socket_options: Sequence[Any] = (),
        timeout_at: float | None = None,
    ) -> socket.socket:
        """Through the proxy to the broker at `addrinfo`, one of `dns_lookup`'s results."""
        host, port = addrinfo[4][:2]
        sock = await self._dial(net, socket_options, timeout_at)
        arrived = False
        try:
            await self._converse(self._proxy.dialogue(host, port), net, sock, timeout_at)
            arrived = True
        except ConsiliaError as error:
            raise KafkaConnectionError(str(error)) from None
        finally:
            if not arrived:
                sock.close()
        return sock

    async def _dial(
        self, net: NetworkSelector, socket_options: Sequence[Any], timeout_at: float | None
    ) -> socket.socket:
        """Connected to the first of the proxy's addresses that answers."""
        ways = super().dns_lookup(self._proxy.host, self._proxy.port, raise_error=True)
        for way in ways[:-1]:
            with suppress(KafkaConnectionError):
                return await super().connect(net, way, socket_options, timeout_at)  # type: ignore[no-any-return]
        return await super().connect(net, ways[-1], socket_options, timeout_at)  # type: ignore[no-any-return]

    async def _converse(
        self, dialogue: Dialogue, net: NetworkSelector, sock: socket.socket, timeout_at: float | None
    ) -> None:
        answer: bytes | None = None
        while (question := _next(dialogue, answer)) is not None:
            request, missing = question
            while request:
                await net.wait_write(sock, timeout_at)
                request = request[sock.send(request) :]
            answer = b""
            while count := missing(answer):
                await net.wait_read(sock, timeout_at)
                # Not by the socket's own way to read, which takes what has arrived even if it is more.
                answer += _received(socket.socket.recv(sock, count), self._proxy)
