"""What a job under differential privacy has spent and promised, hospital by hospital, and what the audits found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    """The most that the ledger has for one training here; None where nothing was charged."""
    tighter: float | None
    """The same by the privacy loss distribution, where the job asks for that."""
    bound: float | None
    """The highest lower bound of the audits; None without one."""
    attack: MembershipAttack | None
    """The one that did best."""
    violated: bool

    @property
    def auc(self) -> str:
        """Of the attack, with what chance alone would make of 0.5."""
        return auc_of(self.attack)

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
    return PrivacyRow(
        hospital=hospital,
        epsilon=max((seed.spent[hospital] for seed in report.seeds if hospital in seed.spent), default=None),
        tighter=max((seed.tighter[hospital] for seed in report.seeds if hospital in seed.tighter), default=None),
        bound=max((audit.bound.epsilon for audit in audits), default=None),
        attack=_best([audit.membership for audit in audits if audit.membership]),
        violated=any(audit.verdict == "Violated" for audit in audits),
    )


def _best(attacks: Sequence[MembershipAttack]) -> MembershipAttack | None:
    return max(attacks, key=lambda attack: attack.auc, default=None)


def auc_of(attack: MembershipAttack | None) -> str:
    """An attack's AUC, and by how much chance alone moves it; a dash without one."""
    return f"{attack.auc:.3f} ± {attack.chance:.3f}" if attack else ABSENT


def found_at_1_percent(attack: MembershipAttack | None) -> str:
    """The share of training records that an attack finds, with its interval; a dash where it cannot be told."""
    if attack is None or attack.others < OTHERS_FOR_1_PERCENT:
        return ABSENT
    found = attack.tpr_at_1_percent
    return f"{100 * found.share:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"
