"""The one cable between this machine and a cluster, and the routes that keep packets for it from going elsewhere."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.addresses import COUNT, Addresses
from tests.cluster.commands import output, succeeds
from tests.cluster.places import ClusterError

LAST = "4096"
"""The guard's metric: any other route to the cluster goes first."""


def guard(addresses: Addresses) -> None:
    """While there is no other way to the cluster's addresses, they are unreachable.

    Without this, a client of a cluster that is down would talk to the default gateway. It stays.
    """
    output("ip", "route", "replace", "unreachable", str(addresses.block), "metric", LAST)


def is_guarded(addresses: Addresses) -> bool:
    """Whether the guard is there."""
    routes = json.loads(output("ip", "-json", "route", "show", "exact", str(addresses.block), "metric", LAST) or "[]")
    return any(route.get("type") == "unreachable" for route in routes)


def free_index(taken: set[int]) -> int:
    """An index whose addresses nobody uses.

    Raises:
        ClusterError: there is none left.
    """
    for index in range(COUNT):
        if index not in taken and not _foreign_routes(Addresses(index)):
            return index
    message = "all sixteen ranges of addresses in 198.18.0.0/15 are in use on this machine."
    raise ClusterError(message, remedy="End clusters with `python -m tests.cluster down NAME`; see `ip route`.")


def _foreign_routes(addresses: Addresses) -> list[str]:
    """Other routes into the block or, the default aside, around it."""
    said = [
        *json.loads(output("ip", "-json", "-4", "route", "show", "root", str(addresses.block)) or "[]"),
        *json.loads(output("ip", "-json", "-4", "route", "show", "match", str(addresses.block)) or "[]"),
    ]
    ours = {addresses.device}
    return [
        route["dst"]
        for route in said
        if route["dst"] != "default" and route.get("type") != "unreachable" and route.get("dev") not in ours
    ]


def plug(addresses: Addresses, pid: int) -> None:
    """Lay the cable from this machine to the node whose first process is `pid`, and the routes over it.

    The node gets no default route: whatever this machine forwards, a pod reaches it and nothing beyond.
    """
    unplug(addresses)
    inside = enter(pid)
    device, length = addresses.device, addresses.link.prefixlen
    output("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    output("ip", "address", "add", f"{addresses.host}/{length}", "dev", device)
    output("ip", "link", "set", device, "up")
    output(*inside, "ip", "link", "set", "lo", "up")
    output(*inside, "ip", "address", "add", f"{addresses.node(0)}/{length}", "dev", "eth0")
    output(*inside, "ip", "link", "set", "eth0", "up")
    output(*inside, "ip", "route", "add", str(addresses.services), "dev", "eth0")
    for range_ in (addresses.services, addresses.pods):
        output("ip", "route", "replace", str(range_), "via", str(addresses.node(0)))


def plug_worker(addresses: Addresses, number: int, first: int, pid: int) -> None:
    """Lay a cable from node 0, whose first process is `first`, to another node: node 0 forwards, this machine never."""
    zero, other, name = enter(first), enter(pid), f"to-node-{number}"
    own, theirs, pods = str(addresses.node(0)), str(addresses.node(number)), str(addresses.pods_of(number))
    output(*zero, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    output(*zero, "ip", "link", "set", name, "up")
    output(*zero, "ip", "route", "add", theirs, "dev", name, "src", own)
    output(*other, "ip", "link", "set", "lo", "up")
    output(*other, "ip", "address", "add", f"{theirs}/32", "dev", "eth0")
    output(*other, "ip", "link", "set", "eth0", "up")
    output(*other, "ip", "route", "add", own, "dev", "eth0")
    output(*other, "ip", "route", "add", "default", "via", own)
    output(*zero, "ip", "route", "add", pods, "via", theirs)
    output("ip", "route", "replace", theirs, "via", own)


def unplug(addresses: Addresses, patience: float = 10.0) -> None:
    """Pull the cable out, and wait until it is gone; it would go with the node's namespace, in its own time."""
    deadline = time.monotonic() + patience
    while is_plugged(addresses):
        succeeds("ip", "link", "delete", addresses.device)
        if time.monotonic() > deadline:
            raise ClusterError(f"the device {addresses.device} stays.", remedy=f"ip link delete {addresses.device}")
        time.sleep(0.05)


def is_plugged(addresses: Addresses) -> bool:
    """Whether the cable is there."""
    return succeeds("ip", "link", "show", addresses.device)


def enter(pid: int) -> list[str]:
    """How a command is run in the network of a process."""
    return ["nsenter", f"--target={pid}", "--net"]


def join(one: Addresses, first: int, other: Addresses, second: int) -> str:
    """Lay a cable between two clusters' nodes, whose first processes are `first` and `second`.

    Nodes and pods of the other reach the one's nodes, and these can answer. The name of the other's end.
    """
    own, theirs = f"to-{other.index}", f"to-{one.index}"
    here, there = enter(first), enter(second)
    # A cable of an earlier cluster with that number, whose namespace is not gone yet.
    succeeds(*here, "ip", "link", "delete", own)
    output(*here, "ip", "link", "add", own, "type", "veth", "peer", "name", theirs, "netns", str(second))
    output(*here, "ip", "link", "set", own, "up")
    output(*there, "ip", "link", "set", theirs, "up")
    output(*here, "ip", "route", "add", str(other.node(0)), "dev", own, "src", str(one.node(0)))
    output(*there, "ip", "route", "add", str(one.node(0)), "dev", theirs, "src", str(other.node(0)))
    output(*here, "ip", "route", "add", str(other.pods), "via", str(other.node(0)), "dev", own)
    return theirs


_CUT = "consilia_cut"


@contextmanager
def cut(pid: int, device: str) -> Iterator[None]:
    """Within the block nothing arrives at a node through a device: as if the cable were cut, for both ends."""
    inside = enter(pid)
    drop = f"""table inet {_CUT} {{
  chain arriving {{
    type filter hook prerouting priority -500; policy accept;
    iifname "{device}" drop
  }}
}}"""
    output(*inside, "nft", drop)
    try:
        yield
    finally:
        output(*inside, "nft", "delete", "table", "inet", _CUT)


_TABLE = "consilia_inbound"


def count_calls(pid: int, device: str) -> None:
    """From now on count the TCP connections that are opened through a device of a node towards it, or beyond it."""
    rules = f"""table inet {_TABLE} {{
  chain calls {{
    type filter hook prerouting priority -400; policy accept;
    iifname "{device}" tcp flags & (syn | ack) == syn counter
  }}
}}"""
    output(*enter(pid), "nft", rules)


def calls(pid: int) -> int:
    """How many there were."""
    listed = json.loads(output(*enter(pid), "nft", "--json", "list", "table", "inet", _TABLE))
    rules = (each["rule"]["expr"] for each in listed["nftables"] if "rule" in each)
    return sum(part["counter"]["packets"] for rule in rules for part in rule if "counter" in part)
