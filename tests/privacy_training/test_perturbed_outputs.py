"""A whole update clipped and perturbed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.privacy.outputs import gaussian_perturbed, laplace_perturbed

MECHANISMS = pytest.mark.parametrize(("perturb", "order"), [(gaussian_perturbed, 2), (laplace_perturbed, 1)])
NUMBERS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@MECHANISMS
@given(values=st.lists(NUMBERS, max_size=20))
def test_without_noise_the_norm_is_at_most_the_clip_and_short_vectors_stay(perturb, order, values):
    delta = np.array(values, np.float32)
    found = perturb(delta, 2.0, 0.0, SystemRandomness()).astype(np.float64)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found, order) <= 2.0 * (1 + 1e-5)
    finite = np.where(np.isfinite(delta), delta, 0).astype(np.float64)
    if np.linalg.norm(finite, order) < 1.99:
        np.testing.assert_allclose(found, finite, rtol=1e-6)


@MECHANISMS
def test_numbers_that_are_none_count_as_zero_and_huge_ones_are_clipped(perturb, order):
    delta = np.array([np.nan, np.inf, -np.inf, 1e300, 1e300])
    found = perturb(delta, 1.0, 0.0, SystemRandomness())
    np.testing.assert_allclose(found, [0, 0, 0, 2 ** (-1 / order), 2 ** (-1 / order)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("perturb", "law"), [(gaussian_perturbed, "norm"), (laplace_perturbed, "laplace")])
def test_noise_of_the_given_size_comes_after_clipping(perturb, law, dtype):
    delta = np.full(200_000, 5.0, dtype)
    found = perturb(delta, 0.001, 3.0, SystemRandomness())
    assert found.dtype == dtype
    assert kstest(found.astype(np.float64) / 3.0, law).statistic < 2.75 / math.sqrt(len(delta))
