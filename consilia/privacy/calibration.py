"""How much noise a promise needs: the least noise multiplier with which a plan costs no more than its ε."""

from collections.abc import Callable, Sequence

from consilia.api.privacy import LEAST_NOISE, MOST_NOISE
from consilia.errors import ManifestError
from consilia.privacy.accounting import Curve, composed, curve
from consilia.privacy.filter import PrivacyFilter
from consilia.privacy.mechanisms import Mechanism

_PRECISION = 1e-5


def calibrated(
    make: Callable[[float], Mechanism], beside: Sequence[Mechanism], epsilon: float, delta: float
) -> Mechanism:
    """The mechanism that `make` gives for the least noise multiplier with which it and `beside` cost at most ε.

    Cost is counted as the ledger's filter counts it for a fresh budget of (ε, δ): a job that promises ε fits into it.

    Raises:
        ManifestError: no noise is enough, because what goes beside it costs ε already.
    """
    budget, fixed = PrivacyFilter.of(epsilon, delta), composed(beside)
    if not _fits(budget, fixed, make(MOST_NOISE)):
        if not beside:
            message = f"no noise keeps the promise of ε = {epsilon:g} at δ = {delta:g}."
            raise ManifestError(message, remedy="Raise privacy.epsilon or privacy.delta, or ask for fewer rounds.")
        message = (
            f"ε = {epsilon:g} is spent before training: what is released beside it costs {budget.spent(fixed):.3g}."
        )
        raise ManifestError(message, remedy="Raise privacy.epsilon, or evaluate less often.")
    low, high = LEAST_NOISE, MOST_NOISE
    if _fits(budget, fixed, make(low)):
        return make(low)
    while high / low > 1 + _PRECISION:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _fits(budget, fixed, make(middle)) else (middle, high)
    return make(high)


def _fits(budget: PrivacyFilter, fixed: Curve, mechanism: Mechanism) -> bool:
    return budget.admits(fixed + curve(mechanism))
