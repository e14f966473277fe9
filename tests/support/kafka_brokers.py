"""Real brokers for tests: found or skipped, started once a session or once a test, always ended.

What they stored goes with them; configuration and log stay as long as pytest keeps its temporary folders.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from needed import missing

from consilia.broker.cluster import Cluster
from consilia.broker.process import Broker
from consilia.broker.runtime import Jvm, Runtime
from consilia.broker.security import Security
from consilia.errors import BrokerError

Nodes = TypeVar("Nodes", Broker, Cluster)


def runtime_or_skip() -> Runtime:
    """Java and the jars; where they cannot be had, the test is skipped, and fails in CI."""
    try:
        return Runtime.find()
    except BrokerError as error:
        missing(str(error))


@contextmanager
def secured_broker(folder: Path, runtime: Runtime) -> Iterator[Broker]:
    """A broker with every listener: plain for the owner, SCRAM and certificates for who is bound by ACLs."""
    with running(Broker(folder / "broker", runtime, security=Security.open(folder / "keys"))) as broker:
        yield broker


@contextmanager
def brokers_to_kill(folder: Path, runtime: Runtime) -> Iterator[Callable[[], Broker]]:
    """Makes brokers that run; whatever state a test left them in, they end with it."""
    with ExitStack() as stack:

        def make() -> Broker:
            place = folder / f"broker-{len(list(folder.glob('broker-*')))}"
            return stack.enter_context(running(Broker(place, runtime, jvm=Jvm(short_lived=True))))

        yield make


@contextmanager
def clusters_to_kill(folder: Path, runtime: Runtime) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters of three that run; whatever state a test left them in, they end with it."""
    with ExitStack() as stack:

        def make(*, secured: bool = False) -> Cluster:
            place = folder / f"cluster-{len(list(folder.glob('cluster-*')))}"
            security = Security.open(place / "keys") if secured else None
            return stack.enter_context(running(Cluster(place, runtime, jvm=Jvm(short_lived=True), security=security)))

        yield make


@contextmanager
def running(nodes: Nodes) -> Iterator[Nodes]:
    """Within the block it runs."""
    try:
        with nodes:
            yield nodes
    finally:
        for each in nodes.brokers if isinstance(nodes, Cluster) else [nodes]:
            shutil.rmtree(each.folder / "data", ignore_errors=True)
