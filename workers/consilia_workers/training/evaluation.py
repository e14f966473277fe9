"""A model's metrics over one split."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from consilia.errors import TaskError
from consilia_workers.task import Batch, Task
from consilia_workers.training.batches import in_order, on_device
from consilia_workers.training.guard import guarded
from consilia_workers.training.metrics import Metric
from consilia_workers.training.steps import loss_of


def refuse_unknown_metrics(task: Task, names: Sequence[str]) -> None:
    """Better before the first round than after it.

    Raises:
        TaskError: the task has no metric of such a name.
    """
    known = {"loss", *task.metrics}
    if unknown := set(names) - known:
        message = f"{type(task).__name__} has no metric {', '.join(sorted(unknown))}."
        raise TaskError(message, remedy=f"Choose from {', '.join(sorted(known))}.")


@torch.no_grad()
def evaluate(task: Task, model: nn.Module, dataset: Dataset[Batch], names: Sequence[str]) -> dict[str, float]:
    """The metrics called `names`; those that are not defined on this split are left out.

    Raises:
        TaskError: a metric is unknown, or the task's predict() or loss() failed.
    """
    refuse_unknown_metrics(task, names)
    model.eval()
    device = next(model.parameters()).device
    scores, targets, losses = [], [], []
    for batch in in_order(dataset):
        moved = on_device(batch, device)
        score, target = _predictions(task, model, moved)
        scores.append(score.float().cpu().numpy())
        targets.append(target.cpu().numpy())
        if "loss" in names:
            losses.append(float(loss_of(task, model, moved)))
    values = _metrics(task, np.concatenate(scores), np.concatenate(targets), names)
    if losses:
        values["loss"] = float(np.average(losses, weights=[len(target) for target in targets]))
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _predictions(task: Task, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Scores and targets of one batch. Other shapes would be broadcast by a metric, and give a number all the same.

    Raises:
        TaskError: predict() failed, or gave something else, or its shapes do not fit.
    """
    match guarded("predict()", task.predict, model, batch):
        case (Tensor() as score, Tensor() as target):
            pass
        case other:
            message = f"the task's predict() gave a {type(other).__name__}, not scores and targets."
            raise TaskError(message, remedy="Return two tensors.")
    flat = score.ndim == 1 or (score.ndim == 2 and score.shape[1] > 1)
    if not flat or target.ndim != 1 or len(score) != len(target):
        message = f"the task's predict() gave scores {tuple(score.shape)} and targets {tuple(target.shape)}."
        raise TaskError(message, remedy="Give shapes (n,) and (n,), or (n, classes) and (n,); squeeze(1) helps.")
    return score, target


def _metrics(task: Task, scores: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    wanted = {name: metric for name, metric in task.metrics.items() if name in names}
    values = {name: guarded(f"metric {name}", _number, metric, scores, targets) for name, metric in wanted.items()}
    return {name: value for name, value in values.items() if value is not None}


def _number(metric: Metric, scores: np.ndarray, targets: np.ndarray) -> float | None:
    value = metric(scores, targets)
    return None if value is None else float(value)
