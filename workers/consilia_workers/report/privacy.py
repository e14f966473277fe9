"""What a job under differential privacy has spent and promised, hospital by hospital, and what the audits found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from consilia.api import FederatedJobSpec
from consilia.privacy.accounting import tightest_epsilon
from consilia.privacy.plan import make_plan
from consilia_workers.audit.result import MembershipAttack
from consilia_workers.report.results import Report
from consilia_workers.report.wording import ABSENT

OTHERS_FOR_1_PERCENT = 100
"""With fewer other records, none of them may pass, and a share at 1 % says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyRow:
    """One hospital, over all trainings of a run: of each the worst."""

    hospital: str
    epsilon: float | None
    """The most that one training spent here, as the ledger counts; None if it never sent an update."""
    tighter: float | None
    """The same by the privacy loss distribution, where the job asks for that."""
    bound: float | None
    """The highest lower bound of the audits; None without one."""
    attack: MembershipAttack | None
    """The one that did best."""
    violated: bool

    @property
    def auc(self) -> str:
        """Of the attack."""
        return f"{self.attack.auc:.3f}" if self.attack else ABSENT

    @property
    def found(self) -> str:
        """Of the attack: how many training records it finds."""
        return found_at_1_percent(self.attack)


def promise(report: Report) -> dict[str, Any] | None:
    """The job's `privacy`, with the defaults of this version where the report has none."""
    asked = report.spec.get("privacy")
    defaults = {"unit": "Record", "delta": "1e-5", "mechanism": "DPSGD", "evaluation": "Local", "accountant": "RDP"}
    return {**defaults, **asked} if asked else None


def privacy_rows(report: Report) -> list[PrivacyRow]:
    """One for each hospital; none for a job without privacy."""
    return [_row(report, hospital) for hospital in report.hospitals] if promise(report) else []


def _row(report: Report, hospital: str) -> PrivacyRow:
    audits = [seed.audits[hospital] for seed in report.seeds if hospital in seed.audits]
    spent = [*(audit.epsilon for audit in audits), *_told(report, hospital)]
    return PrivacyRow(
        hospital=hospital,
        epsilon=max(spent, default=None),
        tighter=_tighter(report, hospital),
        bound=max((audit.bound.epsilon for audit in audits), default=None),
        attack=_best([audit.membership for audit in audits if audit.membership]),
        violated=any(audit.verdict == "Violated" for audit in audits),
    )


def _told(report: Report, hospital: str) -> Iterator[float]:
    for seed in report.seeds:
        yield from (done.epsilon[hospital] for done in seed.rounds if hospital in done.epsilon)


def _best(attacks: Sequence[MembershipAttack]) -> MembershipAttack | None:
    return max(attacks, key=lambda attack: attack.auc, default=None)


def _tighter(report: Report, hospital: str) -> float | None:
    """Of as many rounds as this hospital had most, none repeated."""
    asked = promise(report)
    samples = {done.samples[hospital] for seed in report.seeds for done in seed.rounds if hospital in done.samples}
    rounds = max((sum(hospital in done.samples for done in seed.rounds) for seed in report.seeds), default=0)
    if asked is None or asked["accountant"] != "PRV" or not samples:
        return None
    plan = make_plan(FederatedJobSpec.model_validate(report.spec), max(samples))
    return tightest_epsilon(plan.releases(rounds), plan.delta)


def found_at_1_percent(attack: MembershipAttack | None) -> str:
    """The share of training records that an attack finds, with its interval; a dash where it cannot be told."""
    if attack is None or attack.others < OTHERS_FOR_1_PERCENT:
        return ABSENT
    found = attack.tpr_at_1_percent
    return f"{100 * found.share:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"
