"""Clopper-Pearson intervals: how sure a count of successes makes us of a probability."""

from dataclasses import dataclass

from scipy import special


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share that was counted, and the interval in which the probability behind it lies."""

    successes: int
    trials: int
    low: float
    high: float
    confidence: float
    """Of the interval from `low` to `high`, for instance 0.95."""

    @property
    def share(self) -> float:
        """Successes per trial; 0 without a trial, where the interval says that nothing is known."""
        return self.successes / self.trials if self.trials else 0.0


def clopper_pearson(successes: int, trials: int, *, confidence: float = 0.95) -> Proportion:
    """The exact interval of Clopper & Pearson (Biometrika 26, 1934) for the probability of a success.

    Its ends are the probabilities at which so many successes, or so few, would be seen with a chance of half of what
    `confidence` leaves. It holds the true one at least as often as promised, whatever the number of trials.

    Raises:
        ValueError: there are more successes than trials, a negative number, or no confidence between 0 and 1.
    """
    if not (0 <= successes <= trials and 0 < confidence < 1):
        raise ValueError(f"{successes} successes of {trials} trials, confidence {confidence}")
    tail, failures = (1 - confidence) / 2, trials - successes
    low = special.betaincinv(successes, failures + 1, tail) if successes else 0.0
    high = special.betainccinv(successes + 1, failures, tail) if failures else 1.0
    return Proportion(successes=successes, trials=trials, low=float(low), high=float(high), confidence=confidence)
