"""Where one round's time went, as far as the aggregator can know. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class RoundTimes:
    """What happened when in one round, in seconds since the epoch by the aggregator's clock."""

    opened: float
    whole: bool = True
    """Whether it was seen from its beginning."""
    arrived: dict[str, float] = field(default_factory=dict)
    """When each hospital's update was complete."""
    looked: float = 0.0
    """When the round was last looked at while it was open: then it was decided that it may close."""

    def look(self, arrived: Mapping[str, object], now: float) -> set[str]:
        """Note who has arrived by `now`; gives those that are new."""
        new = arrived.keys() - self.arrived.keys()
        self.arrived.update(dict.fromkeys(new, now))
        self.looked = now
        return new


def phases(times: RoundTimes, train_seconds: Mapping[str, float], total: float) -> dict[str, float]:
    """Seconds by phase; they add up to `total`, the round's duration.

    The update that came last shaped the round: `train_seconds` is what each hospital says, and what is left of its way
    is `transfer`. A claim beyond the time that there was is cut to it.
    """
    if not times.arrived:
        return {}
    last = max(times.arrived, key=lambda name: (times.arrived[name], name))
    way = _within(times.arrived[last] - times.opened, total)
    train = _within(train_seconds.get(last, 0.0), way)
    wait = _within(times.looked - times.arrived[last], total - way)
    return {"transfer": way - train, "train": train, "wait": wait, "aggregate": total - way - wait}


def _within(seconds: float, most: float) -> float:
    return min(max(seconds, 0.0), max(most, 0.0))
