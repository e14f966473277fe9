"""The results of a run as data: what report.json holds and report.html shows."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from consilia.errors import RunError
from consilia_workers.audit.result import AuditResult

ByHospital = dict[str, dict[str, float]]
"""Metrics by hospital; a metric that is not defined on a hospital's test split is absent."""


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RefusedResult(_Result):
    """One message that was refused."""

    hospital: str
    reason: str
    """One of `consilia.errors.Refusal`."""
    message: str


class RoundResult(_Result):
    """One closed round."""

    round: int
    seconds: float
    """Wall time from opening to closing, in seconds."""
    aggregate_seconds: float
    """The part that combining took, in seconds."""
    received_bytes: int
    """Payloads received from all hospitals, in bytes."""
    metrics: dict[str, float]
    """Of the model that the round started from: means over the hospitals, weighted by their samples."""
    hospitals: ByHospital
    """The same, hospital by hospital."""
    train_seconds: dict[str, float]
    """By hospital, in seconds."""
    samples: dict[str, int]
    """By hospital: records trained on; under differential privacy what others may know of that."""
    epsilon: dict[str, float] = {}
    """By hospital: what the job has spent there, this round included; empty without differential privacy."""
    dropped: list[str] = []
    """Hospitals that were waited for, but not there at the deadline."""
    refused: list[RefusedResult] = []


class SeedResult(_Result):
    """One whole training, from one seed."""

    seed: int
    outcome: Literal["Succeeded", "Failed"]
    reason: str
    message: str = ""
    start_seconds: float
    """From the start of the command to the opening of round 1, in seconds."""
    wall_seconds: float
    rounds: list[RoundResult]
    federated: ByHospital
    """The final model's metrics on each hospital's test split."""
    alone: ByHospital | None = None
    """Each hospital's own model, trained on its own data only, on its own test split; None where not asked for."""
    pooled: ByHospital | None = None
    """One model trained on all hospitals' data together: what nobody may do in earnest."""
    model_digest: str | None = None
    spent: dict[str, float] = {}
    """By hospital: the ε that its ledger has for this training, all attempts included; empty without privacy."""
    tighter: dict[str, float] = {}
    """The same charges by the privacy loss distribution, where the job asks for that."""
    audits: dict[str, AuditResult] = {}
    """By hospital: what its audit found; empty without differential privacy."""


class Report(_Result):
    """Everything about one run."""

    job: str
    dataset: str
    entrypoint: str
    strategy: str
    started: str
    """Local time with offset, ISO 8601."""
    consilia_version: str
    hospitals: list[str]
    metrics: list[str]
    """In the order in which the job names them; the first is the one that matters most."""
    lower_is_better: list[str] = ["brier", "loss"]
    """Which metrics are errors rather than merits; more of them than this run has do no harm."""
    parameters: int
    """Numbers in the model that travel."""
    model_bytes: int
    spec: dict[str, Any]
    """The job's spec as it ran, in its YAML names."""
    seeds: list[SeedResult]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read report.json.

        Raises:
            RunError: it is missing or of another form.
        """
        remedy = "Name the folder of a finished run."
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}.", remedy=remedy) from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole file"
            raise RunError(f"{path} is no report: {place}: {first['msg']}.", remedy=remedy) from error

    def save(self, path: Path) -> None:
        """Write report.json, whole or not at all."""
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        draft.replace(path)
