"""What training together was worth: alone, federated and pooled beside each other, over the seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, Self

from consilia_workers.report.results import Report, SeedResult

Way = Literal["alone", "federated", "pooled"]
WAYS: tuple[Way, ...] = ("alone", "federated", "pooled")

Series = Mapping[Way, Sequence[float | None]]
"""By way, one value for each seed; None where it is missing."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over seeds."""

    mean: float
    deviation: float | None
    """The standard deviation between seeds (n - 1); None for one seed."""
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """None of nothing."""
        if not values:
            return None
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One hospital's figures, or the mean over hospitals."""

    name: str
    alone: Spread | None
    federated: Spread | None
    pooled: Spread | None
    gain: Spread | None
    """Federated over alone, seed by seed; positive is better, whichever way the metric points."""
    gap: Spread | None
    """Pooled over federated, seed by seed; positive is what pooling would still add."""

    def of(self, way: Way) -> Spread | None:
        """The figure of one way of training."""
        figures: dict[Way, Spread | None] = {
            "alone": self.alone,
            "federated": self.federated,
            "pooled": self.pooled,
        }
        return figures[way]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric at all hospitals."""

    metric: str
    lower_is_better: bool
    ways: tuple[Way, ...]
    """Those that were measured."""
    rows: tuple[Row, ...]
    """One for each hospital, in the report's order."""
    mean: Row
    """The unweighted mean over `averaged`: hospital by hospital, however many patients each has."""
    averaged: tuple[str, ...]
    """The hospitals for which every measured way has a value from every seed: like is averaged with like."""
    missing: Mapping[str, str]
    """The other hospitals, each with the reason."""


def succeeded(report: Report) -> list[SeedResult]:
    """The trainings whose final model counts."""
    return [seed for seed in report.seeds if seed.outcome == "Succeeded"]


def compare(report: Report, metric: str) -> Comparison:
    """The figures of one metric, from the seeds that succeeded."""
    seeds = succeeded(report)
    ways = tuple(way for way in WAYS if way == "federated" or any(_results(seed, way) is not None for seed in seeds))
    series = {hospital: _series(seeds, hospital, metric) for hospital in report.hospitals}
    missing = {
        hospital: reason
        for hospital in report.hospitals
        if (reason := _why_missing(seeds, ways, hospital, series[hospital]))
    }
    averaged = tuple(hospital for hospital in report.hospitals if hospital not in missing)
    lower = metric in report.lower_is_better
    return Comparison(
        metric=metric,
        lower_is_better=lower,
        ways=ways,
        rows=tuple(_row(hospital, series[hospital], lower) for hospital in report.hospitals),
        mean=_row("mean", _mean([series[hospital] for hospital in averaged]), lower),
        averaged=averaged,
        missing=missing,
    )


def _results(seed: SeedResult, way: Way) -> Mapping[str, Mapping[str, float]] | None:
    return {"alone": seed.alone, "federated": seed.federated, "pooled": seed.pooled}[way]


def _series(seeds: Sequence[SeedResult], hospital: str, metric: str) -> Series:
    return {way: [((_results(seed, way) or {}).get(hospital) or {}).get(metric) for seed in seeds] for way in WAYS}


def _mean(series: Sequence[Series]) -> Series:
    """Seed by seed over hospitals; all of them have a value or none has."""
    return {way: [_mean_or_none(values) for values in zip(*(s[way] for s in series), strict=True)] for way in WAYS}


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


def _row(name: str, series: Series, lower_is_better: bool) -> Row:
    spreads = {way: Spread.of([value for value in series[way] if value is not None]) for way in WAYS}
    sign = -1 if lower_is_better else 1
    return Row(
        name=name,
        alone=spreads["alone"],
        federated=spreads["federated"],
        pooled=spreads["pooled"],
        gain=Spread.of(_differences(series["federated"], series["alone"], sign)),
        gap=Spread.of(_differences(series["pooled"], series["federated"], sign)),
    )


def _differences(these: Sequence[float | None], those: Sequence[float | None], sign: int) -> list[float]:
    """Pairs of one seed: what the seeds have in common does not blur the difference."""
    pairs = zip(these, those, strict=True)
    return [sign * (this - that) for this, that in pairs if this is not None and that is not None]


def _why_missing(seeds: Sequence[SeedResult], ways: Sequence[Way], hospital: str, series: Series) -> str:
    """Why the hospital is no part of the mean, as the end of a sentence that begins with its name; empty if it is."""
    measured = {
        way: [value for value, seed in zip(series[way], seeds, strict=True) if _results(seed, way) is not None]
        for way in ways
    }
    holes = {way: values.count(None) for way, values in measured.items() if None in values}
    if not holes:
        return ""
    if any(value is not None for values in measured.values() for value in values):
        return f"has no value {' and '.join(holes)} from {max(holes.values())} of {len(seeds)} seeds"
    if any(hospital in seed.federated for seed in seeds):
        return "has test patients on whom it is not defined"
    return "did not report the final model's metrics"
