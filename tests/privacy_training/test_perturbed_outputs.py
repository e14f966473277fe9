"""A whole update clipped and perturbed, and how much noise that takes."""

import math

import numpy as np
import pytest
from dp_accounting.pld.common import DifferentialPrivacyParameters
from dp_accounting.pld.privacy_loss_mechanism import GaussianPrivacyLoss
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.privacy.outputs import (
    analytic_gaussian_sigma,
    gaussian_delta,
    gaussian_perturbed,
    laplace_perturbed,
    laplace_scale,
)

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


@pytest.mark.parametrize(("epsilon", "sigma"), [(0.5, 7.0318), (1.0, 3.7304)])
def test_gaussian_noise_is_as_large_as_known(epsilon, sigma):
    assert analytic_gaussian_sigma(epsilon, 1e-5, 1.0) == pytest.approx(sigma, rel=1e-4)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-6), (0.5, 1e-5), (3.0, 1e-7), (20.0, 1e-5)])
def test_gaussian_noise_is_as_large_as_dp_accounting_says(epsilon, delta):
    wanted = DifferentialPrivacyParameters(epsilon, delta)
    theirs = GaussianPrivacyLoss.from_privacy_guarantee(wanted, sensitivity=2.0)
    assert analytic_gaussian_sigma(epsilon, delta, 2.0) == pytest.approx(theirs.standard_deviation, rel=1e-4)


@given(epsilon=st.floats(1e-3, 50), log_delta=st.floats(-30, -0.7), sensitivity=st.floats(1e-3, 1e3))
def test_the_noise_gives_the_delta_and_a_little_less_does_not(epsilon, log_delta, sensitivity):
    delta = math.exp(log_delta)
    sigma = analytic_gaussian_sigma(epsilon, delta, sensitivity)
    assert gaussian_delta(epsilon, sigma, sensitivity) <= delta * (1 + 1e-6)
    assert gaussian_delta(epsilon, sigma * (1 - 1e-5), sensitivity) > delta * (1 - 1e-6)


@pytest.mark.parametrize(("epsilon", "delta", "sensitivity"), [(0, 1e-5, 1), (1, 0, 1), (1, 1, 1), (1, 1e-5, 0)])
def test_what_has_no_answer_is_refused(epsilon, delta, sensitivity):
    with pytest.raises(ValueError, match="epsilon"):
        analytic_gaussian_sigma(epsilon, delta, sensitivity)


def test_laplace_noise_follows_from_epsilon_alone():
    assert laplace_scale(0.5, 3.0) == 6.0
