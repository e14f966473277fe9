"""A trainer audits itself: what came out for its canaries, and how well the final model can be attacked.

It is for the hospital: written to its own folder, one line in its log, nothing of it sent. A violated audit fails no
job, for what was sent stays sent; somebody must look at it.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from consilia.api import FederatedJob
from consilia_workers.audit.ballast import FEWEST, Watched
from consilia_workers.audit.independent import separation_bound
from consilia_workers.audit.membership import AttackResult
from consilia_workers.audit.one_run import epsilon_lower_bound
from consilia_workers.audit.result import AuditResult, LowerBound, MembershipAttack, Share, verdict_on
from consilia_workers.privacy.private_learner import PrivateLearner
from consilia_workers.spending import Spending

logger = logging.getLogger("consilia.trainer")

CONFIDENCE = 0.95
_ONE_RUN = 0.01
"""How much of the doubt that is left goes to the bound by counted guesses; the rest to the other one."""
_REFERENCES, _LEAST_SECONDS, _MOST_SECONDS = 0.05, 0.1, 30.0
"""Reference models may take this share of the training's time, within these seconds: nobody waits for them long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAudit:
    """One private job's at one hospital."""

    job: FederatedJob
    hospital: str
    learner: PrivateLearner
    spending: Spending
    path: Path

    def conclude(self, model: bytearray | None) -> None:
        """Audit the job that is over, and write down what was found; `model` is its final one, if there is any.

        The bound is written before the model is attacked: who ends this process meanwhile has that much.
        """
        try:
            self._conclude(model)
        except Exception:
            logger.exception("the privacy audit failed; the job did not")

    def _conclude(self, model: bytearray | None) -> None:
        if self.learner.ballast is None:
            return
        started, watched = monotonic(), self.learner.ballast.watched
        delta = float(self.job.spec.privacy.delta if self.job.spec.privacy else 0)
        bound = lower_bound(watched, delta)
        self._keep(watched, bound, None, monotonic() - started)
        attack = self.learner.attacked(model, self._seconds(watched)) if model is not None else None
        result = self._keep(watched, bound, attack, monotonic() - started)
        logger.log(logging.ERROR if result.verdict == "Violated" else logging.INFO, "%s", in_words(result))

    def _seconds(self, watched: Watched) -> float:
        return min(max(_REFERENCES * watched.training_seconds, _LEAST_SECONDS), _MOST_SECONDS)

    def _keep(self, watched: Watched, bound: LowerBound, attack: AttackResult | None, concluding: float) -> AuditResult:
        privacy = self.job.spec.privacy
        assert privacy is not None, "only private jobs are audited"
        spent = float(self.spending.epsilon() or 0)
        result = AuditResult(
            hospital=self.hospital,
            job=self.job.metadata.name,
            epsilon=spent,
            delta=float(privacy.delta),
            unit=privacy.unit,
            bound=bound,
            membership=_attack(attack),
            verdict=verdict_on(bound, spent),
            seconds=watched.seconds + concluding,
            training_seconds=max(watched.training_seconds - watched.seconds, 0.0),
        )
        result.save(self.path)
        return result


def lower_bound(watched: Watched, delta: float) -> LowerBound:
    """What the canaries refute at this delta.

    Right guesses are counted of the first thousand only: their bound has a delta for each of them, so that more would
    tell less.
    """
    doubt = 1 - CONFIDENCE
    counted = epsilon_lower_bound(
        watched.scores[:FEWEST], watched.kept[:FEWEST], delta=delta, confidence=1 - _ONE_RUN
    ).epsilon
    told_apart = separation_bound(watched.scores, watched.kept, delta=delta, confidence=1 - (doubt - _ONE_RUN)).epsilon
    return LowerBound(
        epsilon=max(counted, told_apart),
        confidence=CONFIDENCE,
        one_run=counted,
        separation=told_apart,
        canaries=len(watched.kept),
        steps=watched.steps,
    )


def _attack(found: AttackResult | None) -> MembershipAttack | None:
    if found is None:
        return None
    return MembershipAttack(
        auc=found.auc,
        tpr_at_0_1_percent=Share.of(found.tpr_at_0_1_percent),
        tpr_at_1_percent=Share.of(found.tpr_at_1_percent),
        members=found.members,
        others=found.others,
    )


def in_words(result: AuditResult) -> str:
    """One line for a log."""
    attack = result.membership
    told = f"membership AUC {attack.auc:.3f}" if attack else "membership not attacked"
    cost = f"{result.seconds:.2f} s, {100 * result.share:.0f} % of training"
    if result.verdict == "Consistent":
        return f"privacy audit: ε >= {result.bound.epsilon:.2f}, charged {result.epsilon:g}; {told}; {cost}"
    return (
        f"privacy audit VIOLATED: ε is at least {result.bound.epsilon:.2f}, only {result.epsilon:g} was charged. "
        f"The noise or the sampling is not what the ledger was told; {told}; {cost}"
    )
