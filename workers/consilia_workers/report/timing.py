"""Where the time went, and how many bytes came in, round by round."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from consilia_workers.report.results import Report, RoundResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCost:
    """One round: the median over the seeds."""

    round: int
    seconds: float
    train: float
    """The slowest counted hospital's training, in seconds."""
    aggregate: float
    """Combining the updates, in seconds."""
    rest: float
    """The other seconds: reading and writing the log, checking, evaluating, waiting."""
    received_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """All rounds of all seeds."""

    rounds: tuple[RoundCost, ...]
    median_seconds: float
    p90_seconds: float
    shares: tuple[float, float, float]
    """Of all rounds' time together: training, aggregation, the rest; they add up to 1."""
    median_bytes: float
    start_seconds: float
    """Median over seeds."""
    wall_seconds: float
    """Median over seeds, of one whole training."""


def timing(report: Report) -> Timing | None:
    """The costs; None where no round was closed."""
    rounds = [result for seed in report.seeds for result in seed.rounds]
    if not rounds:
        return None
    seconds = [result.seconds for result in rounds]
    return Timing(
        rounds=tuple(_cost([r for r in rounds if r.round == number]) for number in sorted({r.round for r in rounds})),
        median_seconds=median(seconds),
        p90_seconds=float(np.percentile(seconds, 90)),
        shares=_shares(rounds),
        median_bytes=median(result.received_bytes for result in rounds),
        start_seconds=median(seed.start_seconds for seed in report.seeds if seed.rounds),
        wall_seconds=median(seed.wall_seconds for seed in report.seeds if seed.rounds),
    )


def train_seconds(result: RoundResult) -> float:
    """The slowest counted hospital's training; no more than the round took."""
    return min(max(result.train_seconds.values(), default=0.0), result.seconds)


def aggregate_seconds(result: RoundResult) -> float:
    """Combining the updates; no more than training left of the round, since the two may overlap."""
    return min(result.aggregate_seconds, result.seconds - train_seconds(result))


def _rest_seconds(result: RoundResult) -> float:
    return result.seconds - train_seconds(result) - aggregate_seconds(result)


def _cost(same_round: Sequence[RoundResult]) -> RoundCost:
    def middle(part: Callable[[RoundResult], float]) -> float:
        return median(part(result) for result in same_round)

    return RoundCost(
        round=same_round[0].round,
        seconds=middle(lambda result: result.seconds),
        train=middle(train_seconds),
        aggregate=middle(aggregate_seconds),
        rest=middle(_rest_seconds),
        received_bytes=middle(lambda result: result.received_bytes),
    )


def _shares(rounds: Sequence[RoundResult]) -> tuple[float, float, float]:
    total = sum(result.seconds for result in rounds)
    if not total:
        return (0.0, 0.0, 1.0)
    train = sum(train_seconds(result) for result in rounds) / total
    aggregate = sum(aggregate_seconds(result) for result in rounds) / total
    return (train, aggregate, 1 - train - aggregate)
