"""Federated averaging: the mean of the hospitals' parameters, weighted by their numbers of samples.

McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", Algorithm 1.
"""

from collections.abc import Iterable, Sequence
from math import gcd

import numpy as np
from numpy.typing import NDArray

from consilia_workers.strategies.interface import Block, Cohort

PIECE = 1 << 16
"""Parameters averaged at a time: with a temporary as large as a block, the allocator would hand the pages back to the
system after each block, and fetching them anew takes five times as long as the arithmetic."""


class WeightedMean:
    """sum(n_k · w_k) / sum(n_k), accumulated in float64 in the order of the cohort.

    Multiplying before dividing keeps it exact where it can be: below 2**29 samples altogether, the products of float32
    parameters need no rounding, so hospitals that agree get their parameters back to the bit, and the mean never leaves
    the hospitals' range. Only separate multiplications and additions, no BLAS: its order of summation, and so the last
    bit, differs between processors.
    """

    minimum_updates = 1

    def examine(self, cohort: Cohort, blocks: Iterable[Sequence[Block]]) -> None:
        """Nothing to see beforehand."""

    def combine(self, cohort: Cohort, blocks: Sequence[Block]) -> NDArray[np.float64]:
        """The weighted mean of one block."""
        # In lowest terms a lone hospital weighs exactly 1, whatever its count, and float64 parameters survive too.
        divisor = gcd(*cohort.samples)
        weights = [samples // divisor for samples in cohort.samples]
        mean = np.empty(blocks[0].size, np.float64)
        product = np.empty(min(PIECE, mean.size), np.float64)
        for start in range(0, mean.size, PIECE):
            total = mean[start : start + PIECE]
            total[...] = blocks[0][start : start + PIECE]
            total *= weights[0]
            for block, weight in zip(blocks[1:], weights[1:], strict=True):
                term = product[: total.size]
                term[...] = block[start : start + PIECE]
                term *= weight
                total += term
            total /= sum(weights)
        return mean
