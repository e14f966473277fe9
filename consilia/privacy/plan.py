"""What a job will ask of one hospital's budget, known before it starts: noise, sampling rate, steps, releases."""

from dataclasses import dataclass
from math import ceil

from consilia.api import FederatedJobSpec, HospitalTaskSpec
from consilia.api.privacy import PrivacySpec
from consilia.api.rounds import EvaluationSpec
from consilia.errors import ManifestError
from consilia.privacy.calibration import calibrated
from consilia.privacy.mechanisms import Mechanism, MechanismKind, rounded_up, sampled_gaussian

MOST_STEPS = 10_000_000
"""More noisy steps than these no data set can pay for."""
_CHANGE = 2.0
"""A clipped update may turn into any other one when a unit comes or goes: twice its norm lies between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """All releases of a job at one hospital, if nothing has to be repeated."""

    rounds: int
    training: Mechanism
    """One round's."""
    evaluation: Mechanism | None
    """One evaluation's, where evaluations are released."""
    evaluations: int
    """How many of them."""
    epsilon: float | None
    """What the job promised, if it named an ε."""
    delta: float

    def releases(self, rounds: int) -> list[Mechanism]:
        """What so many of the rounds release, their share of the evaluations included."""
        if rounds < 1:
            return []
        evaluations = ceil(self.evaluations * rounds / self.rounds)
        beside = [self.evaluation.times(evaluations)] if self.evaluation and evaluations else []
        return [self.training.times(rounds), *beside]


def make_plan(spec: FederatedJobSpec | HospitalTaskSpec, units: int) -> JobPlan:
    """The plan for a hospital that is known to have `units` records or patients to train on.

    Raises:
        ManifestError: no noise makes it cost as little as the job promises.
    """
    privacy = spec.privacy
    assert privacy is not None, "without privacy there is nothing to plan"
    if spec.rounds.count * (spec.training.local_steps or 1) > MOST_STEPS:
        message = f"the job would take more than {MOST_STEPS} noisy steps at each hospital."
        raise ManifestError(message, remedy="Ask for fewer rounds, or fewer steps in each.")
    evaluation, evaluations = _evaluations(privacy, spec.evaluation, spec.rounds.count)
    beside = [evaluation.times(evaluations)] if evaluation and evaluations else []
    return JobPlan(
        rounds=spec.rounds.count,
        training=_training(spec, privacy, units, beside),
        evaluation=evaluation,
        evaluations=evaluations,
        epsilon=float(privacy.epsilon) if privacy.epsilon else None,
        delta=float(privacy.delta),
    )


def _evaluations(privacy: PrivacySpec, evaluation: EvaluationSpec, rounds: int) -> tuple[Mechanism | None, int]:
    """Every so many rounds, and once more at the end."""
    if privacy.evaluation == "Local":
        return None, 0
    every = evaluation.every_rounds
    count = 1 + (ceil(rounds / every) if every else 0)
    return Mechanism(kind="Gaussian", noise_multiplier=privacy.evaluation_noise), count


def _training(
    spec: FederatedJobSpec | HospitalTaskSpec, privacy: PrivacySpec, units: int, beside: list[Mechanism]
) -> Mechanism:
    rounds, delta = spec.rounds.count, float(privacy.delta)
    if privacy.mechanism == "DPSGD":
        rate = float(privacy.sample_rate or sample_rate(spec.training.batch_size, units))
        steps = spec.training.local_steps or ceil((spec.training.local_epochs or 1) / rate - 1e-9)

        def make(noise: float) -> Mechanism:
            return sampled_gaussian(noise, rate, steps)
    else:
        kind: MechanismKind = privacy.mechanism

        def make(noise: float) -> Mechanism:
            return Mechanism(kind=kind, noise_multiplier=rounded_up(noise))

    if privacy.epsilon is None:
        return make(float(privacy.noise_multiplier or 0) / (1 if privacy.mechanism == "DPSGD" else _CHANGE))
    job = calibrated(lambda noise: make(noise).times(rounds), beside, float(privacy.epsilon), delta)
    return make(float(job.noise_multiplier))


def sample_rate(batch_size: int, units: int) -> float:
    """The probability with which each unit is in a batch; 1 where a batch is everything."""
    return 1.0 if batch_size == 0 or units <= batch_size else batch_size / units


def noise_over_clipping_norm(training: Mechanism) -> float:
    """The noise's standard deviation (Laplace: its scale) over `maxGradNorm`."""
    return float(training.noise_multiplier) * (1.0 if training.kind == "SampledGaussian" else _CHANGE)
