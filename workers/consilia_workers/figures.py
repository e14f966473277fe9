"""Which figures of a model leave a hospital: the job's metrics, those that noise protects, or none."""

import json
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

from consilia.api import FederatedJob
from consilia_workers.learner import LocalLearner

_END = "\n"


class Metrics(Protocol):
    """Judges models on the hospital's test split."""

    def of(self, model: bytearray, rounds: int) -> dict[str, float]:
        """What may be told of a model that has seen so many rounds."""


class OpenMetrics:
    """All that the job asks for."""

    def __init__(self, job: FederatedJob, learner: LocalLearner) -> None:
        """`learner` has the data."""
        self._names, self._learner = job.spec.evaluation.reported(), learner

    def of(self, model: bytearray, rounds: int) -> dict[str, float]:
        """No figure leaves that the job does not ask for, and none that is no number."""
        found = {name: float(value) for name, value in self._learner.evaluate(model).items() if name in self._names}
        return {name: value for name, value in found.items() if isfinite(value)}


class KeptMetrics:
    """None: they are written to a file that stays in the hospital."""

    def __init__(self, metrics: Metrics, path: Path) -> None:
        """`metrics` would tell them."""
        self._metrics, self._path = metrics, path

    def of(self, model: bytearray, rounds: int) -> dict[str, float]:
        """Nothing."""
        line = json.dumps({"rounds": rounds, "metrics": self._metrics.of(model, rounds)})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{'' if _whole(self._path) else _END}{line}{_END}")
        return {}


def read_kept(path: Path) -> dict[int, dict[str, float]]:
    """What a hospital has kept of a job, by how many rounds the model had seen; the last word on each.

    A line that a crash cut short is left out: the trainer has judged that model again since, or will.
    """
    if not path.exists():
        return {}
    found = [_said(line) for line in path.read_bytes().split(b"\n")]
    return {line["rounds"]: line["metrics"] for line in found if line is not None}


def _whole(path: Path) -> bool:
    """Whether the last line has its end."""
    return path.read_bytes()[-1:] in {b"", b"\n"}


def _said(line: bytes) -> Any:  # noqa: ANN401 (of JSON)
    try:
        return json.loads(line)
    except ValueError:
        return None
