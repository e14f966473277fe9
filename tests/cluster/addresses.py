"""Which addresses a cluster has: sixteen clusters find place in 198.18.0.0/15 (RFC 2544), which no network routes."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import islice

RANGE = IPv4Network("198.18.0.0/15")
COUNT = 16
NODES = 8


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one cluster: half its block for Services, a quarter for pods, the last /24 for nodes."""

    index: int

    @property
    def block(self) -> IPv4Network:
        """Everything that the cluster may use."""
        return next(islice(RANGE.subnets(new_prefix=19), self.index, None))

    @property
    def services(self) -> IPv4Network:
        """ClusterIPs."""
        return next(self.block.subnets(new_prefix=20))

    @property
    def pods(self) -> IPv4Network:
        """All pods, whatever their node."""
        return next(islice(self.block.subnets(new_prefix=21), 2, None))

    @property
    def fake_pods(self) -> IPv4Network:
        """What fake pods are said to have; nobody answers there."""
        return next(islice(self.block.subnets(new_prefix=22), 6, None))

    @property
    def link(self) -> IPv4Network:
        """Nodes, and this machine among them."""
        return list(self.block.subnets(new_prefix=24))[-1]

    @property
    def host(self) -> IPv4Address:
        """This machine, as nodes and pods see it."""
        return self.link[1]

    @property
    def dns(self) -> IPv4Address:
        """The Service of CoreDNS."""
        return self.services[10]

    @property
    def device(self) -> str:
        """This machine's end of the cable."""
        return f"consilia-{self.index}"

    @property
    def server(self) -> str:
        """The API server."""
        return f"https://{self.node(0)}:6443"

    def node(self, number: int) -> IPv4Address:
        """A node."""
        return self.link[2 + number]

    def pods_of(self, number: int) -> IPv4Network:
        """The pods of one node."""
        return next(islice(self.pods.subnets(new_prefix=24), number, None))
