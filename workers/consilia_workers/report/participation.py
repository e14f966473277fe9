"""What each hospital did in the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from consilia_workers.report.results import RefusedResult, Report, RoundResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Participation:
    """One hospital, over all seeds."""

    hospital: str
    samples: int | None
    """Records it trained on, when last heard of; None if no update of it ever counted."""
    counted: int
    """Rounds in which its update counted."""
    dropped: int
    """Rounds that waited for it in vain."""
    refused: int
    """Messages of it that were refused."""
    train_seconds: float | None
    """Median over the rounds that counted."""


def participation(report: Report) -> list[Participation]:
    """The hospitals in the report's order."""
    rounds = closed_rounds(report)
    return [_of(hospital, rounds) for hospital in report.hospitals]


def closed_rounds(report: Report) -> list[RoundResult]:
    """Of all seeds, one after the other."""
    return [result for seed in report.seeds for result in seed.rounds]


def refusals(report: Report) -> list[tuple[int, int, RefusedResult]]:
    """Every refused message, with its seed and round."""
    rounds = [(seed.seed, result) for seed in report.seeds for result in seed.rounds]
    return [(seed, result.round, refused) for seed, result in rounds for refused in result.refused]


def _of(hospital: str, rounds: Sequence[RoundResult]) -> Participation:
    samples = [result.samples[hospital] for result in rounds if hospital in result.samples]
    seconds = [result.train_seconds[hospital] for result in rounds if hospital in result.train_seconds]
    return Participation(
        hospital=hospital,
        samples=samples[-1] if samples else None,
        counted=len(samples),
        dropped=sum(hospital in result.dropped for result in rounds),
        refused=sum(refused.hospital == hospital for result in rounds for refused in result.refused),
        train_seconds=median(seconds) if seconds else None,
    )
