"""The way to one broker, step by step: resolve, connect, through the proxy if there is one, TLS, ask.

kafka-python takes the same steps; of what goes wrong in them it tells only that time is up. Here every step is known.
"""

import socket
import ssl
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from typing import Any

from kafka.errors import KafkaError, KafkaProtocolError
from kafka.protocol.parser import KafkaProtocol

from consilia.errors import ConsiliaError, LogUnavailableError
from consilia.kafka import findings
from consilia.kafka.findings import Peer
from consilia.kafka.proxy import Proxy, authority
from consilia.kafka.tunnel import AddressInfo, converse

_LONGEST_ANSWER = 1 << 20
_UNDECODABLE = (struct.error, ValueError, LookupError, TypeError, KafkaError)
"""What kafka-python's decoder makes of bytes that somebody else might send."""


class Step(StrEnum):
    """The steps, in words that stand before "was not done" and behind "while"."""

    NAME = "looking up its name"
    CONNECTION = "connecting"
    PROXY = "asking the proxy for the way"
    TLS = "agreeing on TLS"
    GREETING = "greeting it"
    LOGIN = "logging in"
    BROKERS = "asking for the brokers"


class Approach:
    """One connection to a broker in the making, to be closed by `close`."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        """All of it may take so long."""
        self.peer = peer
        self.step = Step.NAME
        self.seen = b""
        """The last bytes that came."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._opened = ExitStack()
        self._sock: socket.socket

    def again(self) -> "Approach":
        """The same way, for a second look, in the time that is left."""
        return Approach(self.peer, self._left())

    def connect(self) -> None:
        """Up to the broker's port.

        Raises:
            ConsiliaError: there is no way, or the proxy does not open it.
            OSError: time is up.
        """
        proxy = Proxy.of(self.peer.settings)
        if proxy is None:
            self._sock = self._dial(self.peer.host, self.peer.port)
        elif proxy.resolves:
            self._ask_proxy(proxy, [self.peer.host])
        else:
            self._ask_proxy(proxy, [str(each[4][0]) for each in self._resolve(self.peer.host, self.peer.port)])

    def secure(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Agree on TLS, by the rules of `context`.

        Raises:
            OSError: among them all of TLS's errors.
        """
        self.step = Step.TLS
        self._sock.settimeout(self._left())
        secured = self._opened.enter_context(context.wrap_socket(self._sock, server_hostname=self.peer.host))
        self._sock = secured
        return secured

    def ask(self, request: Any) -> Any:  # noqa: ANN401 (kafka-python has no types)
        """The broker's answer to one of kafka-python's requests.

        Raises:
            OSError: the connection broke, or time is up.
            EOFError: the broker ended the connection.
            KafkaProtocolError: what came is no answer of Kafka's.
        """
        protocol = KafkaProtocol(client_id="consilia-diagnosis", receive_message_max_bytes=_LONGEST_ANSWER)
        protocol.send_request(request)
        self._sock.settimeout(self._left())
        self._sock.sendall(protocol.send_bytes())
        answers: list[Any] = []
        while not answers:
            piece = self.listen()
            try:
                answers = protocol.receive_bytes(piece)
            except _UNDECODABLE as error:
                raise KafkaProtocolError(type(error).__name__) from None
        return answers[0][1]

    def listen(self) -> bytes:
        """What comes next.

        Raises:
            OSError: the connection broke, or time is up.
            EOFError: the broker ended the connection.
        """
        self._sock.settimeout(self._left())
        self.seen = self._sock.recv(_LONGEST_ANSWER)
        if not self.seen:
            raise EOFError
        return self.seen

    def timeout(self) -> ConsiliaError:
        """What to say when it takes too long."""
        return findings.silent(self.peer, self.step, self._seconds)

    def close(self) -> None:
        """End the connection."""
        self._opened.close()

    def _ask_proxy(self, proxy: Proxy, hosts: Sequence[str]) -> None:
        """Let the proxy lead to the first of the broker's names or addresses that it can reach."""
        for left, host in zip(range(len(hosts) - 1, -1, -1), hosts, strict=True):
            self._sock = self._dial(proxy.host, proxy.port)
            self.step = Step.PROXY
            try:
                converse(proxy.dialogue(host, self.peer.port), self._sock, proxy, self._deadline)
            except LogUnavailableError:
                if not left:
                    raise
            else:
                return

    def _resolve(self, host: str, port: int) -> list[AddressInfo]:
        self.step = Step.NAME
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no valid name"
            raise findings.unknown_host(self.peer, host, reason) from None

    def _dial(self, host: str, port: int) -> socket.socket:
        """Connected to the first of the host's addresses that answers; each gets its share of the time."""
        addresses = self._resolve(host, port)
        self.step = Step.CONNECTION
        failed: OSError | None = None
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = self._opened.enter_context(socket.socket(family, kind, protocol))
            sock.settimeout(self._left() / (len(addresses) - index))
            try:
                sock.connect(address)
            except OSError as error:
                failed = error
            else:
                return sock
        raise self._no_way(failed, authority(host, port)) from None

    def _no_way(self, error: OSError | None, address: str) -> ConsiliaError:
        if isinstance(error, ConnectionRefusedError):
            return findings.refused(self.peer, address)
        if isinstance(error, TimeoutError):
            return self.timeout()
        return findings.unreachable(self.peer, str(error.strerror or error) if error else f"{address} has no address")

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 1e-3)
