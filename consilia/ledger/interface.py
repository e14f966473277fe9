"""What a ledger is asked and what it answers, whether it lies in this process's folder or behind an address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol, Self

from consilia.api import HospitalTaskSpec, PrivacyBudget
from consilia.api.dataset import BudgetApproval
from consilia.api.privacy import Unit
from consilia.ledger.chain import Head
from consilia.ledger.content import Content
from consilia.privacy.mechanisms import Mechanism
from consilia.privacy.plan import JobPlan

LEASE = timedelta(hours=24)
"""How long a promise lasts from which nothing is charged, and that nobody renews."""
Purpose = Literal["Training", "Evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that all jobs together may ever spend on a data set; decimal strings, as people wrote them."""

    epsilon: str
    delta: str
    epsilon_per_job: str | None = None
    approved_by: str = ""
    """Who agreed to more than before."""
    reason: str = ""
    after_gap: int | None = None
    """The number of the entry by which a loss was accepted, that the approval knows of."""

    @classmethod
    def of(cls, asked: PrivacyBudget) -> Self:
        """As a Dataset asks for it; an approval of another ε is none."""
        approval = agreed(asked)
        return cls(
            epsilon=asked.epsilon,
            delta=asked.delta,
            epsilon_per_job=asked.epsilon_per_job,
            approved_by=approval.by if approval else "",
            reason=approval.reason if approval else "",
            after_gap=approval.after_gap if approval else None,
        )


def agreed(asked: PrivacyBudget) -> BudgetApproval | None:
    """The approval, if it is of this budget: of the same number, in whatever digits."""
    approval = asked.approval
    return approval if approval and float(approval.epsilon) == float(asked.epsilon) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One release that is paid for."""

    reservation: int
    """The number of its entry: what `commit` names."""
    attempt: int
    """How often this release was charged, this one included."""
    epsilon_of_job: float
    """What the job has spent with it, at the job's δ."""
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Where an account stands. Every ε is at the account's δ, but `spent_by_job`, which is at the job's."""

    account: str
    datasets: tuple[str, ...]
    """The names that its data ever had, in order."""
    fingerprints: tuple[str, ...] = ()
    """What the data of each name was when it was seen last."""
    unit: Unit
    epsilon: float | None
    """The budget; None where there is no limit."""
    delta: float
    epsilon_per_job: float | None
    spent: float
    """By all jobs, as an accountant tells it."""
    reserved: float
    """What promises to jobs would add."""
    available: float | None
    """What is left for others, nothing after a loss; None where there is no limit."""
    exhausted: bool
    gap: bool
    """Whether entries were lost, so that nothing is afforded until a budget is approved."""
    spent_by_job: float = 0.0
    reserved_for_job: float = 0.0
    head: Head = Head()  # noqa: RUF009 (frozen)


class PrivacyLedger(Protocol):
    """What trainers and the operator ask for. Errors: `BudgetError`, `LedgerError`, `LedgerUnavailableError`."""

    def content_key(self) -> bytes:
        """What digests of data are keyed with: 32 secret bytes of this ledger's own."""

    def head(self) -> Head:
        """Where the ledger ends now."""

    def compare(self, seen: Sequence[Head]) -> None:
        """See that nothing is missing that others have seen."""

    def register(self, dataset: str, content: Content, unit: Unit) -> str:
        """The account of a data set, by what is in it and by what it is called; a new one if neither was ever seen."""

    def find(self, dataset: str) -> str | None:
        """The account that a data set of this name belongs to, if it was ever seen."""

    def set_budget(self, account: str, budget: Budget) -> None:
        """Set, lower, or with an approval raise what all jobs together may spend; an approval raises it once."""

    def plan(self, spec: HospitalTaskSpec, units: int) -> JobPlan:
        """What an offered job will ask of a hospital with so many records or patients: for who has no accountant.

        Raises:
            ManifestError: no noise makes it cost as little as it promises.
        """

    def admit(self, account: str, job: str, plan: JobPlan, lease: timedelta = LEASE) -> None:
        """Keep what the job will need, or go on keeping it."""

    def affords(self, account: str, job: str, plan: JobPlan) -> int:
        """How many of the job's rounds the budget pays for now, those that it was charged for included."""

    def reserve(
        self, account: str, job: str, round_number: int, mechanism: Mechanism, *, nonce: str, purpose: Purpose
    ) -> Charge:
        """Charge one release, before what it needs is computed."""

    def commit(self, reservation: int, output: str) -> Head:
        """Put down what was released under a charge; the same once more changes nothing."""

    def give_back(self, account: str, job: str, reason: Literal["Finished", "Withdrawn"] = "Finished") -> None:
        """The job needs no more: what was kept for it is free again."""

    def state(self, account: str, job: str = "") -> Statement:
        """Where an account stands, and a job in it."""

    def statements(self) -> list[Statement]:
        """Where all accounts stand, the oldest first."""
