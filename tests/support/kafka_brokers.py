"""Real brokers for tests: found or skipped, started once a session or once a test, always ended."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from consilia.broker.cluster import Cluster
from consilia.broker.process import Broker
from consilia.broker.runtime import Jvm, Runtime
from consilia.broker.security import Security
from consilia.errors import BrokerError


def runtime_or_skip() -> Runtime:
    """Java and the jars; where they cannot be had, the test is skipped, and fails in CI."""
    try:
        return Runtime.find()
    except BrokerError as error:
        pytest.fail(str(error)) if "CI" in os.environ else pytest.skip(str(error))


def secured_broker(folder: Path, runtime: Runtime) -> Broker:
    """A broker with every listener: plain for the owner, SCRAM and certificates for who is bound by ACLs."""
    return Broker(folder / "broker", runtime, security=Security.open(folder / "keys"))


@contextmanager
def brokers_to_kill(folder: Path, runtime: Runtime) -> Iterator[Callable[[], Broker]]:
    """Makes brokers that run; whatever state a test left them in, they end with it."""
    with ExitStack() as stack:
        made: list[Broker] = []

        def make() -> Broker:
            broker = stack.enter_context(Broker(folder / f"broker-{len(made)}", runtime, jvm=Jvm(short_lived=True)))
            made.append(broker)
            return broker

        yield make


@contextmanager
def clusters_to_kill(folder: Path, runtime: Runtime) -> Iterator[Callable[[], Cluster]]:
    """Makes clusters of three that run; whatever state a test left them in, they end with it."""
    with ExitStack() as stack:
        made: list[Cluster] = []

        def make() -> Cluster:
            cluster = stack.enter_context(Cluster(folder / f"cluster-{len(made)}", runtime, jvm=Jvm(short_lived=True)))
            made.append(cluster)
            return cluster

        yield make
