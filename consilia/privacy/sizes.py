"""How large a data set is, as far as others may know: a step of a fixed series, never the count itself."""

from bisect import bisect_right

_STEPS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
"""Ten steps to each power of ten, none a third larger than the one before."""
SIZES = (*range(1, 10), *(step * 10**power for power in range(10) for step in _STEPS))
"""All sizes that are ever told."""


def public_size(count: int) -> int:
    """The largest size that is told and not above the count; 0 of nothing.

    Sampling rates, noise and ε are computed from it, so that none of them tells more about the count than it does.
    """
    return SIZES[bisect_right(SIZES, count) - 1] if count >= 1 else 0
