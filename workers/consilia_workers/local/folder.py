"""The folder of a run: what lies where, who holds it, and what is done already."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

from consilia.api import FederatedJob
from consilia.errors import RunError
from consilia.log.opening import sqlite_url
from consilia.wire.identity import Identity, Roster
from consilia_workers.local.site import Site
from consilia_workers.programs import LOWER_IS_BETTER
from consilia_workers.report.results import SeedResult
from consilia_workers.settings import AggregatorSettings, TrainerSettings

AGGREGATOR = "(aggregator)"
"""Its name among the parties; no hospital can be called so."""
LEDGERS = "ledgers"
"""The folder of the hospitals' ledgers, beside those of the jobs."""
_LONGEST_NAME = 127
SQLITE = "sqlite"
"""The mark of a log on SQLite, in the run's folder; see `RunLog`."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run: a folder for each seed, and the report beside them."""

    path: Path

    @classmethod
    def create(cls, parent: Path, job: str, identity: str, *, log: str = SQLITE, how: str = "") -> "RunFolder":
        """A new one under `parent`, named after the job and the time; `identity` stands for what is run.

        `log` is the mark of its log, and `how` says in words how it was chosen.
        """
        now = datetime.now().astimezone()
        folder = cls(parent / job / now.strftime("%Y%m%d-%H%M%S"))
        try:
            folder.path.mkdir(mode=0o700, parents=True)
        except FileExistsError as error:
            raise RunError(f"{folder.path} exists already.", remedy="Wait a second, or use --resume.") from error
        partial = folder.path / "run.partial"
        begun = {"run": identity, "started": now.isoformat(timespec="seconds"), "id": str(uuid4())}
        partial.write_text(json.dumps({**begun, "log": log, "how": how}))
        partial.replace(folder.identity)
        return folder

    @classmethod
    def unfinished(cls, parent: Path, job: str, identity: str, *, log: str = SQLITE, how: str = "") -> "RunFolder":
        """The newest one that was begun and not finished.

        Raises:
            RunError: there is none, or it was begun with another job file, other options or on another log.
        """
        begun = sorted(path.parent for path in (parent / job).glob("*/run.json"))
        open_ones = [cls(path) for path in begun if not cls(path).report.exists()]
        if not open_ones:
            raise RunError(
                f"nothing to resume: no unfinished run of {job} under {parent}.", remedy="Leave --resume out."
            )
        folder = open_ones[-1]
        if folder.begun()["run"] != identity:
            message = f"{folder.path} was begun with another job file or other options."
            raise RunError(message, remedy="Use the same ones, or leave --resume out to start anew.")
        if folder.begun()["log"] != log:
            message = f"{folder.path} was begun {folder.begun()['how']}; it cannot go on {how}."
            raise RunError(message, remedy="Resume it as it was begun, or leave --resume out to start anew.")
        return folder

    @property
    def identity(self) -> Path:
        """Written first: what the run is a run of."""
        return self.path / "run.json"

    def begun(self) -> dict[str, str]:
        """What was noted at the beginning.

        `run` stands for what it is a run of, `log` for where its log is, and `how` says that in words; `id` is the
        run's own, and `started` is when.
        """
        begun: dict[str, str] = json.loads(self.identity.read_text())
        return begun

    @property
    def started(self) -> str:
        """When it was begun: local time with offset, ISO 8601."""
        return self.begun()["started"]

    @property
    def report(self) -> Path:
        """Written last: a run with a report is finished."""
        return self.path / "report.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Only one runner at a time.

        Raises:
            RunError: another one is at it.
        """
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"another process is running in {self.path}.") from error
            yield

    def seed(self, seed: int) -> "SeedFolder":
        """One seed's part."""
        return SeedFolder(self.path / f"seed-{seed}")

    def uid(self, seed: int) -> UUID:
        """One seed's job's own, the same whenever it is asked for."""
        return uuid5(UUID(self.begun()["id"]), str(seed))


@dataclass(frozen=True, slots=True)
class SeedFolder:
    """Everything of one training: settings and keys, the log, each party's state and output."""

    path: Path
    elsewhere: str = ""
    """The log's address, where the log is not in this folder."""

    @property
    def ledgers(self) -> Path:
        """Where the hospitals' ledgers lie, beside the runs of all jobs: what one spends, the next one has not."""
        return self.path.parent.parent.parent / LEDGERS

    @property
    def log(self) -> str:
        """The log's address."""
        return self.elsewhere or sqlite_url(self.path.resolve() / "log")

    @property
    def job(self) -> Path:
        """The job as JSON."""
        return self.path / "job.json"

    @property
    def roster(self) -> Path:
        """The names and public keys of the parties."""
        return self.path / "roster.json"

    def read_roster(self) -> Roster:
        """Who takes part, as prepared."""
        return Roster.parse(json.loads(self.roster.read_bytes()))

    @property
    def result(self) -> Path:
        """What came out; the seed is done once it exists."""
        return self.path / "result.json"

    def keep(self, result: SeedResult) -> None:
        """The seed is done."""
        partial = self.result.with_suffix(".partial")
        partial.write_text(result.model_dump_json())
        partial.replace(self.result)

    @property
    def model(self) -> Path:
        """The final model."""
        return self.path / "model.safetensors"

    @property
    def said(self) -> Path:
        """A copy of what the aggregator said, where the topic itself was deleted."""
        return self.path / "rounds.jsonl"

    @property
    def retired(self) -> Path:
        """What was recorded of the topics that were deleted; they are once it exists."""
        return self.path / "retired.json"

    def party(self, name: str) -> Path:
        """The folder of the aggregator or of a hospital."""
        return self.path / "aggregator" if name == AGGREGATOR else self.path / "hospitals" / name

    def output(self, party: str) -> Path:
        """What a party's process prints."""
        return self.party(party) / "output.log"

    def settings(self, party: str) -> Path:
        """A party's settings file."""
        return self.party(party) / "settings.json"

    def lower_is_better(self) -> list[str]:
        """The task's metrics for which that is so, as noted when the initial model was made."""
        names: list[str] = json.loads((self.party(AGGREGATOR) / LOWER_IS_BETTER).read_text())
        return names

    def prepare(self, job: FederatedJob, sites: list[Site]) -> Roster:
        """Make folders, keys, roster and settings, unless they are there from before."""
        parties = [AGGREGATOR, *(site.hospital for site in sites)]
        keys = {party: self.key(party) for party in parties}
        hospitals = {site.hospital: keys[site.hospital] for site in sites}
        roster = Roster(keys[AGGREGATOR].public(), {name: key.public() for name, key in hospitals.items()})
        self.roster.write_text(json.dumps(roster.as_json()))
        self.job.write_text(job.model_dump_json(by_alias=True, exclude_none=True))
        self._write_settings(sites, private=job.spec.privacy is not None)
        return roster

    def key(self, party: str) -> Identity:
        """A party's own key, made if it has none yet."""
        path = self.party(party) / "key.pem"
        _make_key(party, path)
        return Identity.load(party, path)

    def _write_settings(self, sites: list[Site], *, private: bool) -> None:
        aggregator = self.party(AGGREGATOR)
        AggregatorSettings(
            job=self.job,
            log=self.log,
            roster=self.roster,
            key=aggregator / "key.pem",
            work=aggregator,
        ).save(self.settings(AGGREGATOR))
        threads = max(1, (os.cpu_count() or 1) // len(sites))
        for site in sites:
            own = self.party(site.hospital)
            TrainerSettings(
                job=self.job,
                log=self.log,
                roster=self.roster,
                key=own / "key.pem",
                hospital=site.hospital,
                state=own,
                data=site.path,
                data_parameters=site.parameters,
                budgeted=site.budget is not None,
                threads=threads,
                **(self._of_the_ledger(site) if private else {}),
            ).save(self.settings(site.hospital))

    def _of_the_ledger(self, site: Site) -> dict[str, Any]:
        """What the trainer of a private job is told besides."""
        ledgers = self.ledgers.resolve()
        key = ledgers / f"{site.hospital}.pem"
        _make_key(site.hospital, key)
        return {
            "ledger": f"file://{ledgers / site.hospital}",
            "ledger_key": key,
            # Another run of the same file is another job: it spends anew.
            "ledger_job": ".".join(self.path.resolve().parts[-3:])[-_LONGEST_NAME:],
            "unit": site.unit,
            "public_size": site.public_size,
            "budget": site.budget,
            "confinement": "BestEffort",  # whoever runs all hospitals on one machine has all of their data anyway
        }


def _make_key(party: str, path: Path) -> None:
    """A party's key, unless it has one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        Identity.generate(party).save(path)
