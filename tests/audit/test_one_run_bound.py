"""The one-run bound: the paper's formula, never above the truth more often than allowed, and sharp where all leaks."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia.errors import DataError
from consilia_workers.audit.one_run import Guesses, correct_guesses, epsilon_lower_bound, guesses_to_try, p_value

RUNS = 400
TOO_OFTEN = 33
"""Of 400 runs that may err with a chance of 0.05 each, more than this err with a chance of 0.002."""

EPSILONS = st.floats(0, 12)
DELTAS = st.sampled_from([0.0, 1e-6, 1e-4, 0.01])
COUNTS = st.integers(1, 300).flatmap(
    lambda guesses: st.tuples(st.integers(guesses, 2 * guesses), st.just(guesses), st.integers(0, guesses))
)


def p(counts, epsilon, delta):
    examples, guesses, correct = counts
    return p_value(examples=examples, guesses=guesses, correct=correct, epsilon=epsilon, delta=delta)


def by_the_letter(counts, odds: int, delta: Fraction) -> Fraction:
    """The formula in fractions, for e^epsilon = odds."""
    examples, guesses, correct = counts

    def chance(low, high):
        """P[low <= W < high]."""
        ways = sum(math.comb(guesses, w) * odds**w for w in range(max(low, 0), min(high, guesses + 1)))
        return Fraction(ways, (1 + odds) ** guesses)

    alpha = max(chance(correct - i, correct) / i for i in range(1, examples + 1))
    return min(chance(correct, guesses + 1) + 2 * examples * delta * alpha, Fraction(1))


@pytest.mark.parametrize("counts", [(12, 8, 7), (40, 40, 31), (30, 20, 20), (9, 9, 0), (60, 10, 1)])
@pytest.mark.parametrize("odds", [1, 3, 20])
@pytest.mark.parametrize("delta", [Fraction(0), Fraction(1, 10**5), Fraction(1, 100)])
def test_the_p_value_is_that_of_the_formula(counts, odds, delta):
    assert p(counts, math.log(odds), float(delta)) == pytest.approx(float(by_the_letter(counts, odds, delta)), rel=1e-9)


@given(st.integers(1, 2000), EPSILONS)
def test_where_all_guesses_are_right_it_is_a_power(guesses, epsilon):
    odds = math.exp(epsilon)
    assert p((guesses, guesses, guesses), epsilon, 0.0) == pytest.approx((odds / (1 + odds)) ** guesses, rel=1e-9)


def test_where_all_guesses_are_right_the_bound_has_a_closed_form():
    kept = np.arange(100) < 50
    bound = epsilon_lower_bound(kept, kept, tried=[Guesses(kept=50, held_out=50)])
    q = 0.05 ** (1 / 100)
    assert (bound.guesses, bound.correct, bound.examples) == (100, 100, 100)
    assert bound.epsilon == pytest.approx(math.log(q / (1 - q)), rel=1e-9)


@given(COUNTS, EPSILONS, EPSILONS, DELTAS)
def test_a_weaker_promise_is_never_refuted_where_a_stronger_one_is_not(counts, one, other, delta):
    low, high = sorted([one, other])
    assert p(counts, low, delta) <= p(counts, high, delta) + 1e-12
    assert p(counts, low, delta) <= p(counts, low, delta * 2) + 1e-12


@given(COUNTS.filter(lambda counts: counts[2] > 0), EPSILONS, DELTAS)
def test_more_right_guesses_are_never_less_surprising(counts, epsilon, delta):
    examples, guesses, correct = counts
    assert p(counts, epsilon, delta) <= p((examples, guesses, correct - 1), epsilon, delta) + 1e-12


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_randomized_response_gets_a_bound_above_its_epsilon_as_seldom_as_promised(epsilon):
    """Each coin is told the right way round with probability q: nothing under pure epsilon-DP is told better."""
    above, chances = 0, np.random.default_rng(17)
    for _ in range(RUNS):
        kept = chances.random(300) < 0.5
        told = kept ^ (chances.random(300) > 1 / (1 + math.exp(-epsilon)))
        above += epsilon_lower_bound(told + chances.random(300) / 2, kept).epsilon > epsilon
    assert above <= TOO_OFTEN


def test_one_number_of_guesses_errs_about_as_often_as_allowed():
    """Without Bonferroni and abstention nothing is given away: randomized response is the worst case of the theorem."""
    above, chances, tried = 0, np.random.default_rng(23), [Guesses(kept=150, held_out=150)]
    for _ in range(RUNS):
        told = np.arange(300) < 150
        kept = told ^ (chances.random(300) > 1 / (1 + math.exp(-1.0)))
        above += epsilon_lower_bound(told, kept, tried=tried).epsilon > 1.0
    assert 5 <= above <= TOO_OFTEN


def with_leaks(chances, epsilon, delta, examples):
    """Randomized response that tells each coin, with probability delta, plainly and louder: (epsilon, delta)-DP."""
    kept, leaked = chances.random(examples) < 0.5, chances.random(examples) < delta
    told = kept ^ (~leaked & (chances.random(examples) > 1 / (1 + math.exp(-epsilon))))
    return (told - 0.5) * np.where(leaked, 4, 1) + chances.random(examples) / 4, kept


def test_leaks_of_probability_delta_are_forgiven_where_delta_is_named_and_found_where_not():
    chances, tried = np.random.default_rng(5), [Guesses(kept=10, held_out=10)]
    named = unnamed = 0
    for _ in range(RUNS):
        scores, kept = with_leaks(chances, 0.5, 0.05, 300)
        named += epsilon_lower_bound(scores, kept, delta=0.05, tried=tried).epsilon > 0.5
        unnamed += epsilon_lower_bound(scores, kept, tried=tried).epsilon > 0.5
    assert named <= TOO_OFTEN < unnamed


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_tells_every_coin_has_a_bound_above_five(seed):
    chances = np.random.default_rng(seed)
    kept = chances.random(1000) < 0.5
    bound = epsilon_lower_bound(kept + chances.random(1000) / 2, kept)
    assert bound.epsilon > 5
    assert bound.correct == bound.guesses


@pytest.mark.parametrize("side", [1, -1])
def test_a_model_that_tells_one_side_only_is_found_out_by_guesses_on_that_side(side):
    """The outermost fifth is sure, the rest is noise."""
    chances = np.random.default_rng(2)
    kept = chances.random(1000) < 0.5
    surely = (kept == (side > 0)) & (chances.random(1000) < 0.4)
    bound = epsilon_lower_bound(side * (surely + chances.random(1000) / 2), kept)
    assert bound.epsilon > 2.5
    assert bound.guesses in {guesses.total for guesses in guesses_to_try(1000) if 0 in (guesses.kept, guesses.held_out)}


def test_scores_without_information_refute_nothing():
    chances = np.random.default_rng(0)
    bound = epsilon_lower_bound(chances.random(500), np.arange(500) % 2 == 0)
    assert bound.epsilon == 0
    assert 0 < bound.correct < bound.guesses <= 500


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_records_tells_nothing(order):
    """All scores equal, the kept records first or last: only an order of ours could guess right."""
    assert epsilon_lower_bound(np.zeros(400), (np.arange(400) < 200)[::order]).epsilon == 0


@given(st.integers(0, 10), st.integers(0, 10), st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=20))
def test_equal_scores_never_count_more_right_guesses_than_any_order_of_them_would(highest, lowest, records):
    scores, kept = (np.array(column) for column in zip(*records, strict=True))
    guesses = Guesses(kept=highest, held_out=lowest)
    tied = correct_guesses(scores.astype(float), kept, guesses)
    for order in (np.arange(len(scores)), -np.arange(len(scores))):
        assert tied <= correct_guesses(scores + order / 1e3, kept, guesses)


@given(st.integers(0, 5000))
def test_no_more_guesses_are_tried_than_there_are_records(examples):
    assert all(8 <= guesses.total <= examples for guesses in guesses_to_try(examples))
    assert len(guesses_to_try(examples)) <= 3 * max(examples, 1).bit_length()


@pytest.mark.parametrize("examples", [0, 1, 10])
def test_too_few_records_have_no_bound(examples):
    bound = epsilon_lower_bound(np.ones(examples), np.ones(examples, bool))
    assert (bound.epsilon, bound.guesses, bound.examples) == (0, 0, examples)


def test_every_number_of_guesses_that_is_tried_costs_confidence():
    kept = np.arange(100) < 50
    sure = Guesses(kept=50, held_out=50)
    once, thrice = (epsilon_lower_bound(kept, kept, tried=[sure] * times).epsilon for times in (1, 3))
    assert thrice == pytest.approx(epsilon_lower_bound(kept, kept, tried=[sure], confidence=1 - 0.05 / 3).epsilon)
    assert thrice < once


@pytest.mark.parametrize(("scores", "kept"), [([1.0, math.nan], [True, False]), ([1.0], [True, False])])
def test_scores_that_cannot_be_ordered_are_refused(scores, kept):
    with pytest.raises(DataError, match="NaN"):
        epsilon_lower_bound(scores, kept)


@pytest.mark.parametrize(
    "wrong", [{"correct": 9}, {"guesses": 31}, {"correct": -1}, {"epsilon": -0.1}, {"delta": 1.5}, {"delta": -0.1}]
)
def test_impossible_counts_are_refused(wrong):
    counts = {"examples": 30, "guesses": 8, "correct": 8, "epsilon": 1.0, "delta": 0.0}
    with pytest.raises(ValueError, match="at epsilon"):
        p_value(**counts | wrong)


def test_a_confidence_of_one_is_refused():
    with pytest.raises(ValueError, match="confidence"):
        epsilon_lower_bound([1.0], [True], confidence=1.0)
