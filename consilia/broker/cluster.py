"""Three brokers on this machine, for what one cannot show: a broker is lost and the others go on."""

from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from consilia.broker.ports import HOST, free_ports
from consilia.broker.process import Broker, Ports, Seat
from consilia.broker.runtime import Jvm, Runtime
from consilia.broker.security import Security
from consilia.broker.storage import new_id
from consilia.kafka.settings import KafkaSettings

NODES = 3
"""Every record is on all three; two of them are enough to write."""


class Cluster:
    """Three nodes below one folder; as a context manager they run within the block.

    A node that was killed may come back only when the cluster's session with it has ended: after about 12 s.
    """

    def __init__(
        self, folder: Path, runtime: Runtime, *, jvm: Jvm | None = None, security: Security | None = None
    ) -> None:
        """Nothing runs yet; the arguments mean what they mean to a `Broker`."""
        self.security = security
        self.brokers = tuple(
            Broker(folder / f"node-{seat.node}", runtime, jvm=jvm, seat=seat, security=security) for seat in _seats()
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def settings(self) -> KafkaSettings:
        """How to reach it where anybody on this machine may do anything."""
        return KafkaSettings(bootstrap_servers=tuple(each.bootstrap for each in self.brokers))

    def user(self, name: str) -> KafkaSettings:
        """Make a SCRAM user, unless there is one, and say how it reaches the cluster (needs `security`)."""
        assert self.security is not None
        addresses = tuple(f"{HOST}:{each.seat.ports.scram}" for each in self.brokers)
        return self.security.by_password(name, addresses, self.settings)

    def certificate(self, name: str) -> KafkaSettings:
        """Issue a client certificate, and say how its holder reaches the cluster (needs `security`)."""
        assert self.security is not None
        addresses = tuple(f"{HOST}:{each.seat.ports.certificate}" for each in self.brokers)
        return self.security.by_certificate(name, addresses)

    def start(self) -> None:
        """Start all nodes that do not run, and wait until all serve.

        Raises:
            BrokerError: one does not come up; then none is left running.
        """
        try:
            for each in self.brokers:
                each.launch()
            for each in self.brokers:
                each.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop all together: the last alone would have no quorum to leave in order."""
        for each in self.brokers:
            each.ask_to_end()
        for each in self.brokers:
            each.stop()

    def kill(self) -> None:
        """End all this instant (SIGKILL)."""
        for each in self.brokers:
            each.kill()


def _seats() -> list[Seat]:
    numbers = iter(free_ports(NODES * len(Ports._fields)))
    cluster, ports = new_id(), {node: Ports(*islice(numbers, len(Ports._fields))) for node in range(1, NODES + 1)}
    voters = tuple((node, f"{HOST}:{each.controller}") for node, each in ports.items())
    return [Seat(node=node, ports=each, cluster=cluster, others=voters) for node, each in ports.items()]
