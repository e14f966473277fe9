"""A bound from a threshold: exact where it can be computed by hand, sound for whoever keeps to epsilon."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia.errors import DataError
from consilia_workers.audit.independent import separation_bound


def coins(count):
    return np.arange(count) % 2 == 0


def test_scores_that_tell_all_refute_as_much_as_their_number_allows():
    kept = coins(2000)
    found = separation_bound(kept.astype(float), kept, confidence=0.95)
    most = 1 - (0.9 * 0.025) ** (1 / 1000)  # none of 1000 passes
    least = (0.1 * 0.025) ** (1 / 1000)  # all of 1000 pass
    assert found.epsilon == pytest.approx(math.log(least / most), rel=1e-9)
    assert (found.found, found.mistaken) == (1000, 0)


def test_a_delta_takes_from_what_is_refuted():
    kept = coins(200)
    without, with_delta = (separation_bound(kept.astype(float), kept, delta=delta).epsilon for delta in (0, 0.3))
    assert 0 < with_delta < without


@pytest.mark.parametrize("true", [0.5, 1.5, 3.0])
@pytest.mark.parametrize("values", [2, 50], ids=["ties", "fine"])
def test_a_mechanism_of_a_known_epsilon_is_hardly_ever_accused(true, values):
    """Randomised response, its answers blurred or not. At a confidence of 95 %, 200 runs accuse 10 times, or fewer."""
    draws, accused = np.random.default_rng(7), 0
    for _ in range(200):
        kept = draws.random(600) < 0.5
        honest = draws.random(600) < 1 / (1 + math.exp(-true))
        answers = np.where(honest, kept, ~kept).astype(float) + draws.integers(0, values - 1, 600) / (2 * values)
        accused += separation_bound(answers, kept, confidence=0.95).epsilon > true
    assert accused <= 17


@given(st.lists(st.tuples(st.floats(-9, 9), st.booleans()), max_size=40))
def test_the_order_of_the_examples_and_the_scale_of_the_scores_do_not_matter(examples):
    scores, kept = np.array([score for score, _ in examples]), np.array([coin for _, coin in examples], bool)
    found = separation_bound(scores, kept)
    assert found == separation_bound(scores[::-1], kept[::-1])
    assert found == separation_bound(_ranks(scores), kept)
    assert found.epsilon >= 0


def _ranks(scores):
    return np.unique(scores, return_inverse=True)[1].astype(float) if len(scores) else scores


@pytest.mark.parametrize("kept", [[], [True] * 5, [False] * 5])
def test_with_one_side_alone_nothing_is_refuted(kept):
    assert separation_bound(np.arange(len(kept)), kept).epsilon == 0


@pytest.mark.parametrize(
    ("scores", "kept"), [([1.0, math.nan], [True, False]), ([1.0], [True, False]), ([[1.0]], [[True]])]
)
def test_what_are_no_scores_is_refused(scores, kept):
    with pytest.raises(DataError):
        separation_bound(scores, kept)


@pytest.mark.parametrize("wrong", [{"confidence": 1.0}, {"confidence": 0.0}, {"delta": -0.1}, {"delta": 1.1}])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="confidence of"):
        separation_bound([1.0, 0.0], [True, False], **wrong)
