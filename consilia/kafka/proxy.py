"""The way out of a hospital: what is said to an HTTP or SOCKS5 proxy before the broker is reached.

Sources: CONNECT, RFC 9110 §9.3.6; Basic credentials, RFC 7617; SOCKS5, RFC 1928 and RFC 1929.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlencode

from consilia.errors import ConsiliaError, LogAccessError, LogError, LogUnavailableError
from consilia.kafka.password import read_password
from consilia.kafka.settings import KafkaSettings

Question = tuple[bytes, Callable[[bytes], int]]
"""What to send, and a function from what has come in so far to the number of bytes that are still to come."""
Dialogue = Generator[Question, bytes, None]
"""Asks its questions and is sent the answers; whoever drives it owns the socket. Ends when the way is free."""

_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_LONGEST_HEADER = 16 << 10
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy and how to log in there; the password stays in its file until it is needed."""

    scheme: str
    """http, socks5 (names are resolved here) or socks5h (names are resolved by the proxy)."""
    host: str
    port: int
    username: str | None = None
    password: Path | None = None

    @classmethod
    def of(cls, settings: KafkaSettings) -> Self | None:
        """The proxy that the settings name, if any."""
        if settings.proxy is None:
            return None
        scheme, _, address = settings.proxy.partition("://")
        return cls(scheme, *host_and_port(address), settings.proxy_username, settings.proxy_password)

    @classmethod
    def from_query(cls, query: str) -> Self:
        """The reverse of `query`."""
        fields = {name: values[0] for name, values in parse_qs(query, strict_parsing=True).items()}
        password = Path(fields["password"]) if "password" in fields else None
        return cls(fields["scheme"], fields["host"], int(fields["port"]), fields.get("username"), password)

    @property
    def query(self) -> str:
        """All of it, without the password itself, as the query of a URL."""
        fields: dict[str, str | int | None] = {
            "scheme": self.scheme,
            "host": self.host,
            "port": self.port,
            "username": self.username,
        }
        fields["password"] = str(self.password) if self.password else None
        return urlencode({name: value for name, value in fields.items() if value is not None})

    @property
    def resolves(self) -> bool:
        """Whether the proxy is given the broker's name, and not its address."""
        return self.scheme != "socks5"

    def __str__(self) -> str:
        """As the settings say it."""
        return f"{self.scheme}://{authority(self.host, self.port)}"

    def dialogue(self, host: str, port: int) -> Dialogue:
        """What leads to the broker at `host:port`.

        Raises:
            LogAccessError: the proxy wants other credentials, or forbids it.
            LogUnavailableError: the proxy cannot reach the broker.
            LogError: it is no such proxy, the password's file cannot be read, or `host` is no host name.
        """
        if not _HOST.fullmatch(host):
            # The cluster announces its brokers' names; this one must not write the request to the hospital's proxy.
            raise LogError(f"{host!r} is no host name.", remedy="Correct advertised.listeners of the brokers.")
        return (_connect if self.scheme == "http" else _socks)(self, host, port)

    def credentials(self) -> tuple[bytes, bytes] | None:
        """User and password, read from the file now, so that a new password counts from the next connection on."""
        if self.username is None or self.password is None:
            return None
        return self.username.encode(), read_password(self.password, "proxyPassword").encode()


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of `host:port`; an IPv6 address loses its brackets.

    Raises:
        LogError: there is no such port.
    """
    host, _, port = address.rpartition(":")
    if not 0 < int(port) < 1 << 16:
        raise LogError(f"{address} has no valid port.", remedy="Give a port from 1 to 65535 in the Kafka settings.")
    return host.strip("[]"), int(port)


def authority(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _connect(proxy: Proxy, host: str, port: int) -> Dialogue:
    target = authority(host, port)
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode()
    if credentials := proxy.credentials():
        request += b"Proxy-Authorization: Basic " + b64encode(b":".join(credentials)) + b"\r\n"
    answer = yield request + b"\r\n", lambda read: _missing_header(proxy, read)
    version, _, rest = answer.split(b"\r\n", 1)[0].partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise _no_proxy(proxy, "HTTP")
    if not status.startswith(b"2"):
        raise _http_refusal(proxy, target, int(status))


def _missing_header(proxy: Proxy, read: bytes) -> int:
    """So few that nothing behind the header is taken: the broker's bytes come next."""
    if len(read) > _LONGEST_HEADER or (len(read) >= 5 and not read.startswith(b"HTTP/")):
        raise _no_proxy(proxy, "HTTP")
    return next(4 - length for length in (4, 3, 2, 1, 0) if read.endswith(_END[:length]))


def _http_refusal(proxy: Proxy, target: str, status: int) -> ConsiliaError:
    if status == 407:
        return _bad_login(proxy)
    if status in (401, 403, 405):
        return _forbidden(proxy, target, f"HTTP status {status}")
    return _unreachable(proxy, target, f"HTTP status {status}")


_SOCKS_FAILURES = (
    "",
    "general failure",
    "not allowed by its rules",
    "network unreachable",
    "host unreachable",
    "connection refused",
    "time to live expired",
    "command not supported",
    "address type not supported",
)


def _socks(proxy: Proxy, host: str, port: int) -> Dialogue:
    yield from _socks_login(proxy)
    request = b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big")
    answer = yield request, lambda read: _missing_reply(proxy, read)
    code, target = answer[1], authority(host, port)
    if code == 2:
        raise _forbidden(proxy, target, "SOCKS reply 2")
    if code:
        known = _SOCKS_FAILURES[code] if code < len(_SOCKS_FAILURES) else "unknown"
        raise _unreachable(proxy, target, f"SOCKS reply {code}, {known}")


def _socks_login(proxy: Proxy) -> Dialogue:
    credentials = proxy.credentials()
    methods = b"\x00\x02" if credentials else b"\x00"
    choice = yield bytes([5, len(methods)]) + methods, lambda read: _of_version(proxy, 5, read, 2)
    if choice[1] == 0:
        return
    if choice[1] != 2 or not credentials:
        raise _bad_login(proxy)
    user, password = (each[:255] for each in credentials)
    request = b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password
    verdict = yield request, lambda read: _of_version(proxy, 1, read, 2)
    if verdict[1]:
        raise _bad_login(proxy)


def _socks_address(host: str) -> bytes:
    try:
        address = ip_address(host).packed
    except ValueError:
        return b"\x03" + bytes([len(host)]) + host.encode()
    return (b"\x01" if len(address) == 4 else b"\x04") + address


def _missing_reply(proxy: Proxy, read: bytes) -> int:
    """A reply ends with the address that the proxy bound: IPv4, a name with its length before it, or IPv6."""
    if len(read) < 2:
        return _of_version(proxy, 5, read, 2)
    if read[1]:
        return 0
    if len(read) < 5:
        return 5 - len(read)
    length = {1: 10, 3: 7 + read[4], 4: 22}.get(read[3])
    if length is None:
        raise _no_proxy(proxy, "SOCKS5")
    return length - len(read)


def _of_version(proxy: Proxy, version: int, read: bytes, length: int) -> int:
    if read and read[0] != version:
        raise _no_proxy(proxy, "SOCKS5")
    return length - len(read)


def _bad_login(proxy: Proxy) -> ConsiliaError:
    if proxy.username is None:
        return LogAccessError(f"the proxy {proxy} asks for a user.", remedy="Set proxyUsername and proxyPassword.")
    message = f"the proxy {proxy} does not accept user {proxy.username} with the password in {proxy.password}."
    return LogAccessError(message, remedy="Correct the password in that file, or proxyUsername in the settings.")


def _forbidden(proxy: Proxy, target: str, how: str) -> ConsiliaError:
    message = f"the proxy {proxy} forbids the way to Kafka at {target} ({how})."
    return LogAccessError(message, remedy=f"Have whoever runs the proxy allow CONNECT to {target}.")


def _unreachable(proxy: Proxy, target: str, how: str) -> ConsiliaError:
    message = f"the proxy {proxy} cannot reach Kafka at {target} ({how})."
    return LogUnavailableError(message, remedy="See that the broker runs, and that the proxy can resolve and reach it.")


def _no_proxy(proxy: Proxy, kind: str) -> ConsiliaError:
    message = f"what answers at {proxy.host}:{proxy.port} is no {kind} proxy."
    return LogError(message, remedy="Correct proxy in the Kafka settings: its scheme, host and port.")
