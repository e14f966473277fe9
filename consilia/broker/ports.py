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
_TRIES = 1000


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens at, below the range that the kernel gives to outgoing connections.

    In that range, a client that keeps trying a broker which is away would sooner or later be given the broker's own
    port to call from, connect to itself, and keep the broker from coming back. Where it leaves no other, it must do.

    Raises:
        BrokerError: there are not enough.
    """
    ephemeral = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else _EPHEMERAL_FROM
    end = ephemeral if ephemeral > _LOWEST + _TRIES else 1 << 16
    found: set[int] = set()
    for _ in range(_TRIES):
        port = _LOWEST + secrets.randbelow(end - _LOWEST)
        found |= {port} if is_free(port) else set()
        if len(found) == count:
            return sorted(found)
    raise BrokerError(f"not enough free ports between {_LOWEST} and {end}.", remedy="Stop what listens there.")


def is_free(port: int) -> bool:
    """Whether a server could listen here now, as Java would: connections that linger do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
