"""The learning rate over the job's rounds, as a factor of the optimizer's own."""

import math

from consilia.api import SchedulerSpec


def learning_rate_factor(scheduler: SchedulerSpec | None, round_number: int, rounds: int) -> float:
    """The factor for a round, counted from 1.

    Warm-up rises linearly over the first `warmupRounds`; then Constant stays at 1, Cosine falls to `minimumFactor` at
    the last round (Loshchilov & Hutter 2017, without restarts), Step multiplies by `gamma` every `stepRounds`,
    Exponential by `gamma` every round.
    """
    if scheduler is None:
        return 1.0
    warmup = scheduler.warmup_rounds
    if round_number <= warmup:
        return round_number / (warmup + 1)
    passed, last = round_number - warmup - 1, max(rounds - warmup - 1, 1)
    minimum, gamma = float(scheduler.minimum_factor), float(scheduler.gamma)
    match scheduler.name:
        case "Cosine":
            return minimum + (1 - minimum) * (1 + math.cos(math.pi * min(passed / last, 1))) / 2
        case "Step":
            return max(minimum, gamma ** (passed // scheduler.step_rounds))
        case "Exponential":
            return max(minimum, gamma**passed)
        case _:
            return 1.0
