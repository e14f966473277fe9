"""Noise on what leaves, instead of on gradients: a whole update clipped and perturbed, by Gauss or Laplace."""

import numpy as np
from numpy.typing import NDArray

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
