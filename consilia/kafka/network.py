"""Sockets that read all there is. Why: docs/decisions/0008-kafka-through-kafka-python.md.

kafka-python reads 4 KiB at a time, so that a 1 MiB chunk takes 256 calls; its ways in are a socket class registered for
a scheme of `proxy_url`, and the socket class of an `ssl_context`.
"""

import socket
import ssl
from typing import cast

from kafka.net import KafkaNetSocket

from consilia.kafka.certificates import load_certificates
from consilia.kafka.settings import KafkaSettings

DIRECT = "direct://"
"""The `proxy_url` of connections that go through no proxy."""
_RECEIVE_BYTES = 1 << 20
"""So much is asked of the operating system at a time: a chunk."""
_TLS_BYTES = 256 << 10
"""The same inside TLS, which hands out far less at a time."""


class WideSocket(socket.socket):
    """A plain connection."""

    _drained = False

    def __del__(self) -> None:
        """Closed without a warning: kafka-python forgets a socket whose connection fails or is given up."""
        self.close()

    def __repr__(self) -> str:
        """Short: the standard library words an exception with it, by system calls, whenever kafka-python waits."""
        return "<WideSocket>"

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Whatever has arrived, even where that is more than `size`: the caller reads until nothing is left.

        Raises:
            BlockingIOError: nothing is left, also where the last answer was short: asking again would cost a buffer.
        """
        if self._drained:
            self._drained = False
            raise BlockingIOError
        data = super().recv(_RECEIVE_BYTES, flags)
        self._drained = 0 < len(data) < _RECEIVE_BYTES
        return data


class DirectNetwork(KafkaNetSocket):  # type: ignore[misc]  # kafka-python has no types
    """Connects kafka-python's clients by `WideSocket`."""

    SCHEMES = ("direct",)

    def socket(self, family: int, sock_type: int, proto: int) -> socket.socket:
        """A new socket, not connected yet."""
        return WideSocket(family, sock_type, proto)


class WideTlsSocket(ssl.SSLSocket):
    """A connection inside TLS, which hands out a TLS record of at most 16 KiB at a time."""

    def __del__(self) -> None:
        """As `WideSocket`: kafka-python forgets this one in the middle of a handshake, too."""
        self.close()

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Whatever has arrived, even where that is more than `buflen`."""
        return super().recv(max(buflen, _TLS_BYTES), flags)


def tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer; the broker's certificate must be for its name, and signed by whom the settings trust.

    Raises:
        LogError: a file is missing or holds no certificate or key.
        LogAccessError: this party's certificate has expired or is not valid yet.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = cast("type[ssl.SSLSocket]", WideTlsSocket)
    load_certificates(context, settings)
    return context
