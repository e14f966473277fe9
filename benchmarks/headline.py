"""The few figures that README.md shows, from the same results as docs/benchmarks.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.results import Results
from benchmarks.tables import THEIRS, WITH_BROKER, Page, number, our_name, peer_name, table, ways

PLACE = "benchmarks"
"""README.md has `<!-- benchmarks:begin -->` and `<!-- benchmarks:end -->`."""

CAVEAT = (
    "All on one machine; CPU is of all processes, the broker's included. "
    "[What is not comparable](docs/benchmarks.md#what-is-not-comparable)."
)

COSTS = (
    ("small", "wall_seconds_per_round", "round of 19,608 parameters: wall, s"),
    ("small", WITH_BROKER, "the same: CPU, s"),
    ("small", "start_seconds", "start to round 1, s"),
    ("large", "wall_seconds_per_round", "round of 25 million parameters (100 MB): wall, s"),
    ("large", WITH_BROKER, "the same: CPU, s"),
    ("large", "aggregator_peak_mib", "the same: peak memory of the aggregator, MiB"),
    ("large", "hospital_peak_mib", "the same: peak memory of a hospital, MiB"),
    ("huge", "wall_seconds_per_round", "round of 250 million parameters (1 GB): wall, s"),
    ("huge", "aggregator_peak_mib", "the same: peak memory of the aggregator, MiB"),
    ("stream", "records_per_second", "one writer, one reader: records of 4 KiB a second"),
)
"""Benchmark, figure, and how it is called."""

QUALITY = (
    ("heart-disease", "accuracy", "heart disease, 4 real hospitals, mean accuracy over 5 seeds"),
    ("stroke", "auc", "death 14 days after a stroke, 13 countries, mean AUC, 5 folds, 3 cuts"),
    ("stroke-outcome", "auc", "dependence 6 months after a stroke, 13 countries, mean AUC, 5 folds, 3 cuts"),
    ("heart-failure", "auc", "heart failure, 3 simulated hospitals, mean AUC"),
)
"""Benchmark, metric, and how it is called."""


def readme_page(results: Results) -> Page:
    """The one place of README.md."""
    parts = [costs(results), quality(results), commands(results)]
    return {PLACE: "\n\n".join(part for part in parts if part)}


def costs(results: Results) -> str:
    """Ours on each log beside the peers'; medians."""
    rows = [row for row in COSTS if row[0] in results]
    if not rows:
        return ""
    ours = list(dict.fromkeys(our_name(each) for name, _, _ in rows for each in _ours(results, name)))
    peers = list(dict.fromkeys(peer_name(peer) for name, _, _ in rows for peer in _peers(results, name)))
    shown = table(["3 hospitals, no training", *ours, *peers], [_cost(results, row, [*ours, *peers]) for row in rows])
    return f"{shown}\n\n{CAVEAT}" if peers else shown


def _cost(results: Results, row: tuple[str, str, str], columns: Sequence[str]) -> list[str]:
    name, figure, words = row
    shown = {our_name(each): f"**{number(each[figure])}**" for each in _ours(results, name)}
    theirs = THEIRS.get(figure, figure)
    shown |= {peer_name(peer): number(peer[theirs]) for peer in _peers(results, name)}
    return [words, *(shown.get(column, "") for column in columns)]


def _ours(results: Results, name: str) -> Sequence[Mapping[str, Any]]:
    return list(results[name].measured["ours"])


def _peers(results: Results, name: str) -> Sequence[Mapping[str, Any]]:
    return list(results[name].measured.get("peers", []))


def quality(results: Results) -> str:
    """Alone, federated and pooled."""
    rows = [
        [words, *ways(results[name].measured["metrics"][metric])] for name, metric, words in QUALITY if name in results
    ]
    return table(["mean over the hospitals", "alone", "federated", "pooled"], rows) if rows else ""


def commands(results: Results) -> str:
    """What to run for it."""
    shown = list(dict.fromkeys(name for name, _, _ in (*COSTS, *QUALITY) if name in results))
    return "\n".join(["```", *(results[name].command for name in shown), "```"]) if shown else ""
