"""What a hospital's audit found, as its file audit.json and a report have it."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from consilia.errors import RunError
from consilia.ledger.journal import write_durably

if TYPE_CHECKING:
    from consilia_workers.audit.confidence import Proportion  # which loads scipy

Verdict = Literal["Consistent", "Violated"]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Share(_Figures):
    """A share that was counted, with its 95 % interval."""

    successes: int
    trials: int
    low: float
    high: float

    @classmethod
    def of(cls, found: "Proportion") -> Self:
        """From a count."""
        return cls(successes=found.successes, trials=found.trials, low=found.low, high=found.high)

    @property
    def share(self) -> float:
        """Successes per trial."""
        return self.successes / self.trials if self.trials else 0.0


class LowerBound(_Figures):
    """What the canaries refute: with `confidence`, the training is not as private as any ε below `epsilon`."""

    epsilon: float
    """The larger of the two below."""
    confidence: float
    """That neither of them is above the true ε."""
    one_run: float
    """By counting right guesses, whatever the canaries may have to do with one another."""
    separation: float
    """By how often a threshold is passed, taking each canary for an experiment of its own, as it is built to be."""
    canaries: int
    steps: int
    """How many steps were watched."""


class MembershipAttack(_Figures):
    """How well the final model tells records that it was trained on from others."""

    auc: float
    tpr_at_0_1_percent: Share
    tpr_at_1_percent: Share
    members: int
    others: int

    @property
    def chance(self) -> float:
        """The standard deviation of the AUC of guesses (Mann and Whitney 1947)."""
        return math.sqrt((self.members + self.others + 1) / (12 * self.members * self.others))


class AuditResult(_Figures):
    """One job at one hospital."""

    hospital: str
    job: str
    epsilon: float
    """What the ledger says that the job has spent here."""
    delta: float
    unit: str
    bound: LowerBound
    membership: MembershipAttack | None = None
    """None where there was no final model, or too few records to test on."""
    verdict: Verdict
    """Whether what came out can come of as little as was charged: whether the bound is no higher than ε."""
    seconds: float
    """What the audit took, the watching included."""
    training_seconds: float
    """What the rounds took here, without it."""

    @model_validator(mode="after")
    def _judged_by_its_figures(self) -> Self:
        if self.verdict != verdict_on(self.bound, self.epsilon):
            raise ValueError(f"{self.verdict}, with a bound of {self.bound.epsilon} on an ε of {self.epsilon}")
        return self

    def with_bound(self, bound: LowerBound) -> Self:
        """The same with another bound, and what follows from it."""
        return type(self)(**{**dict(self), "bound": bound, "verdict": verdict_on(bound, self.epsilon)})

    @property
    def share(self) -> float:
        """What the audit took, as a share of the training."""
        return self.seconds / self.training_seconds if self.training_seconds else 0.0

    def save(self, path: Path) -> None:
        """Write it, for its owner only."""
        write_durably(path, f"{self.model_dump_json(indent=2)}\n".encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it.

        Raises:
            RunError: it is missing or of another form.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}."
            raise RunError(message, remedy="Name a file audit.json, or the folder that it is in.") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole file"
            message = f"{path} is no audit: {place}: {first['msg']}."
            raise RunError(message, remedy="Name the file that a trainer wrote.") from error


def verdict_on(bound: LowerBound, epsilon: float) -> Verdict:
    """Whether what came out can come of an ε that was charged."""
    return "Violated" if bound.epsilon > epsilon else "Consistent"
