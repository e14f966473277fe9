"""Made-up runs: every figure follows from the seed, so that a test can compute it by hand."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from consilia_workers.report.results import ByHospital, Report, RoundResult, SeedResult

HOSPITALS = ("riverside", "lakeview", "hilltop")


def metrics_of(hospitals: Sequence[str], auc: float) -> ByHospital:
    return {name: {"auc": auc + 0.01 * place, "loss": 1 - auc} for place, name in enumerate(hospitals)}


class Make:
    """Parts of a report; keyword arguments replace single fields."""

    def round(self, number: int, hospitals: ByHospital, **changes: Any) -> RoundResult:
        fields: dict[str, Any] = {
            "round": number,
            "seconds": 0.04 + 0.02 / number,
            "aggregate_seconds": 0.004,
            "received_bytes": 256 * len(hospitals),
            "metrics": {},
            "hospitals": hospitals,
            "train_seconds": dict.fromkeys(hospitals, 0.02),
            "samples": {name: 100 + 10 * place for place, name in enumerate(hospitals)},
        }
        return RoundResult(**fields | changes)

    def seed(self, seed: int, hospitals: Sequence[str] = HOSPITALS, **changes: Any) -> SeedResult:
        noise = Random(seed)
        course = [0.93 - 0.4 * 0.8**number + noise.uniform(-0.01, 0.01) for number in range(20)]
        fields: dict[str, Any] = {
            "seed": seed,
            "outcome": "Succeeded",
            "reason": "RoundsCompleted",
            "start_seconds": 1.8,
            "wall_seconds": 3.5,
            "rounds": [self.round(number, metrics_of(hospitals, auc)) for number, auc in enumerate(course, start=1)],
            "federated": metrics_of(hospitals, 0.93 + noise.uniform(-0.005, 0.005)),
            "alone": metrics_of(hospitals, 0.90 + noise.uniform(-0.01, 0.01)),
            "pooled": metrics_of(hospitals, 0.94 + noise.uniform(-0.004, 0.004)),
            "model_digest": "sha256:" + f"{seed:02x}" * 32,
        }
        return SeedResult(**fields | changes)

    def failed_seed(self, seed: int, rounds: int) -> SeedResult:
        whole = self.seed(seed)
        changes = {
            "outcome": "Failed",
            "reason": "QuorumLost",
            "message": "lakeview and hilltop are missing.",
            "rounds": whole.rounds[:rounds],
            "federated": {},
            "alone": None,
            "pooled": None,
            "model_digest": None,
        }
        return whole.model_copy(update=changes)

    def report(self, seeds: Sequence[SeedResult], hospitals: Sequence[str] = HOSPITALS, **changes: Any) -> Report:
        fields: dict[str, Any] = {
            "job": "breast-cancer",
            "dataset": "breast-cancer",
            "entrypoint": "consilia_workers.tasks.breast_cancer:BreastCancer",
            "strategy": "FedAvg",
            "started": "2026-01-05T10:00:00+01:00",
            "consilia_version": "0.1.0",
            "hospitals": list(hospitals),
            "metrics": ["auc", "loss"],
            "parameters": 31,
            "model_bytes": 256,
            "spec": {"dataset": "breast-cancer", "rounds": {"count": 20}, "training": {"seed": 1}},
            "seeds": list(seeds),
        }
        return Report(**fields | changes)


@pytest.fixture
def make() -> Make:
    return Make()
