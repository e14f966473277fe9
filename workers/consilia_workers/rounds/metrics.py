"""The hospitals' metrics put together, and what they decide."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction

from consilia.api import StopCondition


def asked(metrics: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
    """Those that the job asks for: nobody's message carries more through the aggregator."""
    return {name: value for name, value in metrics.items() if name in names}


def weighted_mean(reports: Iterable[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """For each metric, the mean over the hospitals that report it, weighted by their samples.

    Computed exactly and rounded once: finite values have a finite mean, however large they are.
    """
    sums: dict[str, Fraction] = defaultdict(Fraction)
    weights: dict[str, int] = defaultdict(int)
    for samples, metrics in reports:
        for name, value in metrics.items():
            sums[name] += samples * Fraction(value)
            weights[name] += samples
    return {name: float(sums[name] / weights[name]) for name in sorted(sums)}


def reached(metrics: Mapping[str, float], conditions: Sequence[StopCondition]) -> bool:
    """Whether any stop condition holds."""
    return any(
        metrics[condition.metric] >= float(condition.value)
        if condition.operator == "GreaterOrEqual"
        else metrics[condition.metric] <= float(condition.value)
        for condition in conditions
        if condition.metric in metrics
    )
