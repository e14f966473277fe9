"""The log of a run on a Kafka broker that the run starts in its own folder, and stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import UUID

from consilia.api import FederatedJob
from consilia.broker.process import Broker
from consilia.broker.runtime import Runtime
from consilia.log import Log
from consilia.log.opening import open_log
from consilia_workers.local.display import Display
from consilia_workers.local.folder import SeedFolder
from consilia_workers.local.kafka_run_log import EMBEDDED, MODULES, with_uid

FOLDER = "kafka"
"""The broker's folder in the run's."""


class EmbeddedRunLog:
    """On a broker that the run starts in its own folder, and stops."""

    mark, how, modules = EMBEDDED, f"with --kafka {EMBEDDED}", MODULES

    def __init__(self, runtime: Runtime) -> None:
        """Nothing runs yet."""
        self._runtime = runtime
        self._broker: Broker | None = None

    @classmethod
    def ready(cls, display: Display) -> Self:
        """With a Java, and Kafka's jars, which are fetched the first time.

        Raises:
            BrokerError: one of them cannot be had.
        """
        return cls(Runtime.find(display.fetching))

    @contextmanager
    def serving(self, folder: Path, display: Display) -> Iterator[None]:
        """Begins to start at once; `open` waits for it."""
        self._broker = Broker(folder / FOLDER, self._runtime)
        display.note(f"starting Kafka on this machine; its own log is {self._broker.log}")
        try:
            self._broker.launch()
            yield
        finally:
            self._broker.stop()

    def place(self, seed: SeedFolder) -> SeedFolder:
        """At the address that the broker has this time."""
        return SeedFolder(seed.path, f"kafka://{self._running().bootstrap}")

    def named(self, job: FederatedJob, uid: UUID) -> FederatedJob:
        """With the uid: the seeds share the broker."""
        return with_uid(job, uid)

    def open(self, seed: SeedFolder) -> Log:
        """Once the broker serves."""
        self._running().wait_until_ready()
        return open_log(seed.log)

    def look(self, display: Display) -> None:
        """Start it again if it has died: the parties wait for it, and it has lost nothing."""
        broker = self._running()
        if not broker.running():
            display.note(f"Kafka has died and is started again; its own log is {broker.log}")
            broker.start()

    def clear(self, job: FederatedJob, seed: SeedFolder, display: Display) -> None:
        """It stays with the run."""

    def _running(self) -> Broker:
        assert self._broker is not None
        return self._broker
