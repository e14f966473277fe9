"""Where the log of a run lies: what its kinds have in common, and the one on SQLite in the run's own folder."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from consilia.api import FederatedJob
from consilia.log import Log
from consilia.log.opening import open_log
from consilia_workers.local.display import Display
from consilia_workers.local.folder import SQLITE, SeedFolder


class RunLog(Protocol):
    """The log of a run, whichever it is."""

    @property
    def mark(self) -> str:
        """Stands for the log: a run is resumed on the same one."""

    @property
    def how(self) -> str:
        """How it was chosen, in words that end a sentence."""

    @property
    def modules(self) -> Sequence[str]:
        """What its parties import besides their task: loaded once for all of them."""

    def serving(self, folder: Path, display: Display) -> AbstractContextManager[None]:
        """Within the block it serves, or will soon; `folder` is the run's."""

    def place(self, seed: SeedFolder) -> SeedFolder:
        """The seed's folder, knowing where the log is."""

    def named(self, job: FederatedJob, uid: UUID) -> FederatedJob:
        """The job as it is known there; `uid` is its own, and no other run's or seed's."""

    def open(self, seed: SeedFolder) -> Log:
        """Wait until it serves, and open it.

        Raises:
            ConsiliaError: it does not.
        """

    def look(self, display: Display) -> None:
        """Called now and then: see that it still serves.

        Raises:
            BrokerError: it does not, and cannot be made to.
        """

    def clear(self, job: FederatedJob, seed: SeedFolder, display: Display) -> None:
        """The seed is done and its result is kept: leave nothing behind where others need the place."""


@dataclass(frozen=True, slots=True)
class SqliteRunLog:
    """A directory in each seed's folder."""

    mark: str = SQLITE
    how: str = "without --kafka"
    modules: Sequence[str] = ()

    def serving(self, folder: Path, display: Display) -> AbstractContextManager[None]:
        """Nothing has to run."""
        return nullcontext()

    def place(self, seed: SeedFolder) -> SeedFolder:
        """In the folder itself."""
        return seed

    def named(self, job: FederatedJob, uid: UUID) -> FederatedJob:
        """By its name: nobody else is there."""
        return job

    def open(self, seed: SeedFolder) -> Log:
        """At once."""
        return open_log(seed.log)

    def look(self, display: Display) -> None:
        """It does not go away."""

    def clear(self, job: FederatedJob, seed: SeedFolder, display: Display) -> None:
        """It stays with the run."""
