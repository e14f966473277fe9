"""A running cluster of ours: its programs can be killed, its nodes taken away, and images given to it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster import images, machine, network
from tests.cluster.access import Access
from tests.cluster.addresses import NODES, Addresses
from tests.cluster.machine import Process
from tests.cluster.places import Places
from tests.cluster.programs import Node, Options


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is written down about a cluster, so that any process finds it again."""

    index: int
    options: Options
    holder: Process
    first: Process

    def write(self, path: Path) -> None:
        """Write it whole."""
        incomplete = path.with_suffix(".incomplete")
        incomplete.write_text(json.dumps(asdict(self), indent=1))
        incomplete.replace(path)

    @classmethod
    def read(cls, path: Path) -> "State | None":
        """What is written there, if anything is."""
        try:
            said = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(
            index=said["index"],
            options=Options(**said["options"]),
            holder=Process(**said["holder"]),
            first=Process(**said["first"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Access):
    """A cluster that we run: its programs can be killed, its nodes taken away."""

    places: Places
    state: State

    @property
    def addresses(self) -> Addresses:
        """Where its parts are to be reached."""
        return Addresses(self.state.index)

    def node(self, number: int = 0) -> Node:
        """A node's description."""
        return Node(self.places, self.addresses, self.state.options, number)

    def first_process(self, number: int = 0) -> Process:
        """The first process of a node."""
        if number == 0:
            return self.state.first
        folder = self.places.node(number)
        return machine.first_process(machine.holder_of(folder, self.state.first), folder)

    def node_processes(self, number: int = 0) -> dict[str, Process]:
        """The programs that run on a node: name to process."""
        return machine.running(self.places.node(number), self.first_process(number))

    def kill(self, program: str, number: int = 0) -> Process:
        """Kill a program of a node; it is started again after a second. Returns the process that was."""
        process = self.node_processes(number)[program]
        process.kill()
        return process

    def stop(self, program: str, number: int = 0) -> None:
        """Kill a program of a node, and keep it from starting until `start`."""
        process = self.node_processes(number)[program]
        folder = self.places.node(number)
        (folder / "wanted" / f"{program}.json").rename(folder / "held" / f"{program}.json")
        process.kill()

    def start(self, program: str, number: int = 0) -> None:
        """Start what `stop` stopped."""
        folder = self.places.node(number)
        (folder / "held" / f"{program}.json").rename(folder / "wanted" / f"{program}.json")
        machine.want(folder, self.first_process(number), {}, {})

    def log(self, program: str, number: int = 0) -> str:
        """What a program of a node has said."""
        return (self.places.node(number) / "log" / f"{program}.log").read_text(errors="replace")

    def load(self, *archives: Path) -> list[str]:
        """Give the images of OCI archives to every node; returns those that were new to one."""
        numbers = [0, *self.workers()]
        return sorted({name for number in numbers for name in images.load(self.first_process(number), archives)})

    def workers(self) -> list[int]:
        """The numbers of the nodes beside the first."""
        return [
            number for number in range(1, NODES) if (self.places.node(0) / "wanted" / f"worker-{number}.json").exists()
        ]

    def wait_for_node(self, number: int = 0, seconds: int = 120) -> None:
        """Wait until a node is there and Ready."""
        name = self.node(number).name
        machine.until(
            lambda: name in self.kubectl("get", "nodes", "-o", "name"), f"{name} does not register", patience=seconds
        )
        self.wait(f"node/{name}", "condition=Ready", "default", seconds)


def open_cluster(places: Places, state: State) -> Cluster:
    """The cluster that this is written of."""
    return Cluster(kubeconfig=places.kubeconfig, kubectl_path=places.kubectl, places=places, state=state)


def attach(name: str) -> Cluster | None:
    """The cluster of this name if it runs."""
    places = Places.of(name)
    state = State.read(places.state)
    if state is None or not state.first.lives:
        return None
    network.guard(Addresses(state.index))
    return open_cluster(places, state)
