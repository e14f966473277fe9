"""A lower bound on epsilon from one training run, which holds whatever the model and the attack.

Steinke, Nasr & Jagielski, "Privacy Auditing with One (1) Training Run" (NeurIPS 2023, arXiv 2305.08846). Each of m
records was kept in the training set or held out of it by a fair coin of its own. Whoever sees the model scores the
records, guesses of the highest that they were kept and of the lowest that they were held out, and abstains from the
rest. Under differential privacy few guesses can be right; too many right ones refute the epsilon.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from consilia.errors import DataError

FEWEST_GUESSES = 8
"""Fewer are not tried: even if all were right, a fair coin would do as well too often."""

HIGHEST_EPSILON = 40.0
"""Where the search ends: here 1 - q is below a double's resolution, so no number of guesses could refute it."""

_HALVINGS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Guesses:
    """How many guesses are made; all other records are abstained from."""

    kept: int
    """k_+: so many of the highest scores are guessed to be kept in."""
    held_out: int
    """k_-: so many of the lowest scores are guessed to be held out."""

    @property
    def total(self) -> int:
        """The paper's r."""
        return self.kept + self.held_out


@dataclass(frozen=True, slots=True, kw_only=True)
class OneRunBound:
    """The result: with this confidence, the training is not (e, delta)-differentially private for any e < epsilon."""

    epsilon: float
    """0 if nothing could be refuted."""
    confidence: float
    """For the one number `epsilon`, all numbers of guesses that were tried considered."""
    guesses: int
    """Of the best number of guesses; 0 if there were too few records to try any."""
    correct: int
    examples: int
    """The records whose coin was flipped: m."""
    delta: float


def p_value(*, examples: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """The chance of so many correct guesses, at most, if the training is (epsilon, delta)-differentially private.

    The paper's theorem for approximate differential privacy, and its appendix D as a program. With m examples, r
    guesses, v of them correct, and W ~ Binomial(r, q) for q = e^epsilon / (1 + e^epsilon):

        P[at least v correct] <= beta + 2 m delta alpha,
        beta = P[W >= v],  alpha = max over i = 1..m of P[v > W >= v - i] / i.

    For delta = 0: given the guesses and all other coins, Bayes' rule leaves each guess right with a probability of at
    most q, so the number of correct ones is dominated by W. With delta it is dominated by W + F, where F has a mean of
    at most 2 m delta; beta + 2 m delta alpha is the most that F can make of that. Neighbours are data sets with and
    without one record. The guesses may depend on the model and on nothing else that the coins touched.

    Raises:
        ValueError: not 0 <= correct <= guesses <= examples, or epsilon or delta is out of range.
    """
    if not (0 <= correct <= guesses <= examples and epsilon >= 0 and 0 <= delta <= 1):
        raise ValueError(f"{correct} of {guesses} of {examples} at epsilon {epsilon}, delta {delta}")
    q = 1 / (1 + math.exp(-epsilon))
    beta = float(special.bdtrc(correct - 1, guesses, q))
    if delta == 0 or correct == 0:
        return min(beta, 1.0)
    fewer = np.arange(1, correct + 1)  # beyond v, P[v > W >= v - i] grows no more, and i does
    alpha = np.max((special.bdtrc(correct - fewer - 1, guesses, q) - beta) / fewer)
    return min(beta + 2 * examples * delta * float(alpha), 1.0)


def guesses_to_try(examples: int) -> list[Guesses]:
    """Numbers of guesses for so many records, fixed before a score is seen: at most three times log2 of `examples`.

    Half on each side, only the highest, or only the lowest scores: a model may give away one side and hide the other.
    Each kind is halved again and again, which finds the best within a factor of two, since every one that is tried
    costs confidence. The most leave out two standard deviations of how many coins fall on one side, so that a perfect
    attack is not made to guess wrong.
    """
    side = (examples - 2 * math.isqrt(examples)) // 2
    sizes = [side >> step for step in range(max(side, 0).bit_length())]
    balanced = [Guesses(kept=size, held_out=size) for size in sizes if 2 * size >= FEWEST_GUESSES]
    lone = [size for size in sizes if size >= FEWEST_GUESSES]
    return balanced + [g for size in lone for g in (Guesses(kept=size, held_out=0), Guesses(kept=0, held_out=size))]


def epsilon_lower_bound(
    scores: ArrayLike,
    kept: ArrayLike,
    *,
    delta: float = 0.0,
    confidence: float = 0.95,
    tried: Sequence[Guesses] | None = None,
) -> OneRunBound:
    """The largest epsilon that the scores refute.

    Args:
        scores: [examples], higher for records that look more like members; made from the model without the coins.
        kept: [examples], what the fair coins said: whether the record was in the training set.
        delta: The delta for which epsilon is asked.
        confidence: One minus the chance that the bound is above the true epsilon. Every number of guesses that is
            tried gets an equal part of that chance (Bonferroni).
        tried: The numbers of guesses; `guesses_to_try` if None. They must not be chosen by the coins or the scores.

    Raises:
        DataError: a score is NaN or the shapes do not fit.
        ValueError: delta or confidence is out of range, or more guesses are asked for than there are examples.
    """
    found, truth = _checked(scores, kept)
    numbers = guesses_to_try(len(truth)) if tried is None else tried
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} is not between 0 and 1")
    tests = [
        _Test(len(truth), guesses.total, correct_guesses(found, truth, guesses), delta, (1 - confidence) / len(numbers))
        for guesses in numbers
    ]
    epsilon, best = _sharpest(tests)
    guessed, correct = (best.guesses, best.correct) if best else (0, 0)
    return OneRunBound(
        epsilon=epsilon, confidence=confidence, guesses=guessed, correct=correct, examples=len(truth), delta=delta
    )


def correct_guesses(scores: NDArray[np.float64], kept: NDArray[np.bool_], guesses: Guesses) -> int:
    """How many guesses are right, of [examples] scores and coins.

    Equal scores are ordered against us: whatever order the records come in, it must not be what makes a guess right.
    """
    highest = np.lexsort((~kept, scores))[len(scores) - guesses.kept :]
    lowest = np.lexsort((~kept, scores))[: guesses.held_out]
    return int(np.count_nonzero(kept[highest]) + np.count_nonzero(~kept[lowest]))


@dataclass(frozen=True, slots=True)
class _Test:
    """One number of guesses and what came of it."""

    examples: int
    guesses: int
    correct: int
    delta: float
    level: float
    """An epsilon is refuted where the p-value is at most this."""

    def p_value(self, epsilon: float) -> float:
        return p_value(
            examples=self.examples, guesses=self.guesses, correct=self.correct, epsilon=epsilon, delta=self.delta
        )

    def largest_refuted(self, epsilon: float) -> float:
        """By bisection, from an epsilon that is refuted; the p-value grows with epsilon."""
        low, high = epsilon, HIGHEST_EPSILON
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p_value(middle) <= self.level else (low, middle)
        return low


def _sharpest(tests: Sequence[_Test]) -> tuple[float, _Test | None]:
    """The largest epsilon that any of them refutes, and which; 0 and the one that came closest if none does."""
    epsilon, best = 0.0, min(tests, key=lambda test: test.p_value(0.0), default=None)
    for test in tests:
        if test.p_value(epsilon) <= test.level:
            epsilon, best = test.largest_refuted(epsilon), test
    return epsilon, best


def _checked(scores: ArrayLike, kept: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    found, truth = np.asarray(scores, float), np.asarray(kept, bool)
    if found.ndim != 1 or found.shape != truth.shape or np.isnan(found).any():
        raise DataError(f"scores of shape {found.shape}, coins of {truth.shape}, or a score is NaN")
    return found, truth
