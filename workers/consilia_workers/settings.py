"""What a process of a job is told at its start, as one JSON file. Field by field, with units and defaults."""

import json
import logging
import sys
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consilia.api import FederatedJob, Unit
from consilia.errors import RunError
from consilia.ledger.interface import Budget
from consilia.wire.identity import Roster


class SettingsFile(BaseModel):
    """What a program is told at its start, as one JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            RunError: it is missing, no JSON, or a field is wrong.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise RunError(f"cannot use the settings in {path}: {error}") from error

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        path.write_text(self.model_dump_json(indent=2))


class ProgramSettings(SettingsFile):
    """What all programs have in common."""

    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="What is written to standard error: DEBUG, INFO, WARNING or ERROR.",
    )

    def start_logging(self, party: str) -> None:
        """One line an event on standard error."""
        form = f"%(asctime)s %(levelname)s {party} %(message)s"
        logging.basicConfig(level=self.log_level, format=form, stream=sys.stderr, force=True)


class Settings(ProgramSettings):
    """What aggregator and trainer have in common."""

    job: Path = Field(description="The FederatedJob as JSON.")
    log: str = Field(description="Where the log is: sqlite:///path/of/a/folder, or kafka:///path/of/settings.json.")
    roster: Path = Field(description="The names and public keys of the job's parties, as JSON.")
    key: Path = Field(description="This party's own Ed25519 private key, in PEM form, readable by its owner only.")
    status_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Where /progress, /metrics and /healthz are served, on all addresses; 0 takes any free port and "
        "logs which. Default: nothing is served.",
    )

    def read_job(self) -> FederatedJob:
        """The job.

        Raises:
            RunError: the file is missing, or holds no valid FederatedJob.
        """
        try:
            return FederatedJob.model_validate_json(self.job.read_bytes())
        except (OSError, ValidationError) as error:
            raise RunError(f"cannot use the job in {self.job}: {error}") from error

    def read_roster(self) -> Roster:
        """The roster.

        Raises:
            RunError: the file is missing, or no JSON.
            IdentityError: it holds no roster.
        """
        try:
            return Roster.parse(json.loads(self.roster.read_bytes()))
        except (OSError, ValueError) as error:
            raise RunError(f"cannot use the roster in {self.roster}: {error}") from error


class AggregatorSettings(Settings):
    """The aggregator's."""

    work: Path = Field(description="A folder for the initial model while it is made; nothing in it needs to be kept.")


class BudgetSettings(BaseModel):
    """The privacy budget of the hospital's data, where the trainer itself sets it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: str = Field(description="ε over the life of the data.")
    delta: str = Field(description="δ at which it holds.")
    epsilon_per_job: str | None = Field(default=None, description="The most that one job may spend. Default: all.")
    approved_by: str = Field(default="", description="Who agreed to more than before.")
    reason: str = Field(default="", description="Why.")
    after_gap: int | None = Field(
        default=None, description="The number of the ledger's entry that accepts a loss, if the approval knows of it."
    )

    def as_budget(self) -> Budget:
        """As a ledger takes it."""
        return Budget(**self.model_dump())


class TrainerSettings(Settings):
    """One hospital's trainer's."""

    hospital: str = Field(description="The hospital's name, as on the roster.")
    state: Path = Field(description="The hospital's own folder on durable storage: outbox and attempts.")
    data: Path | None = Field(default=None, description="The mounted dataset; none where the task brings its data.")
    data_parameters: dict[str, str] = Field(default_factory=dict, description="The Dataset's parameters for the task.")
    ledger: str | None = Field(
        default=None,
        description="The hospital's ledger: file:///path/of/a/folder, or http://host:port. Needed for jobs with "
        "`privacy`.",
    )
    ledger_key: Path | None = Field(
        default=None, description="The private key that signs the ledger, in PEM form. Default: the hospital's own."
    )
    ledger_job: str | None = Field(
        default=None,
        min_length=1,
        max_length=127,
        description="The job in the ledger, which knows each job by a name of its own. Default: its name on the log.",
    )
    unit: Unit = Field(default="Record", description="Whose presence the Dataset's budget hides: Record or Patient.")
    public_size: int | None = Field(
        default=None,
        ge=1,
        description="How many records or patients there are to train on, as far as others may know. Default: the "
        "count, rounded down to one of ten steps a power of ten.",
    )
    budgeted: bool = Field(
        default=False, description="Whether the data has a privacy budget: then a job without `privacy` is refused."
    )
    budget: BudgetSettings | None = Field(
        default=None, description="The budget that the trainer sets in the ledger. Default: whoever runs it has."
    )
    confinement: Literal["Required", "BestEffort"] = Field(
        default="Required",
        description="Whether a job with `privacy` is refused where the kernel cannot confine the task's code.",
    )
    threads: int = Field(default=0, ge=0, description="Threads for training; 0 leaves it to PyTorch.")
