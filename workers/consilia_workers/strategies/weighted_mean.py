"""Federated averaging: the mean of the hospitals' parameters, weighted by their numbers of samples.

McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", Algorithm 1.
"""

from collections.abc import Iterable, Sequence
from math import gcd

import numpy as np
from numpy.typing import NDArray

from consilia_workers.strategies.interface import Block, Cohort


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
        total = blocks[0].astype(np.float64)
        total *= weights[0]
        product = np.empty_like(total)
        for block, weight in zip(blocks[1:], weights[1:], strict=True):
            product[...] = block
            product *= weight
            total += product
        total /= sum(weights)
        return total
