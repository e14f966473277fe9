"""The coordinate-wise median.

Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", Algorithm 1, option I.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from consilia_workers.strategies.interface import Block, Cohort
from consilia_workers.strategies.sorting_network import mean_of_ranks


class Median:
    """Each parameter's median over the hospitals; of an even number, the mean of the two in the middle.

    Hospitals count alike, whatever their samples: a count is a hospital's own claim, and a liar would claim the most.
    """

    minimum_updates = 3
    """With two, no majority says which one is wrong."""

    def examine(self, cohort: Cohort, blocks: Iterable[Sequence[Block]]) -> None:
        """Nothing to see beforehand."""

    def combine(self, cohort: Cohort, blocks: Sequence[Block]) -> NDArray[np.float64]:
        """The median of one block."""
        return mean_of_ranks(blocks, (len(blocks) - 1) // 2, len(blocks) // 2 + 1)
