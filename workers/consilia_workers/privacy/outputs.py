"""Noise on what leaves, instead of on gradients: a whole update clipped and perturbed, by Gauss or Laplace."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr

from consilia_workers.privacy.noise import SystemRandomness

Vector = NDArray[np.floating]


def gaussian_perturbed(delta: Vector, clip_l2: float, std: float, randomness: SystemRandomness) -> Vector:
    """The vector scaled down to an L2 norm of `clip_l2`, plus Gaussian noise; NaN and infinity count as zero."""
    return randomness.plus_normal(_clipped(delta, clip_l2, order=2), std).astype(delta.dtype)


def laplace_perturbed(delta: Vector, clip_l1: float, scale: float, randomness: SystemRandomness) -> Vector:
    """The vector scaled down to an L1 norm of `clip_l1`, plus Laplace noise; NaN and infinity count as zero."""
    return randomness.plus_laplace(_clipped(delta, clip_l1, order=1), scale).astype(delta.dtype)


def _clipped(delta: Vector, norm: float, *, order: int) -> NDArray[np.float64]:
    finite = np.where(np.isfinite(delta), delta, 0).astype(np.float64)
    largest = np.max(np.abs(finite), initial=0.0)
    if largest == 0:
        return finite
    unit: NDArray[np.float64] = finite / largest  # its squares cannot overflow
    unit *= min(largest, norm / float(np.linalg.norm(unit, order)))
    return unit


def laplace_scale(epsilon: float, sensitivity: float) -> float:
    """The scale of Laplace noise that gives pure epsilon differential privacy; `sensitivity` is in the L1 norm."""
    return sensitivity / epsilon


def analytic_gaussian_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """The least standard deviation that gives (epsilon, delta) differential privacy; `sensitivity` is in the L2 norm.

    Exact for every epsilon (Balle and Wang 2018, arXiv 1805.06530, theorem 8), found to twelve digits, rounded up.

    Raises:
        ValueError: epsilon, delta or sensitivity is out of its range.
    """
    if not (epsilon > 0 and 0 < delta < 1 and sensitivity > 0):
        raise ValueError(f"epsilon {epsilon}, delta {delta}, sensitivity {sensitivity}")
    goal = math.log(delta)
    low, high = -50.0, 50.0  # of the logarithm of sigma over sensitivity

    def excess(log_sigma: float) -> float:
        return _log_delta(epsilon, math.exp(log_sigma)) - goal

    root = low if excess(low) < 0 else float(brentq(excess, low, high, xtol=1e-13))
    return sensitivity * math.exp(root + 1e-12)


def gaussian_delta(epsilon: float, sigma: float, sensitivity: float) -> float:
    """The delta at which Gaussian noise gives (epsilon, delta) differential privacy (the same theorem)."""
    return math.exp(_log_delta(epsilon, sigma / sensitivity))


def _log_delta(epsilon: float, sigma: float) -> float:
    """The logarithm of Phi(1/2s - es) - exp(e) Phi(-1/2s - es), without leaving the range of floating point."""
    first = float(log_ndtr(0.5 / sigma - epsilon * sigma))
    second = epsilon + float(log_ndtr(-0.5 / sigma - epsilon * sigma))
    return first + math.log(-math.expm1(min(second - first, -1e-300)))
