"""What we set out to reach over Kafka, and what was reached, the other frameworks beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.logs import KAFKA
from benchmarks.results import Results
from benchmarks.tables import THEIRS, WITH_BROKER, number, peer_name, table

PLACE = "benchmarks:targets"
"""docs/benchmarks.md has `<!-- benchmarks:targets:begin -->` and its end."""
OPERATOR_PLACE = "benchmarks:operator-targets"
"""And one for what the operator was to reach."""
RECONCILE = "reconcile"
_MEGABYTES = 2**20 / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One figure of one benchmark."""

    benchmark: str
    figure: str
    words: str
    bound: float
    at_least: bool = False
    """Else it must stay below."""
    scale: float = 1.0
    """From the figure's unit to the bound's."""

    def met(self, value: float) -> bool:
        """Whether a figure, in the bound's unit, is good enough."""
        return value >= self.bound if self.at_least else value < self.bound

    def demand(self) -> str:
        """In words."""
        return f"{'≥' if self.at_least else '<'} {self.bound:,g}"


TARGETS = (
    Target(benchmark="small", figure="wall_seconds_per_round", words="small round: wall, s", bound=0.25),
    Target(benchmark="small", figure="cpu_seconds_per_round", words="its CPU without the broker, s", bound=0.15),
    Target(benchmark="small", figure="start_seconds", words="start to round 1, s", bound=3),
    Target(benchmark="large", figure="wall_seconds_per_round", words="round of 100 MB: wall, s", bound=2.5),
    Target(benchmark="large", figure=WITH_BROKER, words="its CPU with the broker, s", bound=3.5),
    Target(
        benchmark="large", figure="aggregator_peak_mib", words="its aggregator, peak MB", bound=600, scale=_MEGABYTES
    ),
    Target(benchmark="large", figure="hospital_peak_mib", words="its hospital, peak MB", bound=450, scale=_MEGABYTES),
    Target(
        benchmark="huge",
        figure="aggregator_peak_mib",
        words="2 rounds of 1 GB: aggregator, peak MB",
        bound=3500,
        scale=_MEGABYTES,
    ),
    Target(
        benchmark="stream",
        figure="records_per_second",
        words="records of 4 KiB a second",
        bound=20_000,
        at_least=True,
    ),
)


def targets_table(results: Results) -> str:
    """One row a target; empty where nothing was measured over Kafka."""
    known = {name: ours for name, result in results.items() if (ours := over_kafka(result.measured))}
    rows = [target for target in TARGETS if target.benchmark in known]
    if not rows:
        return "Not measured yet."
    peers = {peer_name(peer): None for target in rows for peer in _peers(results, target)}
    head = ["3 hospitals, over Kafka", "wanted", "reached", "", *peers]
    return table(head, [_row(results, target, known[target.benchmark], list(peers)) for target in rows])


def over_kafka(measured: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A benchmark's figures over Kafka, if it has any."""
    ours: list[Mapping[str, Any]] = measured.get("ours", [])
    return next((each for each in ours if each["log"] == KAFKA), None)


OPERATOR = (
    Target(benchmark=RECONCILE, figure="reconciled_seconds", words="all reconciled, s", bound=90),
    Target(benchmark=RECONCILE, figure="peak_mib", words="the operator, peak MB", bound=400, scale=_MEGABYTES),
    Target(benchmark=RECONCILE, figure="idle_percent", words="idle: % of a core", bound=2),
)


def operator_targets_table(results: Results) -> str:
    """One row a target; empty where nothing was measured."""
    if RECONCILE not in results:
        return "Not measured yet."
    measured = results[RECONCILE].measured
    jobs = measured["restart"]["jobs"]
    work = next(each for each in measured["curve"] if each["jobs"] == jobs)
    reached = {**work, **measured["idle"], "peak_mib": max(work["peak_mib"], measured["restart"]["peak_mib"])}
    head = [f"{jobs:,} suspended FederatedJobs", "wanted", "reached", ""]
    return table(head, [_verdict(target, reached[target.figure]) for target in OPERATOR])


def _verdict(target: Target, figure: float | None) -> list[str]:
    value = None if figure is None else target.scale * figure
    verdict = "" if value is None else "yes" if target.met(value) else "no"
    return [target.words, target.demand(), number(value), verdict]


def _peers(results: Results, target: Target) -> list[Mapping[str, Any]]:
    return list(results[target.benchmark].measured.get("peers", []))


def _row(results: Results, target: Target, ours: Mapping[str, Any], peers: list[str]) -> list[str]:
    name = THEIRS.get(target.figure, target.figure)
    theirs = {peer_name(peer): number(target.scale * peer[name]) for peer in _peers(results, target) if name in peer}
    return [*_verdict(target, ours[target.figure]), *(theirs.get(peer, "") for peer in peers)]
