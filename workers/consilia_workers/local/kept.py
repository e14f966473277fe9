"""What the hospitals of a private job have kept to themselves: on one machine, the runner reads it there.

No party of the job is told of metrics, audits and ledgers. Whoever runs all hospitals on one machine has all of their
data, and wants to know what differential privacy costs.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from consilia.errors import LedgerError, RunError
from consilia.ledger.accounts import JobAccount, cost
from consilia.ledger.reading import read_ledger
from consilia.privacy.accounting import epsilon, tightest_epsilon
from consilia.privacy.mechanisms import Mechanism
from consilia_workers.audit.result import AuditResult
from consilia_workers.figures import read_kept
from consilia_workers.local.folder import SeedFolder
from consilia_workers.privacy_files import AUDIT, KEPT_METRICS
from consilia_workers.report.results import RoundResult, SeedResult
from consilia_workers.settings import TrainerSettings

Kept = Mapping[str, Mapping[int, Mapping[str, float]]]
"""By hospital, and by how many rounds the model had seen."""


def with_kept(result: SeedResult, folder: SeedFolder, hospitals: list[str]) -> SeedResult:
    """The result, with what the hospitals have kept."""
    kept = {name: read_kept(folder.party(name) / KEPT_METRICS) for name in hospitals}
    rounds = [_round(each, kept) for each in result.rounds]
    closed = len(result.rounds)
    federated = {name: dict(found[closed]) for name, found in kept.items() if closed in found}
    return result.model_copy(update={"rounds": rounds, "federated": federated})


def with_audits(result: SeedResult, folder: SeedFolder, hospitals: list[str]) -> SeedResult:
    """The result, with what each hospital's audit found; a hospital without one is left out."""
    found: dict[str, AuditResult] = {}
    for name in hospitals:
        with suppress(RunError):
            found[name] = AuditResult.load(folder.party(name) / AUDIT)
    return result.model_copy(update={"audits": found})


def with_spent(result: SeedResult, folder: SeedFolder, hospitals: list[str], *, tighter: bool) -> SeedResult:
    """The result, with what each hospital's ledger has for this training; a hospital without any is left out.

    With `tighter`, also what the same charges come to by the privacy loss distribution.
    """
    charged = {name: _charges(TrainerSettings.load(folder.settings(name))) for name in hospitals}
    told = {name: job for name, job in charged.items() if job and job.spent}
    update = {"spent": {name: epsilon(cost(job.spent), job.delta) for name, job in told.items()}}
    if tighter:
        update["tighter"] = {name: tightest_epsilon(_releases(job), job.delta) for name, job in told.items()}
    return result.model_copy(update=update)


def _charges(settings: TrainerSettings) -> JobAccount | None:
    folder = Path((settings.ledger or "").removeprefix("file://"))
    with suppress(LedgerError):  # none was begun, or it is damaged: then its trainer has said so
        accounts = read_ledger(folder, now=datetime.now(UTC)).accounts.by_name.values()
        return next((each.jobs[job] for each in accounts if (job := settings.ledger_job or "") in each.jobs), None)
    return None


def _releases(job: JobAccount) -> list[Mechanism]:
    return [mechanism.times(steps) for mechanism, steps in job.spent.items()]


def _round(result: RoundResult, kept: Kept) -> RoundResult:
    """Of the model that the round started from."""
    own = {
        name: dict(kept[name][result.round - 1]) for name in result.samples if result.round - 1 in kept.get(name, {})
    }
    return result.model_copy(update={"hospitals": own, "metrics": _means(own, result.samples)})


def _means(own: Mapping[str, Mapping[str, float]], samples: Mapping[str, int]) -> dict[str, float]:
    names = {metric for metrics in own.values() for metric in metrics}
    told = {metric: [name for name in own if metric in own[name]] for metric in sorted(names)}
    return {
        metric: float(np.average([own[name][metric] for name in who], weights=[samples[name] for name in who]))
        for metric, who in told.items()
    }
