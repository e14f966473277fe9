"""What a trainer learns with and pays with, and which of its figures may leave."""

from collections.abc import Callable
from dataclasses import dataclass

from consilia.wire.identity import Identity
from consilia_workers.figures import Metrics
from consilia_workers.learner import LocalLearner
from consilia_workers.spending import FREE, Spending


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """All that depends on how private a job is."""

    learner: LocalLearner
    """It has the hospital's data."""
    spending: Spending = FREE
    metrics: Metrics | None = None
    """Which figures may leave; None: all that the job asks for."""
    audit: Callable[[bytearray | None], None] | None = None
    """Looks at a job that is over, and at its final model if there is one; what it finds stays in the hospital."""


Begin = Callable[[Identity], Learning]
"""Begins to learn, once the hospital's identity may be in memory."""
