"""The coordinate-wise trimmed mean.

Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", Algorithm 1, option II.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from consilia_workers.strategies.interface import Block, Cohort
from consilia_workers.strategies.sorting_network import mean_of_ranks


class TrimmedMean:
    """Each parameter's mean over the hospitals without its floor(β·n) smallest and its floor(β·n) largest values.

    Hospitals count alike, whatever their samples: a count is a hospital's own claim, and a liar would claim the most.
    """

    def __init__(self, trim_fraction: Fraction) -> None:
        """`trim_fraction` is β, above 0 and below 1/2; a fraction, as 0.29 · 100 in floats would trim 28."""
        self.trim_fraction = trim_fraction

    @property
    def minimum_updates(self) -> int:
        """The fewest from which β trims anything; below it this would be a plain mean, open to anyone."""
        return ceil(1 / self.trim_fraction)

    def examine(self, cohort: Cohort, blocks: Iterable[Sequence[Block]]) -> None:
        """Nothing to see beforehand."""

    def combine(self, cohort: Cohort, blocks: Sequence[Block]) -> NDArray[np.float64]:
        """The trimmed mean of one block."""
        trimmed = floor(self.trim_fraction * len(blocks))
        return mean_of_ranks(blocks, trimmed, len(blocks) - trimmed)
