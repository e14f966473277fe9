"""The rule that stops a data set from giving more than its budget: a privacy filter over Rényi orders.

Whoever asks may choose the next mechanism after seeing what earlier ones gave. For one order, fixed beforehand, adding
up divergences is right all the same, also among jobs that run at once (Feldman and Zrnic 2021, arXiv 2008.11193; Haney
et al. 2023, arXiv 2309.05901). "As long as some order has room" is not one order: which one it will be depends on the
results. So δ is shared out among the orders before anything is spent, and each order's bound need hold with its share
only. The transcripts that end within one order's room are those of a filter of that order alone; adding up over the
orders, ε holds with probability 1 - δ. Most of δ goes to the orders that suit typical training which fills the budget,
so that the price is a few hundredths of the noise: see docs/decisions/0021-the-privacy-filter.md.
"""

from dataclasses import dataclass
from functools import cached_property
from math import log, sqrt
from typing import Self

import numpy as np

from consilia.privacy.accounting import ORDERS, Curve, unknown_is_infinite

_SHARES = ((0.8, 0.75), (0.5, 0.10), (0.3, 0.05))
"""Which orders get how much of δ. The first number is the order's place between 1 and the best for a Gaussian
mechanism that fills the budget: samples have theirs lower, by a fifth where there are many steps, by more for few."""
_REST = 0.10
"""What all orders get in equal parts besides."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class PrivacyFilter:
    """A budget (ε, δ), and how it shares δ out among the orders."""

    epsilon: float
    delta: float
    favourites: tuple[float, ...]
    """Some of `ORDERS`; fixed when the first budget is set, and never again."""

    @classmethod
    def of(cls, epsilon: float, delta: float) -> Self:
        """For a budget of which nothing is spent."""
        return cls(epsilon, delta, favourite_orders(epsilon, delta))

    def with_budget(self, epsilon: float, delta: float) -> "PrivacyFilter":
        """Another budget for what was spent under this one."""
        return PrivacyFilter(epsilon, delta, self.favourites)

    @cached_property
    def conversion(self) -> Curve:
        """What each order adds to its divergence to make it an ε; shape (147,)."""
        shares = np.full(len(ORDERS), _REST / len(ORDERS))
        for order, (_, share) in zip(self.favourites, _SHARES, strict=True):
            shares[order == ORDERS] += share
        found: Curve = np.log1p(-1 / ORDERS) - np.log(self.delta * shares * ORDERS) / (ORDERS - 1)
        return found

    def spent(self, total: Curve) -> float:
        """The ε that the filter counts for all that was released; never below what an accountant tells afterwards."""
        return max(0.0, float((unknown_is_infinite(total) + self.conversion).min())) if total.any() else 0.0

    def admits(self, total: Curve) -> bool:
        """Whether so much may have been released in all."""
        return self.spent(total) <= self.epsilon * (1 + _ROUNDING)


def favourite_orders(epsilon: float, delta: float) -> tuple[float, ...]:
    """The orders that suit what fills the budget: a function of the budget alone, so that no result can sway them."""
    root = sqrt(-log(delta))
    # sqrt(divergence per order) is sqrt(root² + ε) - root: written as a quotient, nothing is lost or 0 for a tiny ε.
    best_above_one = root * (sqrt(root**2 + epsilon) + root) / epsilon
    return tuple(_nearest(best_above_one * place) for place, _ in _SHARES)


def _nearest(above_one: float) -> float:
    return float(ORDERS[np.abs(np.log(ORDERS - 1) - log(above_one)).argmin()])
