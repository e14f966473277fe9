"""Noise has the distribution that the accountant believes in, and is never drawn twice."""

import os

import numpy as np
import pytest
from scipy.stats import kstest

from consilia_workers.privacy.noise import SystemRandomness

COUNT = 1_000_000
FARTHEST = 2.75 / np.sqrt(COUNT)
"""Of the empirical from the true distribution: farther once in two million times (Kolmogorov-Smirnov)."""


def drawn(kind, count):
    """Noise of scale 1 on nothing."""
    return getattr(SystemRandomness(), f"plus_{kind}")(np.zeros(count), 1.0)


def test_uniform_draws_follow_the_law():
    assert kstest(SystemRandomness().uniform(COUNT), "uniform").statistic < FARTHEST


@pytest.mark.parametrize(("kind", "variance", "kurtosis"), [("normal", 1, 3), ("laplace", 2, 6)])
def test_draws_have_the_right_spread_and_tails_and_no_memory(kind, variance, kurtosis):
    """Each figure within five standard errors or more."""
    values = drawn(kind, COUNT)
    assert abs(values.mean()) < 5 * np.sqrt(variance / COUNT)
    assert abs(values.var() / variance - 1) < 5 * np.sqrt((kurtosis - 1) / COUNT)
    assert abs(np.mean(values**4) / values.var() ** 2 - kurtosis) < 0.3
    for lag in (1, 2, 4, 2**15):
        assert abs(np.mean(values[lag:] * values[:-lag]) / variance) < 6 / np.sqrt(COUNT)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.3, 1.0])
def test_every_record_is_sampled_at_the_rate_by_itself(rate):
    mask = SystemRandomness().poisson_mask(COUNT, rate)
    assert mask.dtype == np.bool_
    assert abs(mask.sum() - COUNT * rate) <= 5 * np.sqrt(COUNT * rate * (1 - rate))
    both = (mask[1:] & mask[:-1]).sum()
    assert abs(both - COUNT * rate**2) <= 10 * np.sqrt(COUNT * rate**2 * (1 - rate**2)) + 1


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_is_a_probability(rate):
    with pytest.raises(ValueError, match="sampling rate"):
        SystemRandomness().poisson_mask(3, rate)


class AllOnes:
    """A cipher of which every bit comes out alike."""

    def __init__(self, byte):
        self.byte = byte

    def update_into(self, data, out):
        out[:] = bytes([self.byte]) * len(data)


@pytest.mark.parametrize("byte", [0x00, 0xFF])
def test_the_farthest_draws_are_finite(byte):
    randomness = SystemRandomness()
    randomness.uniform(1)
    randomness._stream = AllOnes(byte)
    assert 0 < randomness.uniform(1)[0] < 1
    assert 10 < abs(randomness.plus_normal(np.zeros(1), 1)[0]) < 20  # two of eight, divided by the root of two
    assert np.isfinite(randomness.plus_laplace(np.zeros(1), 1)[0])


@pytest.mark.parametrize(("kind", "law"), [("plus_normal", "norm"), ("plus_laplace", "laplace")])
@pytest.mark.parametrize("scale", [1e-6, 0.37, 1.0, 5000.0])
def test_what_is_noisy_differs_from_the_values_by_the_law(kind, law, scale):
    values = np.linspace(-7, 1e3, COUNT) * scale
    noise = (getattr(SystemRandomness(), kind)(values, scale) - values) / scale
    assert kstest(noise, law).statistic < FARTHEST


@pytest.mark.parametrize("kind", ["plus_normal", "plus_laplace"])
@pytest.mark.parametrize("value", [0.0, 2.0**-60, 1 / 3, 1e5 / 3], ids=["zero", "tiny", "a third", "much"])
@pytest.mark.parametrize("scale", [0.37, 1.0, 3.0])
def test_how_fine_a_noisy_number_is_tells_nothing_of_the_value(kind, value, scale):
    noisy = getattr(SystemRandomness(), kind)(np.full(COUNT, value), scale)
    grid = 2.0 ** (np.floor(np.log2(scale)) - 24)
    points = noisy / grid
    assert (points == np.rint(points)).all()
    assert abs(np.mean(points % 2) - 0.5) < 5 * 0.5 / np.sqrt(COUNT)  # and no coarser


def test_without_noise_values_stay_as_they_are():
    values = np.array([1 / 3, -2.0, 0.0])
    assert (SystemRandomness().plus_normal(values, 0.0) == values).all()


@pytest.mark.parametrize("count", [0, 1, 2**15 - 1, 2**15, 2**15 + 1])
def test_any_number_of_draws_can_be_had(count):
    randomness = SystemRandomness()
    assert len(np.unique(randomness.uniform(count))) == count
    for values in (randomness.plus_normal(np.zeros(count), 1), randomness.plus_laplace(np.zeros(count), 1)):
        assert len(values) == count
        assert len(np.unique(values)) >= 0.99 * count


def test_no_two_instances_draw_alike():
    one, other = SystemRandomness().uniform(100_000), SystemRandomness().uniform(100_000)
    assert not np.intersect1d(one, other).size


def test_a_forked_process_does_not_repeat_its_parents_draws():
    randomness = SystemRandomness()
    randomness.uniform(3)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, randomness.uniform(500).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = np.frombuffer(os.read(reading, 4000))
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 500
    assert not np.intersect1d(theirs, randomness.uniform(500)).size
