"""What protects the patients: `spec.privacy` and `spec.secureAggregation`."""

from typing import ClassVar, Literal

from pydantic import Field

from consilia.api.resource import ApiObject
from consilia.api.rules import Rule
from consilia.api.scalars import Delta, Int, PositiveDecimal
from consilia.api.task_spec import HOSPITALS_AT_MOST

Unit = Literal["Record", "Patient"]
Mechanism = Literal["DPSGD", "Gaussian", "Laplace"]
Accountant = Literal["RDP", "PRV"]
OnExhausted = Literal["DropHospital", "StopJob"]
SecureAggregationMode = Literal["None", "Masking", "ThreeParty", "CKKS", "Paillier"]


class PrivacySpec(ApiObject):
    """Differential privacy of what leaves a hospital."""

    unit: Unit = Field(
        default="Record", description="Whose presence is hidden: one `Record`, or all records of a `Patient`."
    )
    epsilon: PositiveDecimal | None = Field(
        default=None, description="The ε that the whole job may spend at each hospital; the noise follows from it."
    )
    noise_multiplier: PositiveDecimal | None = Field(
        default=None, description="The noise's standard deviation over `maxGradNorm`; the ε follows from it."
    )
    delta: Delta = Field(
        default="1e-5", description="The probability with which ε may not hold; below one over the number of patients."
    )
    max_grad_norm: PositiveDecimal = Field(
        default="1", description="The L2 norm that each unit's contribution is clipped to."
    )
    mechanism: Mechanism = Field(
        default="DPSGD",
        description="`DPSGD`: clip and noise every gradient. `Gaussian`, `Laplace`: the finished update.",
    )
    accountant: Accountant = Field(
        default="RDP", description="What is shown beside the ledger's RDP: `RDP` itself or the tighter `PRV`."
    )
    on_exhausted: OnExhausted = Field(
        default="DropHospital",
        description="What happens when a hospital's budget is spent: the job goes on without it, or stops for all.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.epsilon) != has(self.noiseMultiplier)",
            holds=lambda spec: (spec.epsilon is None) != (spec.noise_multiplier is None),
            message="privacy needs exactly one of epsilon and noiseMultiplier",
            remedy='set epsilon, for example "3", or noiseMultiplier, for example "1.1"',
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
