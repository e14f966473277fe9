"""How a hospital trains within a round: `spec.training`.

A field that has no effect beside the others is refused when it is set to anything but its default.
"""

from typing import ClassVar, Literal

from pydantic import Field

from consilia.api.resource import ApiObject
from consilia.api.rules import Rule
from consilia.api.scalars import (
    Bool,
    Int,
    NonNegativeDecimal,
    PositiveDecimal,
    ShareDecimal,
    UnitDecimal,
)

OptimizerName = Literal["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]
SchedulerName = Literal["Constant", "Cosine", "Step", "Exponential"]
Precision = Literal["Float32", "BFloat16", "Float16"]
Device = Literal["Auto", "CPU", "CUDA"]


class OptimizerSpec(ApiObject):
    """The local optimizer, made anew in each round."""

    name: OptimizerName = Field(default="SGD", description="The optimizer, by PyTorch's name.")
    learning_rate: PositiveDecimal = Field(
        default="0.01", description="The learning rate before the scheduler's factor."
    )
    momentum: UnitDecimal = Field(default="0", description="Momentum; for SGD and RMSprop only.")
    weight_decay: NonNegativeDecimal = Field(
        default="0", description="L2 penalty; decoupled for AdamW (PyTorch's own default there is 0.01)."
    )
    beta1: UnitDecimal = Field(default="0.9", description="Decay of the first moment; for Adam and AdamW only.")
    beta2: UnitDecimal = Field(default="0.999", description="Decay of the second moment; for Adam and AdamW only.")
    nesterov: Bool = Field(default=False, description="Nesterov's form of momentum; for SGD only.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="double(self.momentum) == 0.0 || self.name in ['SGD', 'RMSprop']",
            holds=lambda spec: float(spec.momentum) == 0 or spec.name in {"SGD", "RMSprop"},
            message="momentum has an effect with SGD and RMSprop only",
            remedy="remove momentum or choose another optimizer",
            field="momentum",
        ),
        Rule(
            cel="!self.nesterov || (self.name == 'SGD' && double(self.momentum) > 0.0)",
            holds=lambda spec: not spec.nesterov or (spec.name == "SGD" and float(spec.momentum) > 0),
            message="nesterov needs SGD with momentum above 0",
            remedy='set name: SGD and momentum: "0.9", or remove nesterov',
            field="nesterov",
        ),
        Rule(
            cel="self.name in ['Adam', 'AdamW'] || (double(self.beta1) == 0.9 && double(self.beta2) == 0.999)",
            holds=lambda spec: (
                spec.name in {"Adam", "AdamW"} or (float(spec.beta1) == 0.9 and float(spec.beta2) == 0.999)
            ),
            message="beta1 and beta2 have an effect with Adam and AdamW only",
            remedy="remove them or choose another optimizer",
            field="name",
        ),
    )


class SchedulerSpec(ApiObject):
    """The learning rate's factor from round to round, the same at all hospitals."""

    name: SchedulerName = Field(
        default="Constant",
        description="`Constant`: 1. `Cosine`: falls to `minimumFactor` in the last round. `Step`: times `gamma` every "
        "`stepRounds`. `Exponential`: times `gamma` every round.",
    )
    warmup_rounds: Int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Rounds in which the factor rises linearly to 1 before the schedule begins.",
    )
    gamma: ShareDecimal = Field(
        default="1", description="What the factor is multiplied by; for Step and Exponential, which need it."
    )
    step_rounds: Int = Field(default=1, ge=1, le=100_000, description="Rounds between two steps; for Step only.")
    minimum_factor: UnitDecimal = Field(default="0", description="The factor never falls below this; not for Constant.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.name in ['Step', 'Exponential']) == (double(self.gamma) < 1.0)",
            holds=lambda spec: (spec.name in {"Step", "Exponential"}) == (float(spec.gamma) < 1),
            message="Step and Exponential need a gamma below 1, and gamma has an effect with them only",
            remedy='set gamma, for example "0.9", or choose another scheduler',
            field="gamma",
        ),
        Rule(
            cel="self.name == 'Step' || self.stepRounds == 1",
            holds=lambda spec: spec.name == "Step" or spec.step_rounds == 1,
            message="stepRounds has an effect with Step only",
            remedy="remove stepRounds or set name: Step",
            field="stepRounds",
        ),
        Rule(
            cel="self.name != 'Constant' || double(self.minimumFactor) == 0.0",
            holds=lambda spec: spec.name != "Constant" or float(spec.minimum_factor) == 0,
            message="minimumFactor has no effect with Constant",
            remedy="remove minimumFactor or choose another scheduler",
            field="minimumFactor",
        ),
    )


class TrainingSpec(ApiObject):
    """How a hospital trains within a round."""

    local_epochs: Int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Passes over the hospital's training data in each round. Default: 1, without `localSteps`.",
    )
    local_steps: Int | None = Field(
        default=None, ge=1, le=10_000_000, description="Optimizer steps in each round, instead of `localEpochs`."
    )
    batch_size: Int = Field(
        default=32, ge=0, le=1_000_000, description="Records in a batch; 0 is the whole data set in one batch."
    )
    optimizer: OptimizerSpec = Field(default=OptimizerSpec(), description="The local optimizer.")
    scheduler: SchedulerSpec = Field(default=SchedulerSpec(), description="The learning rate over the rounds.")
    proximal_mu: PositiveDecimal | None = Field(
        default=None,
        description="Weight of FedProx's proximal term, which pulls the local model towards the global one. "
        "Default: no such term.",
    )
    precision: Precision = Field(
        default="Float32",
        description="The arithmetic; `BFloat16` and `Float16` are PyTorch's autocast with float32 parameters.",
    )
    seed: Int = Field(
        default=0,
        ge=0,
        le=2_147_483_647,
        description="From it come the initial model and the order of batches, the same in every run.",
    )
    device: Device = Field(
        default="Auto", description="Where the hospital trains; `Auto` is CUDA where present, else the CPU."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.localEpochs) || !has(self.localSteps)",
            holds=lambda spec: spec.local_epochs is None or spec.local_steps is None,
            message="training takes localEpochs or localSteps, not both",
            remedy="remove one of them",
            field="localSteps",
        ),
        Rule(
            cel="self.device != 'CPU' || self.precision != 'Float16'",
            holds=lambda spec: spec.device != "CPU" or spec.precision != "Float16",
            message="precision Float16 needs a GPU",
            remedy="set precision: BFloat16 or Float32, or device: CUDA",
            field="precision",
        ),
    )
