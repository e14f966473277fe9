"""Metrics that may leave a hospital: computed from one table of counts with noise, which the ledger charges.

Every test record falls into one cell: how high the model scored it, and whether the answer was yes. One record more or
less changes one count by one, so Gaussian noise on all counts is one release of sensitivity 1, and whatever is computed
from the noisy table (AUC, accuracy, Brier score, loss) costs nothing more.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilia_workers.privacy.noise import SystemRandomness

BINS = 32
"""Scores are told apart in so many steps: more of them would be finer, and hold fewer records each beside the noise."""
_MIDDLES = (np.arange(BINS) + 0.5) / BINS


def noisy_counts(
    scores: NDArray[np.floating[Any]], targets: NDArray[np.integer[Any]], std: float, randomness: SystemRandomness
) -> NDArray[np.float64]:
    """Records by answer (no, yes) and score, with noise; shape (2, 32), not negative.

    `scores` are probabilities, shape (n,); what is none counts as a score of one half.
    """
    known = np.where(np.isfinite(scores), scores, 0.5)
    place = np.clip((known * BINS).astype(int), 0, BINS - 1)
    counts = np.zeros((2, BINS))
    np.add.at(counts, ((targets > 0).astype(int), place), 1)
    return np.maximum(randomness.plus_normal(counts.ravel(), std).reshape(2, BINS), 0)


def metrics_of(counts: NDArray[np.float64], names: tuple[str, ...]) -> dict[str, float]:
    """Those of the named metrics that a table of counts tells; none where noise has left nothing of an answer."""
    no, yes = counts
    total = counts.sum()
    if no.sum() <= 0 or yes.sum() <= 0:
        return {}
    below = np.concatenate([[0], no.cumsum()[:-1]])
    found = {
        "auc": float((yes * (below + no / 2)).sum() / (yes.sum() * no.sum())),
        "accuracy": float((yes[_MIDDLES >= 0.5].sum() + no[_MIDDLES < 0.5].sum()) / total),
        "brier": float((yes * (1 - _MIDDLES) ** 2 + no * _MIDDLES**2).sum() / total),
        "loss": float(-(yes * np.log(_MIDDLES) + no * np.log1p(-_MIDDLES)).sum() / total),
        "average_precision": _average_precision(no, yes),
    }
    return {name: found[name] for name in names if name in found}


def _average_precision(no: NDArray[np.float64], yes: NDArray[np.float64]) -> float:
    """Precision at each score, weighted by the positives that it adds."""
    found, all_ = yes[::-1].cumsum(), (yes + no)[::-1].cumsum()
    precision = np.divide(found, all_, out=np.zeros_like(found), where=all_ > 0)
    return float((precision * yes[::-1]).sum() / yes.sum())
