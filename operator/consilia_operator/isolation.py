"""Whether NetworkPolicies hold here: many clusters take them and do nothing.

What is asked is let through by no policy: a port of the hub's address where nothing listens. Where policies hold the
question is lost; where they do not, somebody answers, if only with a refusal.
"""

import json
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from consilia.api import HospitalTask
from consilia.kafka.proxy import host_and_port
from consilia_operator.conditions import Finding
from consilia_operator.settings import OperatorSettings
from consilia_operator.transport.interface import KAFKA_JSON

_PORT = 9
"""Discard (RFC 863): nobody has it open, and no policy of ours lets it through."""
SECONDS = 3.0


@dataclass
class Isolation:
    """What this process has found."""

    proven: bool | None = None
    """Whether policies hold; None before it was tried."""


def way_out(log: Mapping[str, bytes]) -> str:
    """The address that a hospital's programs may reach: its proxy's, or the first broker's, as host:port."""
    told = json.loads(log[KAFKA_JSON])
    return str(told["proxy"].rpartition("/")[2] if "proxy" in told else told["bootstrapServers"][0])


def lets_out(address: str) -> bool:
    """Whether a packet comes back from another port of the host in this address."""
    host, _ = host_and_port(address)
    try:
        with closing(socket.create_connection((host, _PORT), timeout=SECONDS)):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def objection(settings: OperatorSettings, found: Isolation, task: HospitalTask) -> Finding | None:
    """What keeps a job without differential privacy out of a hospital's own cluster."""
    if task.spec.privacy or settings.hospital is None or settings.isolation == "Ignored" or found.proven:
        return None
    if found.proven is None:
        return Finding("Approved", False, "NotIsolated", "It was not tried yet whether NetworkPolicies hold here.")
    message = (
        "This cluster does not enforce NetworkPolicies, so a job without differential privacy is not let in. Install a "
        "CNI plugin that does, or set operator.isolation=Ignored in the chart's values."
    )
    return Finding("Approved", False, "NotIsolated", message)
