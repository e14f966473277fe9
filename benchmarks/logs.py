"""The logs that benchmarks run on: SQLite in a folder; Kafka on a broker started for it, or on one that runs."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from consilia.broker.process import Broker
from consilia.broker.runtime import Runtime
from consilia.errors import RunError
from consilia.log.opening import sqlite_url

SQLITE, KAFKA = "sqlite", "kafka"
LOGS = (SQLITE, KAFKA)
NAMES = {SQLITE: "on SQLite", KAFKA: "over Kafka"}
"""As tables call them."""
BROKER = "(broker)"
"""Its name among the processes; no hospital can be called so."""


@dataclass(frozen=True, slots=True)
class Place:
    """A log that serves."""

    url: str
    broker: psutil.Process | None = None
    """Kafka's process, where a benchmark has started it."""

    def pids(self) -> dict[str, int]:
        """The broker's process id, by its name."""
        return {BROKER: self.broker.pid} if self.broker else {}

    def check(self) -> None:
        """See that the broker lives.

        Raises:
            RunError: it does not.
        """
        if self.broker and not self.broker.is_running():
            raise RunError("the broker has died.", remedy="See that the machine has memory and disk enough.")


@contextmanager
def serving(log: str, kafka: str | None, folder: Path) -> Iterator[Place]:
    """A log for this block. `kafka` is the host:port of a cluster; None is a broker of its own, kept in `folder`.

    Raises:
        BrokerError: the broker does not start.
    """
    if log == SQLITE:
        yield Place(sqlite_url(folder / "log"))
    elif kafka:
        yield Place(f"kafka://{kafka}")
    else:
        with Broker(folder / "broker", Runtime.find()) as broker:
            yield Place(f"kafka://{broker.bootstrap}", psutil.Process(broker.pid))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command lines of all benchmarks of a log say about it."""
    parser.add_argument(
        "--log", nargs="+", choices=LOGS, default=[SQLITE], help="one after the other, if there are several"
    )
    parser.add_argument(
        "--kafka", metavar="HOST:PORT", help="a cluster that runs already; default: a broker started for the purpose"
    )
