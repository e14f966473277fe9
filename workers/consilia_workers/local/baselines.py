"""The yardsticks beside a federation: what a hospital reaches alone, and what all records in one place would give.

Both take the federation's own path: the same task, initial model, optimizer, schedule, rounds and local epochs, from
model file to model file, with no server between. Training alone is thereby, to the bit, FedAvg with one hospital.
"""

from collections.abc import Callable, Sequence
from math import isfinite

from consilia.api import FederatedJob
from consilia.errors import DivergedError
from consilia_workers.learner import Learner, load_entrypoint, make_learner
from consilia_workers.report.results import ByHospital
from consilia_workers.source import DataSource

POOLED = "pooled"
"""Stands where a hospital's name would, in the progress of the pooled training."""

Progress = Callable[[str, int], None]
"""Called after each round with the hospital's name, or `POOLED`, and the round's number."""


def alone(job: FederatedJob, sources: Sequence[DataSource], progress: Progress) -> ByHospital:
    """Each hospital's metrics on its own test split, of a model trained on its own records only.

    A hospital whose training diverges gets no metrics: its data is too little or too odd to stand alone.

    Raises:
        TaskError: the task's code failed.
        DataError: a hospital's data is absent or not what the task expects.
    """
    return {source.hospital: _alone(job, source, progress) for source in sources}


def pooled(job: FederatedJob, sources: Sequence[DataSource], progress: Progress) -> ByHospital | None:
    """Each hospital's metrics on its own test split, of one model trained on all hospitals' records together.

    None where the entry point is a `Learner`, which knows one hospital's data only, and where the training diverges.

    Raises:
        TaskError: the task's code failed.
        DataError: a hospital's data is absent or not what the task expects.
    """
    found = load_entrypoint(job.spec.task.entrypoint)
    if isinstance(found, type) and issubclass(found, Learner):
        return None
    from consilia_workers.training.torch_learner import TorchLearner  # noqa: PLC0415 (torch takes seconds to load)

    model = _trained(TorchLearner.for_task(found, job, sources), job, lambda number: progress(POOLED, number))
    return {source.hospital: _judged(make_learner(job, source), model) for source in sources} if model else None


def _alone(job: FederatedJob, source: DataSource, progress: Progress) -> dict[str, float]:
    learner = make_learner(job, source)
    model = _trained(learner, job, lambda number: progress(source.hospital, number))
    return _judged(learner, model) if model else {}


def _trained(learner: Learner, job: FederatedJob, progress: Callable[[int], None]) -> bytearray | None:
    """The model file after all rounds; None where training diverged."""
    model = bytearray().join(learner.initial())
    for number in range(1, job.spec.rounds.count + 1):
        try:
            model = bytearray().join(learner.train(number, model))
        except DivergedError:
            return None
        progress(number)
    return model


def _judged(learner: Learner, model: bytearray) -> dict[str, float]:
    return {name: value for name, value in learner.evaluate(model).items() if isfinite(value)}
