"""What a job will ask of one hospital's budget, known before it starts: noise, sampling rate, steps, releases."""

from dataclasses import dataclass
from math import ceil

from consilia.api import FederatedJobSpec, HospitalTaskSpec
from consilia.api.privacy import LEAST_NOISE, MOST_NOISE, PrivacySpec
from consilia.api.rounds import EvaluationSpec
from consilia.errors import ManifestError
from consilia.privacy.calibration import calibrated
from consilia.privacy.mechanisms import Mechanism, MechanismKind, rounded_up, sampled_gaussian

MOST_STEPS = 10_000_000
"""More noisy steps than these no data set can pay for."""
_EPSILONS = (1e-6, 1e6)
"""The least ε that anybody may promise, and the most: beyond, neither the promise nor the noise means anything."""
_LEAST_RATE = 1e-9
"""There are not that many people."""
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
        ManifestError: no noise makes it cost as little as the job promises; or a number of it cannot be counted with.
    """
    privacy = spec.privacy
    assert privacy is not None, "without privacy there is nothing to plan"
    _require_usable(privacy)
    rate, steps = _sampling(spec, privacy, units)
    if spec.rounds.count * steps > MOST_STEPS:
        message = f"the job would take more than {MOST_STEPS} noisy steps at each hospital: {steps} in each round."
        remedy = "Lower rounds.count, training.localSteps or training.localEpochs, or raise privacy.sampleRate."
        raise ManifestError(message, remedy=remedy)
    evaluation, evaluations = _evaluations(privacy, spec.evaluation, spec.rounds.count)
    beside = [evaluation.times(evaluations)] if evaluation and evaluations else []
    return JobPlan(
        rounds=spec.rounds.count,
        training=_training(privacy, rate, steps, spec.rounds.count, beside),
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


def _require_usable(privacy: PrivacySpec) -> None:
    """Numbers beyond these no mechanism can be recorded with: they are the job's mistake, and no fault of a ledger."""
    for field, text, least, most in (
        ("epsilon", privacy.epsilon, *_EPSILONS),
        ("noiseMultiplier", privacy.noise_multiplier, LEAST_NOISE, MOST_NOISE),
        ("evaluationNoise", privacy.evaluation_noise, LEAST_NOISE, MOST_NOISE),
        ("sampleRate", privacy.sample_rate, _LEAST_RATE, 1.0),
    ):
        if text is not None and not least <= float(text) <= most:
            message = f"privacy.{field} is {text}, which no accountant can count with."
            raise ManifestError(message, remedy=f"Set privacy.{field} between {least:g} and {most:g}.")


def _sampling(spec: FederatedJobSpec | HospitalTaskSpec, privacy: PrivacySpec, units: int) -> tuple[float, int]:
    """The probability with which each unit is in a step's sample, and the steps of a round."""
    if privacy.mechanism != "DPSGD":
        return 1.0, 1
    rate = float(privacy.sample_rate or sample_rate(spec.training.batch_size, units))
    return rate, spec.training.local_steps or ceil((spec.training.local_epochs or 1) / rate - 1e-9)


def _training(privacy: PrivacySpec, rate: float, steps: int, rounds: int, beside: list[Mechanism]) -> Mechanism:
    delta = float(privacy.delta)
    if privacy.mechanism == "DPSGD":

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
