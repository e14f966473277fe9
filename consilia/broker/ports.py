"""Free ports on loopback."""

import secrets
import socket
from pathlib import Path

from consilia.errors import BrokerError

HOST = "127.0.0.1"
_LOWEST = 10240
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_FROM = 32768
"""Where that file is missing."""
_TRIES = 200


def free_port() -> int:
    """A port that nobody listens at, below the range that the kernel gives to outgoing connections.

    In that range, a client that keeps trying a broker which is away would sooner or later be given the broker's own
    port to call from, connect to itself, and keep the broker from coming back.

    Raises:
        BrokerError: none was found.
    """
    highest = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else _EPHEMERAL_FROM
    lowest = _LOWEST if highest > _LOWEST + _TRIES else 1024
    for _ in range(_TRIES):
        port = lowest + secrets.randbelow(max(1, highest - lowest))
        if is_free(port):
            return port
    raise BrokerError(f"no free port was found between {lowest} and {highest}.", remedy="Name one yourself.")


def is_free(port: int) -> bool:
    """Whether a server could listen here now, as Java would: connections that linger do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
