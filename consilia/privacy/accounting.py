"""What mechanisms cost: their Rényi divergence over many orders, composed by adding, and the ε that follows.

A thin layer over Google's `dp_accounting`. Units are added or removed (not replaced). The Gaussian differential privacy
accountant is not here on purpose: it is a limit theorem and tells too little for few steps.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilia.privacy.mechanisms import Mechanism

ORDERS: NDArray[np.float64] = np.array(
    [*(1 + tenth / 10 for tenth in range(10, 100)), *range(11, 64), 128, 256, 512, 1024], dtype=np.float64
)
"""The orders at which divergences are kept: those of `dp_accounting` from 2 on, written out so that a ledger's meaning
does not change with a library's defaults. Lower ones are best only for an ε of twenty and more."""

Curve = NDArray[np.float64]
"""Rényi divergences at `ORDERS`; shape (147,)."""


def nothing() -> Curve:
    """The cost of no release at all."""
    return np.zeros(len(ORDERS))


def curve(mechanism: Mechanism) -> Curve:
    """What the mechanism costs.

    Mironov (2017), Rényi differential privacy; for samples Mironov, Talwar and Zhang (2019), arXiv 1908.10530.
    """
    return _once(mechanism.once) * mechanism.steps


@lru_cache(maxsize=1024)
def _once(mechanism: Mechanism) -> Curve:
    from dp_accounting.rdp import RdpAccountant  # noqa: PLC0415 (takes a second to load)

    accountant = RdpAccountant(ORDERS)
    accountant.compose(_event(mechanism))
    # Where much noise leaves nothing but rounding errors, the library's figures are below 0: no release pays back.
    found = np.maximum(unknown_is_infinite(np.array(accountant.rdp, dtype=np.float64)), 0)
    found.flags.writeable = False
    return found


def unknown_is_infinite(total: Curve) -> Curve:
    """The same, but at an order whose figure is no number nothing is bounded."""
    found: Curve = np.where(np.isnan(total), np.inf, total)
    return found


def composed(mechanisms: Iterable[Mechanism]) -> Curve:
    """What all of them cost together, whatever their order, and though each was chosen after the others' results."""
    return sum((curve(mechanism) for mechanism in mechanisms), start=nothing())


def epsilon(total: Curve, delta: float) -> float:
    """The ε that holds with probability 1 - `delta`: the best over all orders.

    Canonne, Kamath and Steinke (2020), arXiv 2004.00010, proposition 12.
    """
    if not total.any():
        return 0.0
    from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon  # noqa: PLC0415 (as above)

    found, _order = compute_epsilon(ORDERS, unknown_is_infinite(total), delta)
    return float(found)


def tightest_epsilon(mechanisms: Iterable[Mechanism], delta: float) -> float:
    """The ε from the privacy loss distribution: closer to the truth than Rényi's, for mechanisms planned beforehand.

    Koskela, Jälkö and Honkela (2020) and Doroshenko et al. (2022), as `dp_accounting` has them: pessimistic rounding,
    so the true ε is no larger.
    """
    from dp_accounting import SelfComposedDpEvent  # noqa: PLC0415 (as above)
    from dp_accounting.pld import PLDAccountant  # noqa: PLC0415 (as above)

    accountant = PLDAccountant()
    for mechanism in mechanisms:
        accountant.compose(SelfComposedDpEvent(_event(mechanism.once), mechanism.steps))
    return float(accountant.get_epsilon(delta))


def _event(mechanism: Mechanism) -> Any:  # noqa: ANN401 (of a library without types)
    import dp_accounting  # noqa: PLC0415 (as above)

    noise, rate = float(mechanism.noise_multiplier), float(mechanism.sample_rate)
    if mechanism.kind == "Laplace":
        return dp_accounting.LaplaceDpEvent(noise)
    gaussian = dp_accounting.GaussianDpEvent(noise)
    sampled = mechanism.kind == "SampledGaussian" and rate < 1
    return dp_accounting.PoissonSampledDpEvent(rate, gaussian) if sampled else gaussian
