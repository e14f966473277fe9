"""The hospitals' metrics put together, and what they decide."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from consilia.api import StopCondition


def weighted_mean(reports: Iterable[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """For each metric, the mean over the hospitals that report it, weighted by their samples."""
    sums: dict[str, float] = defaultdict(float)
    weights: dict[str, int] = defaultdict(int)
    for samples, metrics in reports:
        for name, value in metrics.items():
            sums[name] += samples * value
            weights[name] += samples
    return {name: sums[name] / weights[name] for name in sorted(sums)}


def reached(metrics: Mapping[str, float], conditions: Sequence[StopCondition]) -> bool:
    """Whether any stop condition holds."""
    return any(
        metrics[condition.metric] >= float(condition.value)
        if condition.operator == "GreaterOrEqual"
        else metrics[condition.metric] <= float(condition.value)
        for condition in conditions
        if condition.metric in metrics
    )
