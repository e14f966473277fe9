"""The few figures that README.md shows, from the same results as docs/benchmarks.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.results import Results
from benchmarks.tables import Page, number, peer_name, table, ways

PLACE = "benchmarks"
"""README.md has `<!-- benchmarks:begin -->` and `<!-- benchmarks:end -->`."""

CAVEAT = (
    "All on one machine: ours through a log on its disk, the others through sockets. "
    "[What is not comparable](docs/benchmarks.md#what-is-not-comparable)."
)

COSTS = (
    ("small", "wall_seconds_per_round", "round of 19,608 parameters: wall, s"),
    ("small", "cpu_seconds_per_round", "the same: CPU of all processes, s"),
    ("small", "start_seconds", "start to round 1, s"),
    ("large", "wall_seconds_per_round", "round of 25 million parameters (100 MB): wall, s"),
    ("large", "cpu_seconds_per_round", "the same: CPU of all processes, s"),
    ("large", "aggregator_peak_mib", "the same: peak memory of the aggregator, MiB"),
    ("large", "hospital_peak_mib", "the same: peak memory of a hospital, MiB"),
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
    """Ours beside the peers'; medians."""
    rows = [row for row in COSTS if row[0] in results]
    if not rows:
        return ""
    peers = list(dict.fromkeys(peer_name(peer) for name, _, _ in rows for peer in _peers(results, name)))
    shown = table(["3 hospitals, no training", "Consilia", *peers], [_cost(results, row, peers) for row in rows])
    return f"{shown}\n\n{CAVEAT}" if peers else shown


def _cost(results: Results, row: tuple[str, str, str], peers: Sequence[str]) -> list[str]:
    name, figure, words = row
    theirs = {peer_name(peer): number(peer[figure]) for peer in _peers(results, name)}
    return [words, f"**{number(results[name].measured[figure])}**", *(theirs.get(peer, "") for peer in peers)]


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
