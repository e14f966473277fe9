"""How a metric went over the rounds: the mean over hospitals and each hospital, averaged over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from consilia_workers.report.comparison import Spread
from consilia_workers.report.results import ByHospital, Report, SeedResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One metric. A position is the number of rounds that the evaluated model has behind it; 0 is the initial model."""

    metric: str
    mean: Mapping[int, Spread]
    """By position: over the hospitals, unweighted, then over the seeds."""
    hospitals: Mapping[str, Mapping[int, float]]
    """By hospital and position: the mean over the seeds; only positions at which it reported."""
    filled: bool
    """Whether the mean somewhere takes a hospital's last value because it missed the round."""


def curve(report: Report, metric: str, averaged: Sequence[str]) -> Curve:
    """The course of one metric; `averaged` names the hospitals that make the mean, all of them when it is empty."""
    paths = [_path(seed, metric) for seed in report.seeds]
    names = averaged or report.hospitals
    filled = [_filled(path, names) for path in paths]
    return Curve(
        metric=metric,
        mean={position: spread for position in _positions(filled) if (spread := _spread(filled, position))},
        hospitals={hospital: _hospital(paths, hospital) for hospital in report.hospitals},
        filled=any(path[position].keys() < set(names) for path in paths for position in path),
    )


def frame(curve: Curve, levels: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest value to show, with a margin: all `levels`, and the curves but for their beginning.

    An initial model is often so much worse than the first trained one that all the rest would look flat beside it.
    """
    begin = max(curve.mean) // 20 + 1
    means = [spread for position, spread in curve.mean.items() if position >= begin] or list(curve.mean.values())
    lines = [value for course in curve.hospitals.values() for position, value in course.items() if position >= begin]
    edges = [spread.mean + sign * (spread.deviation or 0.0) for spread in means for sign in (-1, 1)]
    values = [*levels, *lines, *edges]
    margin = 0.06 * (max(values) - min(values)) or 0.05 * abs(max(values)) or 0.05
    return min(values) - margin, max(values) + margin


_Path = Mapping[int, Mapping[str, float]]
"""One seed: by position, the values of the hospitals that reported."""


def _path(seed: SeedResult, metric: str) -> _Path:
    path = {result.round - 1: _values(result.hospitals, metric) for result in seed.rounds}
    if seed.rounds:
        path[seed.rounds[-1].round] = _values(seed.federated, metric)
    return {position: values for position, values in path.items() if values}


def _values(results: ByHospital, metric: str) -> dict[str, float]:
    return {hospital: metrics[metric] for hospital, metrics in results.items() if metric in metrics}


def _filled(path: _Path, names: Sequence[str]) -> _Path:
    """With a hospital's last value where it missed a round: else the mean would jump with who happens to be there."""
    last: dict[str, float] = {}
    full: dict[int, Mapping[str, float]] = {}
    for position in sorted(path):
        last |= {hospital: value for hospital, value in path[position].items() if hospital in names}
        full[position] = dict(last)
    return full


def _positions(paths: Sequence[_Path]) -> list[int]:
    return sorted({position for path in paths for position in path})


def _spread(paths: Sequence[_Path], position: int) -> Spread | None:
    return Spread.of([fmean(path[position].values()) for path in paths if path.get(position)])


def _hospital(paths: Sequence[_Path], hospital: str) -> Mapping[int, float]:
    values = {
        position: [p[position][hospital] for p in paths if hospital in p.get(position, {})]
        for position in _positions(paths)
    }
    return {position: fmean(present) for position, present in values.items() if present}
