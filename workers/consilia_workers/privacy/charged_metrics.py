"""The metrics of a private job that leave the hospital: noisy, and paid for."""

import logging

from consilia.api import FederatedJob
from consilia.errors import BudgetError, TaskError
from consilia.wire.identity import canonical, digest
from consilia_workers.figures import KeptMetrics
from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.privacy.noisy_metrics import metrics_of, noisy_counts
from consilia_workers.privacy.private_learner import PrivateLearner
from consilia_workers.spending import Spending

logger = logging.getLogger("consilia.trainer")


class ChargedMetrics:
    """Charges each evaluation, then tells what a noisy table of counts tells; the exact figures are kept here."""

    def __init__(self, job: FederatedJob, learner: PrivateLearner, spending: Spending, kept: KeptMetrics) -> None:
        """`learner` has the data."""
        privacy = job.spec.privacy
        assert privacy is not None, "only private jobs charge"
        self._names, self._std = job.spec.evaluation.reported(), float(privacy.evaluation_noise)
        self._learner, self._spending, self._kept = learner, spending, kept
        self._randomness = SystemRandomness()

    def of(self, model: bytearray, rounds: int) -> dict[str, float]:
        """What may be told of a model that has seen so many rounds; nothing once the budget is spent."""
        try:
            reservation = self._spending.reserve(rounds, "Evaluation")
        except BudgetError as error:
            logger.warning("the model after round %d is not evaluated for others: %s", rounds, error)
            return {}
        scores, targets, _losses = self._learner.judged(model, anywhere=True)
        if scores.ndim != 1:  # of every record alike: it follows from the task's graph
            message = (
                "evaluation: Charged is for tasks with the answers yes and no; this one gives a score for each class."
            )
            raise TaskError(message, remedy="Set privacy.evaluation: Local.")
        found = metrics_of(noisy_counts(scores, targets, self._std, self._randomness), self._names)
        self._spending.commit(reservation, digest(canonical(found)))
        self._kept.of(model, rounds)
        return found
