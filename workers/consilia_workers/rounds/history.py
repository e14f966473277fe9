"""What the rounds topic tells beside where the job stands: times, whose updates counted, what was measured."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

from consilia.wire.messages import (
    EvaluationOpened,
    FromAggregator,
    JobFinished,
    Metrics,
    RoundClosed,
    RoundExtended,
    RoundOpened,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Folded message by message, so that a restarted aggregator tells the same as the one before it."""

    first_deadline: float | None = None
    """What the first round's opening said, in seconds since the epoch: it says when the job started, to the same
    microsecond whoever reads it."""
    opened: float | None = None
    """When the last round opened, in seconds since the epoch."""
    deadline: float | None = None
    """Until when the hospitals may send what they are asked for now, in seconds since the epoch."""
    round_seconds: float | None = None
    """How long the last closed round took."""
    counted: Mapping[str, int] = field(default_factory=dict)
    """The last round whose update of a hospital counted, by hospital."""
    missed: Mapping[str, str] = field(default_factory=dict)
    """Who is not waited for any more without having left, and why, in words."""
    metrics: Metrics = field(default_factory=dict)
    """Of the last evaluation: in a round the mean that `stopWhen` looks at, weighted by samples; at the end that of
    the report, which counts hospitals alike."""

    def after(self, message: FromAggregator, at: float) -> "History":
        """The history once `message` was said, `at` in seconds since the epoch."""
        match message:
            case RoundOpened():
                first = self.first_deadline or message.deadline
                return replace(self, first_deadline=first, opened=at, deadline=message.deadline)
            case RoundExtended() | EvaluationOpened():
                return replace(self, deadline=message.deadline)
            case RoundClosed():
                return replace(
                    self,
                    deadline=None,
                    round_seconds=max(0.0, at - (self.opened or at)),
                    counted={**self.counted, **{each.hospital: message.round for each in message.cohort}},
                    missed=_missed(self.missed, message),
                    metrics=message.metrics or self.metrics,
                )
            case JobFinished():
                return replace(self, deadline=None, metrics=_means(message) or self.metrics)


def _missed(before: Mapping[str, str], closed: RoundClosed) -> dict[str, str]:
    refused = {each.hospital: f"refused ({each.reason}): {each.message}" for each in closed.refused}
    dropped = dict.fromkeys(closed.dropped, f"no update for round {closed.round} by its deadline")
    there = {*closed.present, *closed.left}
    return {name: why for name, why in {**before, **refused, **dropped}.items() if name not in there}


def _means(finished: JobFinished) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for metrics in finished.metrics.values():
        for name, value in metrics.items():
            values[name].append(value)
    return {name: fmean(found) for name, found in sorted(values.items())}
