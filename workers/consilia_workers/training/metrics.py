"""Metrics by name, over a whole split: functions of (scores, targets)."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

Metric = Callable[[NDArray[np.floating], NDArray[np.integer]], float | None]
"""Scores and targets to one number, or None where it is not defined (an AUC with one class only)."""


def accuracy(scores: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """The share of right predictions, at threshold 0.5 or by the highest score."""
    predicted = scores.argmax(axis=1) if scores.ndim == 2 else scores >= 0.5
    return float(np.mean(predicted == targets))


def auc(scores: NDArray[np.floating], targets: NDArray[np.integer]) -> float | None:
    """Area under the ROC curve; None where only one class occurs."""
    return float(sk.roc_auc_score(targets, scores)) if len(np.unique(targets)) == 2 else None


def average_precision(scores: NDArray[np.floating], targets: NDArray[np.integer]) -> float | None:
    """Area under the precision-recall curve; None without a positive."""
    return float(sk.average_precision_score(targets, scores)) if np.any(targets == 1) else None


def brier(scores: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """Mean squared error of the probability: calibration and sharpness in one; lower is better."""
    return float(np.mean((scores - targets) ** 2))


def macro_f1(scores: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """The unweighted mean of the classes' F1."""
    return float(sk.f1_score(targets, scores.argmax(axis=1), average="macro", zero_division=0))


BINARY: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "auc": auc,
    "average_precision": average_precision,
    "brier": brier,
}
"""For tasks whose targets are 0 or 1 and whose scores are one probability each."""

MULTICLASS: Mapping[str, Metric] = {"accuracy": accuracy, "macro_f1": macro_f1}
"""For tasks whose scores are one probability a class."""

LOWER_IS_BETTER = frozenset({"loss", "brier"})
