"""Clopper-Pearson intervals: SciPy's own, and the true probability as often as promised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from consilia_workers.audit.confidence import clopper_pearson

COUNTS = st.integers(0, 400).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(COUNTS.filter(lambda counts: counts[1] > 0), st.sampled_from([0.8, 0.95, 0.999]))
def test_the_interval_is_that_of_the_exact_binomial_test(counts, confidence):
    expected = stats.binomtest(*counts).proportion_ci(confidence, method="exact")
    found = clopper_pearson(*counts, confidence=confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("trials", [1, 7, 60])
def test_it_holds_the_true_probability_at_least_as_often_as_promised(trials):
    """Exactly, not by chance: the probabilities of all outcomes whose interval holds p are added up."""
    intervals = [clopper_pearson(successes, trials) for successes in range(trials + 1)]
    for p in np.linspace(0.001, 0.999, 333):
        holding = [k for k, interval in enumerate(intervals) if interval.low <= p <= interval.high]
        assert stats.binom.pmf(holding, trials, p).sum() >= 0.95


@given(COUNTS)
def test_the_share_lies_within_its_interval(counts):
    found = clopper_pearson(*counts)
    assert 0 <= found.low <= found.share <= found.high <= 1


def test_no_trial_tells_nothing():
    nothing = clopper_pearson(0, 0)
    assert (nothing.low, nothing.high) == (0, 1)


@pytest.mark.parametrize(("successes", "trials", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_what_cannot_have_been_counted_is_refused(successes, trials, confidence):
    with pytest.raises(ValueError, match=f"{successes} successes of {trials}"):
        clopper_pearson(successes, trials, confidence=confidence)
