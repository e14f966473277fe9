"""What a process of a job is told at its start, as one JSON file. Field by field, with units and defaults."""

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consilia.api import FederatedJob
from consilia.errors import RunError
from consilia.wire.identity import Roster


class Settings(BaseModel):
    """What aggregator and trainer have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="What is written to standard error: DEBUG, INFO, WARNING or ERROR.",
    )

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


class TrainerSettings(Settings):
    """One hospital's trainer's."""

    hospital: str = Field(description="The hospital's name, as on the roster.")
    state: Path = Field(description="The hospital's own folder on durable storage: outbox and attempts.")
    data: Path | None = Field(default=None, description="The mounted dataset; none where the task brings its data.")
    data_parameters: dict[str, str] = Field(default_factory=dict, description="The Dataset's parameters for the task.")
    threads: int = Field(default=0, ge=0, description="Threads for training; 0 leaves it to PyTorch.")
