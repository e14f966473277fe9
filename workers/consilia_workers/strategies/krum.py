"""Krum and Multi-Krum: keep the updates that have the closest neighbours, drop the rest.

Blanchard et al. 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", section 4.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from consilia.errors import QuorumError
from consilia_workers.strategies.interface import Block, Cohort

PIECE = 1 << 14
"""Parameters compared at a time, so that the hospitals' float64 rows stay in the processor's cache."""


class MultiKrum:
    """The plain mean of the m updates with the best scores, as long as at most f hospitals are Byzantine.

    An update's score is the sum of its squared distances to its n - f - 2 nearest neighbours. Hospitals count alike,
    whatever their samples: a count is a hospital's own claim, and a liar that passes as honest would claim the most.
    """

    def __init__(self, byzantine: int, selected: int) -> None:
        """`byzantine` is f, `selected` is m."""
        self.byzantine = byzantine
        self.selected = selected
        self._kept: tuple[int, ...] = ()

    @property
    def minimum_updates(self) -> int:
        """2f + 3, the paper's condition, and m + f + 2, that of Damaskinos et al. 2019, "AggregaThor", on m."""
        return max(2 * self.byzantine + 3, self.byzantine + self.selected + 2)

    def examine(self, cohort: Cohort, blocks: Iterable[Sequence[Block]]) -> None:
        """Choose the updates to keep by their distances over all blocks; of equal scores, the first by name.

        Raises:
            QuorumError: fewer than `minimum_updates`, so that an honest update need not have honest neighbours.
        """
        count = len(cohort.hospitals)
        if count < self.minimum_updates:
            names = ", ".join(cohort.hospitals)
            raise QuorumError(
                f"Krum against {self.byzantine} Byzantine hospitals needs {self.minimum_updates} updates, not {names}.",
                remedy="Raise hospitals.minUpdates or lower aggregation.byzantineHospitals.",
            )
        scores = krum_scores(squared_distances(count, blocks), self.byzantine)
        self._kept = tuple(sorted(np.argsort(scores, stable=True)[: self.selected].tolist()))

    def combine(self, cohort: Cohort, blocks: Sequence[Block]) -> NDArray[np.float64]:
        """The mean of the kept updates' block."""
        first, *others = (blocks[k] for k in self._kept)
        total = first.astype(np.float64)
        for block in others:
            total += block
        total /= len(self._kept)
        return total


class Krum(MultiKrum):
    """The one update with the best score: Multi-Krum with m = 1."""

    def __init__(self, byzantine: int) -> None:
        """`byzantine` is f."""
        super().__init__(byzantine, selected=1)


def squared_distances(count: int, blocks: Iterable[Sequence[Block]]) -> NDArray[np.float64]:
    """The squared Euclidean distance of every two of `count` updates, shape (count, count).

    Summed from differences in float64: |a|² + |b|² - 2ab would cancel, as updates of a round lie close together.
    """
    total = np.zeros((count, count))
    # A Byzantine value near float64's end is infinitely far away, and that is all one has to know about it.
    with np.errstate(over="ignore"):
        for block in blocks:
            for start in range(0, block[0].size, PIECE):
                _add_squared_distances(total, [row[start : start + PIECE].astype(np.float64) for row in block])
    return total + total.T


def krum_scores(distances: NDArray[np.float64], byzantine: int) -> NDArray[np.float64]:
    """For every update the sum of its squared distances to its n - f - 2 nearest neighbours; the lower, the better."""
    neighbours = len(distances) - byzantine - 2
    # The nearest to each is itself, at distance 0.
    nearest = np.sort(distances, axis=1)[:, 1 : 1 + neighbours]
    scores: NDArray[np.float64] = nearest.sum(axis=1)
    return scores


def _add_squared_distances(total: NDArray[np.float64], rows: Sequence[NDArray[np.float64]]) -> None:
    difference = np.empty_like(rows[0])
    for i, j in combinations(range(len(rows)), 2):
        np.subtract(rows[i], rows[j], out=difference)
        np.square(difference, out=difference)
        # Not np.dot: BLAS sums in an order of its own on each processor, and an order decides ties.
        total[i, j] += difference.sum()
