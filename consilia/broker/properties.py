"""What a Kafka node is told: from a typed description to the text of server.properties. Pure.

Every node is broker and controller at once (KRaft, KIP-500), for one node or three. Names are those of Kafka 4.3's
documentation; a comment stands where the default would not do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from consilia.errors import BrokerError

CONTROLLER = "CONTROLLER"
PRINCIPAL = "[A-Za-z0-9._-]+"
PRINCIPAL_RULES = f"RULE:^CN=({PRINCIPAL})(,.*)?$/$1/,DEFAULT"
"""A certificate's principal is its common name, as a SCRAM user's is the user's name: one party, one principal, however
it comes in. Anchored, so that no other part of a subject can pretend to be a name."""
LARGEST_MESSAGE = 3 << 20
"""Two chunks of 1 MiB with their headers, and room: bytes."""
ANONYMOUS = "ANONYMOUS"


class Access(StrEnum):
    """How a listener knows who is there; the value is Kafka's name of the security protocol."""

    OPEN = "PLAINTEXT"
    SCRAM = "SASL_SSL"
    CERTIFICATE = "SSL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One address that a node listens at, as host:port, and the one it tells others, where that differs."""

    name: str
    access: Access
    address: str
    advertised: str = ""
    truststore: Path | None = None
    """The certificates that are believed here, where they are not those of the node's `Stores`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """PEM files: the node's key with its certificates, and the certificates it trusts."""

    keystore: Path
    truststore: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One Kafka node."""

    id: int
    voters: tuple[tuple[int, str], ...]
    """All nodes of the cluster, each with its controller's address as host:port."""
    data: Path
    listeners: tuple[Listener, ...]
    """For clients; `peers` names the one that the nodes use among themselves."""
    peers: str
    controller: Listener
    stores: Stores | None = None
    super_users: tuple[str, ...] = ()
    """Whom no rule binds. With any, everybody else may do only what an ACL allows; with none, there are no rules."""
    threads: int = 2
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Has the last word over everything here."""


def server_properties(node: Node) -> dict[str, str]:
    """The node's properties.

    Raises:
        BrokerError: the description contradicts itself, or would let strangers in.
    """
    _check(node)
    return {
        **_place(node),
        **_addresses(node),
        **_encryption(node),
        **_rules(node),
        **_copies(min(3, len(node.voters))),
        **_small(node),
        **node.overrides,
    }


def render(properties: Mapping[str, str]) -> str:
    """As Java's Properties.load reads it, which takes bytes for Latin-1: one line each, ASCII only."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in properties.items())


def _escaped(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    text = "".join(chr(int(unit, 16)) if 32 <= int(unit, 16) < 127 else f"\\u{unit}" for unit in units)
    return f"\\{text}" if text.startswith(" ") else text


def _check(node: Node) -> None:
    listeners = (*node.listeners, node.controller)
    if len({each.name for each in listeners}) < len(listeners):
        raise _wrong(node, "its listeners need names of their own")
    if node.peers not in {each.name for each in node.listeners}:
        raise _wrong(node, f"{node.peers}, for its peers, is none of its listeners")
    if node.id not in dict(node.voters):
        raise _wrong(node, "it is not among the voters")
    if node.stores is None and any(each.access is not Access.OPEN for each in listeners):
        raise _wrong(node, "a listener with TLS needs a key and certificates")
    if f"User:{ANONYMOUS}" in node.super_users:
        strangers = [each.name for each in listeners if each.access is Access.OPEN and not _is_loopback(each)]
        if strangers:
            raise _wrong(node, f"everybody who reaches {', '.join(strangers)} would be a super user")


def _is_loopback(listener: Listener) -> bool:
    host = listener.address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong(node: Node, why: str) -> BrokerError:
    return BrokerError(f"node {node.id} cannot be set up: {why}.", remedy="Correct its description.")


def _place(node: Node) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        "controller.quorum.voters": ",".join(f"{voter}@{address}" for voter, address in node.voters),
        "log.dirs": str(node.data),
    }


def _addresses(node: Node) -> dict[str, str]:
    listeners = (*node.listeners, node.controller)
    return {
        "listeners": ",".join(f"{each.name}://{each.address}" for each in listeners),
        "advertised.listeners": ",".join(f"{each.name}://{each.advertised or each.address}" for each in node.listeners),
        "listener.security.protocol.map": ",".join(f"{each.name}:{each.access}" for each in listeners),
        "controller.listener.names": node.controller.name,
        "inter.broker.listener.name": node.peers,
    }


def _encryption(node: Node) -> dict[str, str]:
    if node.stores is None:
        return {}
    listeners = (*node.listeners, node.controller)
    found: dict[str, str] = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(node.stores.keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(node.stores.truststore),
        "ssl.principal.mapping.rules": PRINCIPAL_RULES,
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    }
    for each in listeners:
        prefix = f"listener.name.{each.name.lower()}"
        if each.access is Access.CERTIFICATE:
            found[f"{prefix}.ssl.client.auth"] = "required"
        if each.truststore:
            found |= {f"{prefix}.ssl.truststore.type": "PEM", f"{prefix}.ssl.truststore.location": str(each.truststore)}
        if each.access is Access.SCRAM:
            module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            found[f"{prefix}.scram-sha-512.sasl.jaas.config"] = module
    return found


def _rules(node: Node) -> dict[str, str]:
    if not node.super_users:
        return {}
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": ";".join(node.super_users),
    }


def _copies(copies: int) -> dict[str, str]:
    """Every record on all of up to three nodes; one of three may be away."""
    enough = str(max(1, copies - 1))
    return {
        "default.replication.factor": str(copies),
        "min.insync.replicas": enough,
        "offsets.topic.replication.factor": str(copies),
        "offsets.topic.num.partitions": str(copies),  # the default of 50 is 50 folders
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": enough,
        "transaction.state.log.num.partitions": str(copies),
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": enough,
        "share.coordinator.state.topic.num.partitions": str(copies),
    }


def _small(node: Node) -> dict[str, str]:
    found = {
        "auto.create.topics.enable": "false",  # a mistyped topic must be an error
        "num.partitions": "1",
        "message.max.bytes": str(LARGEST_MESSAGE),
        "replica.fetch.max.bytes": str(LARGEST_MESSAGE),
        "num.network.threads": str(node.threads),
        "num.io.threads": str(node.threads),
        # As the system adjusts them: the default of 100 KiB lets a hospital 30 ms away have no more than 3 MB/s.
        "socket.send.buffer.bytes": "-1",
        "socket.receive.buffer.bytes": "-1",
        "replica.socket.receive.buffer.bytes": "-1",
        "group.initial.rebalance.delay.ms": "0",
        # Updates that were combined are let go every round; looked for every five minutes, they would fill the disk.
        "log.retention.check.interval.ms": "10000",
        "log.cleaner.dedupe.buffer.size": str(16 << 20),  # the default of 128 MiB does not fit a small heap
    }
    if len(node.voters) == 1:
        # A node killed and started again may register only when its dead self's session has ended. Alone that is the
        # whole cluster's way back; among others a short session would fence a node that is merely busy.
        found |= {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}
    return found
