"""What protects the patients: `spec.privacy` and `spec.secureAggregation`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from consilia.api.resource import ApiObject
from consilia.api.rules import Rule
from consilia.api.scalars import Bool, Delta, Int, PositiveDecimal, ShareDecimal
from consilia.api.task_spec import HOSPITALS_AT_MOST

Unit = Literal["Record", "Patient"]
Mechanism = Literal["DPSGD", "Gaussian", "Laplace"]
Accountant = Literal["RDP", "PRV"]
OnExhausted = Literal["DropHospital", "StopJob"]
ReleasedEvaluation = Literal["Local", "Charged"]
SecureAggregationMode = Literal["None", "Masking", "ThreeParty", "CKKS", "Paillier"]

LEAST_NOISE, MOST_NOISE = 0.05, 1e6
"""With less noise the accountants' numbers overflow, with more nothing is learned."""
_Noise = Annotated[
    PositiveDecimal,
    Rule(
        cel=f"double(self) >= {LEAST_NOISE} && double(self) <= {MOST_NOISE}",
        holds=lambda text: LEAST_NOISE <= float(text) <= MOST_NOISE,
        message=f"must be at least {LEAST_NOISE} and at most {MOST_NOISE:.0f}",
        remedy='write a number such as "1.1" in quotes',
    ),
]


class PrivacySpec(ApiObject):
    """Differential privacy of what leaves a hospital."""

    unit: Unit = Field(
        default="Record", description="Whose presence is hidden: one `Record`, or all records of a `Patient`."
    )
    epsilon: PositiveDecimal | None = Field(
        default=None, description="The ε that the whole job may spend at each hospital; the noise follows from it."
    )
    noise_multiplier: _Noise | None = Field(
        default=None, description="The noise's standard deviation over `maxGradNorm`; the ε follows from it."
    )
    delta: Delta = Field(
        default="1e-5", description="The probability with which ε may not hold; below one over the number of patients."
    )
    max_grad_norm: PositiveDecimal = Field(
        default="1", description="The L2 norm that each unit's contribution is clipped to."
    )
    sample_rate: ShareDecimal | None = Field(
        default=None,
        description="The probability with which each record or patient is in a step's sample, the same at every "
        "hospital; for DPSGD, in place of `training.batchSize`. Default: the batch size over the `Dataset`'s size.",
    )
    mechanism: Mechanism = Field(
        default="DPSGD",
        description="`DPSGD`: clip and noise every gradient. `Gaussian`, `Laplace`: the finished update; then not even "
        "a whole change of a hospital's data shows, at the price of far more noise.",
    )
    accountant: Accountant = Field(
        default="RDP", description="What is shown beside the ledger's RDP: `RDP` itself or the tighter `PRV`."
    )
    on_exhausted: OnExhausted = Field(
        default="DropHospital",
        description="What happens when a hospital's budget is spent: the job goes on without it, or stops for all.",
    )
    evaluation: ReleasedEvaluation = Field(
        default="Local",
        description="`Local`: metrics on patients' data stay in the hospital. `Charged`: they are computed from counts "
        "with noise, and the job's ε pays for them; for tasks with the answers yes and no.",
    )
    evaluation_noise: _Noise = Field(
        default="20",
        description="Standard deviation of the noise on each count of a charged evaluation, in records or patients.",
    )
    replace_batch_norm: Bool = Field(
        default=False,
        description="Train the task's model with a group normalisation in place of each batch normalisation, whose "
        "statistics mix patients. Default: such a model is refused.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.epsilon) != has(self.noiseMultiplier)",
            holds=lambda spec: (spec.epsilon is None) != (spec.noise_multiplier is None),
            message="privacy needs exactly one of epsilon and noiseMultiplier",
            remedy='set epsilon, for example "3", or noiseMultiplier, for example "1.1"',
        ),
        Rule(
            cel="!has(self.sampleRate) || self.mechanism == 'DPSGD'",
            holds=lambda spec: spec.sample_rate is None or spec.mechanism == "DPSGD",
            message="sampleRate has an effect with mechanism DPSGD only",
            remedy="remove sampleRate or set mechanism: DPSGD",
            field="sampleRate",
        ),
        Rule(
            cel="self.evaluation == 'Charged' || double(self.evaluationNoise) == 20.0",
            holds=lambda spec: spec.evaluation == "Charged" or float(spec.evaluation_noise) == 20,
            message="evaluationNoise has an effect with evaluation Charged only",
            remedy="remove evaluationNoise or set evaluation: Charged",
            field="evaluationNoise",
        ),
        Rule(
            cel="self.evaluation == 'Local' || self.mechanism == 'DPSGD'",
            holds=lambda spec: spec.evaluation == "Local" or spec.mechanism == "DPSGD",
            message="with Gaussian and Laplace the task's own code computes metrics, so no noise protects them",
            remedy="set evaluation: Local or mechanism: DPSGD",
            field="evaluation",
        ),
        Rule(
            cel="self.unit == 'Record' || self.evaluation == 'Local'",
            holds=lambda spec: spec.unit == "Record" or spec.evaluation == "Local",
            message="a charged evaluation counts records, so it cannot hide patients with several",
            remedy="set evaluation: Local, or unit: Record where every patient has one record",
            field="evaluation",
        ),
    )


class SecureAggregationSpec(ApiObject):
    """Keeps single updates from the aggregator: it learns their sum and nothing else."""

    mode: SecureAggregationMode = Field(
        default="None",
        description="`Masking`: pairwise masks that cancel in the sum. `ThreeParty`: shares at three parties. "
        "`CKKS`, `Paillier`: homomorphic encryption.",
    )
    threshold: Int | None = Field(
        default=None,
        ge=2,
        le=HOSPITALS_AT_MOST,
        description="How many hospitals must stay to the end of a round; for Masking only. "
        "Default: two thirds of the roster, rounded up.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.threshold) || self.mode == 'Masking'",
            holds=lambda spec: spec.threshold is None or spec.mode == "Masking",
            message="threshold has an effect with mode Masking only",
            remedy="remove threshold or set mode: Masking",
            field="threshold",
        ),
    )
