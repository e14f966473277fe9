"""A lower bound on epsilon from examples that cannot touch one another, each a run of the same experiment.

Where every example has a coin, a sample and noise of its own, the scores of those that were in are independent draws,
and so are those of the others. Then shares of them are estimates of probabilities, and differential privacy bounds one
probability by the other (Nasr et al., "Tight Auditing of Differentially Private Machine Learning", USENIX Security
2023; many examples in one run are those of Andrew et al., ICLR 2024). It takes less for granted to count guesses, as
`one_run` does, but for an epsilon of more than four or so its delta leaves no number of right guesses too many.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from consilia.errors import DataError

_FIRST = 0.5
"""This part of the doubt goes to the threshold that no example passed that was left out: a sabotage shows there."""
_FALSE_ALARMS = 0.9
"""This part of a threshold's doubt goes to how many pass that were left out; the rest to how many that were in."""
_FACTOR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparationBound:
    """With this confidence, the training is not (e, delta)-differentially private for any e < epsilon."""

    epsilon: float
    """0 if nothing could be refuted."""
    confidence: float
    found: int
    """Examples above the best threshold that were in."""
    mistaken: int
    """Examples above it that were not."""


def separation_bound(
    scores: ArrayLike, kept: ArrayLike, *, delta: float = 0.0, confidence: float = 0.95
) -> SeparationBound:
    """The largest epsilon that a threshold on the scores refutes: log((P[in passes] - delta) / P[out passes]).

    The thresholds are those scores of examples left out that rank 1st, 4th, 16th and so on: whatever the law of the
    scores, the chance of such an example to pass the j-th of n is at most a Beta(j, n - j + 1) variable. The chance of
    one that was in is bounded by Clopper & Pearson. The doubt is shared out among the thresholds beforehand.

    Args:
        scores: [examples], higher for what looks more like a member.
        kept: [examples], what each one's own coin said.
        delta: The delta for which epsilon is asked.
        confidence: One minus the chance that the bound is above the true epsilon.

    Raises:
        DataError: a score is NaN or the shapes do not fit.
        ValueError: delta or confidence is out of range.
    """
    found, truth = np.asarray(scores, float), np.asarray(kept, bool)
    if found.ndim != 1 or found.shape != truth.shape or np.isnan(found).any():
        raise DataError(f"scores of shape {found.shape}, coins of {truth.shape}, or a score is NaN")
    if not (0 < confidence < 1 and 0 <= delta <= 1):
        raise ValueError(f"a confidence of {confidence}, a delta of {delta}")
    inside, outside = found[truth], np.sort(found[~truth])[::-1]
    nothing = SeparationBound(epsilon=0.0, confidence=confidence, found=0, mistaken=0)
    ranks = _ranks(len(outside)) if len(inside) else []
    doubts = _doubts(len(ranks), 1 - confidence)
    bounds = [_at(rank, inside, outside, delta, doubt) for rank, doubt in zip(ranks, doubts, strict=True)]
    return max([nothing, *bounds], key=lambda bound: bound.epsilon)


def _ranks(outside: int) -> list[int]:
    """1, 4, 16 and so on, up to half of them."""
    powers = [_FACTOR**power for power in range(32)]
    return [rank for rank in powers if rank == 1 or 2 * rank <= outside] if outside else []


def _doubts(count: int, doubt: float) -> list[float]:
    if count < 2:
        return [doubt] * count
    return [_FIRST * doubt, *[(1 - _FIRST) * doubt / (count - 1)] * (count - 1)]


def _at(
    rank: int, inside: NDArray[np.float64], outside: NDArray[np.float64], delta: float, doubt: float
) -> SeparationBound:
    threshold = outside[rank - 1]
    passed = int(np.count_nonzero(inside > threshold))
    mistaken = int(np.count_nonzero(outside > threshold))
    most = special.betainccinv(rank, len(outside) - rank + 1, _FALSE_ALARMS * doubt)
    least = special.betaincinv(passed, len(inside) - passed + 1, (1 - _FALSE_ALARMS) * doubt) if passed else 0.0
    epsilon = math.log((least - delta) / most) if least > delta else 0.0
    return SeparationBound(epsilon=max(epsilon, 0.0), confidence=1 - doubt, found=passed, mistaken=mistaken)
