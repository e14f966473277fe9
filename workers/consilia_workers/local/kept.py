"""What the hospitals of a private job have kept to themselves: on one machine, the runner reads it there.

No party of the job is told of metrics and audits. Whoever runs all hospitals on one machine has all of their data, and
wants to know what differential privacy costs.
"""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from consilia.errors import RunError
from consilia_workers.audit.result import AuditResult
from consilia_workers.figures import read_kept
from consilia_workers.local.folder import SeedFolder
from consilia_workers.privacy_files import AUDIT, KEPT_METRICS
from consilia_workers.report.results import RoundResult, SeedResult

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
