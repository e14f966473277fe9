"""From a round's updates to the next global model: `spec.aggregation`, `spec.compression`, `spec.personalization`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from consilia.api.resource import ApiObject
from consilia.api.rules import Rule
from consilia.api.scalars import Int, KeyedList, PositiveDecimal, ShareDecimal, UnitDecimal
from consilia.api.task_spec import HOSPITALS_AT_MOST

StrategyName = Literal[
    "FedAvg", "FedAvgM", "FedProx", "FedAdam", "FedYogi", "FedAdagrad", "Median", "TrimmedMean", "Krum", "MultiKrum"
]
Codec = Literal["None", "Float16", "Int8", "TopK", "TernGrad", "RandomK", "CountSketch"]

ROBUST: tuple[StrategyName, ...] = ("Median", "TrimmedMean", "Krum", "MultiKrum")
"""Strategies that must see each update on its own."""


class ServerOptimizerSpec(ApiObject):
    """The optimizer that the aggregator applies to the mean update."""

    learning_rate: PositiveDecimal | None = Field(
        default=None, description='The server\'s learning rate. Default: "1" for FedAvgM, "0.1" for the others.'
    )
    momentum: UnitDecimal | None = Field(default=None, description='Momentum; for FedAvgM only. Default: "0.9".')
    beta1: UnitDecimal | None = Field(
        default=None, description='Decay of the first moment; for FedAdam and FedYogi only. Default: "0.9".'
    )
    beta2: UnitDecimal | None = Field(
        default=None, description='Decay of the second moment; for FedAdam and FedYogi only. Default: "0.99".'
    )
    tau: PositiveDecimal | None = Field(
        default=None,
        description='Degree of adaptivity, added to the root of the second moment; not for FedAvgM. Default: "0.001".',
    )


class AggregationSpec(ApiObject):
    """How a round's updates become the next global model."""

    strategy: StrategyName = Field(
        default="FedAvg",
        description="`FedAvg`: the mean weighted by samples; `FedProx` the same, with `training.proximalMu`. "
        "`FedAvgM`, `FedAdam`, `FedYogi`, `FedAdagrad`: a server optimizer on the mean. "
        "`Median`, `TrimmedMean`, `Krum`, `MultiKrum`: bear some wrong updates.",
    )
    server_optimizer: ServerOptimizerSpec | None = Field(
        default=None,
        description="For FedAvgM, FedAdam, FedYogi and FedAdagrad only. Default: the values named at each field.",
    )
    trim_fraction: UnitDecimal = Field(
        default="0.1",
        description="Share of the values left out at each end; for TrimmedMean only. Above 0 and below 0.5.",
    )
    byzantine_hospitals: Int = Field(
        default=0,
        ge=0,
        le=HOSPITALS_AT_MOST,
        description="How many wrong updates are borne (f); for Krum and MultiKrum, which need it.",
    )
    selected_hospitals: Int = Field(
        default=1,
        ge=1,
        le=HOSPITALS_AT_MOST,
        description="How many updates MultiKrum averages (m); for MultiKrum, which needs it.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.serverOptimizer) || self.strategy in ['FedAvgM', 'FedAdam', 'FedYogi', 'FedAdagrad']",
            holds=lambda spec: (
                spec.server_optimizer is None or spec.strategy in {"FedAvgM", "FedAdam", "FedYogi", "FedAdagrad"}
            ),
            message="serverOptimizer has an effect with FedAvgM, FedAdam, FedYogi and FedAdagrad only",
            remedy="remove serverOptimizer or choose one of these strategies",
            field="serverOptimizer",
        ),
        Rule(
            cel="!has(self.serverOptimizer) || !has(self.serverOptimizer.momentum) || self.strategy == 'FedAvgM'",
            holds=lambda spec: _absent(spec, "momentum") or spec.strategy == "FedAvgM",
            message="serverOptimizer.momentum has an effect with FedAvgM only",
            remedy="remove it; FedAdam and FedYogi take beta1",
            field="serverOptimizer",
        ),
        Rule(
            cel="!has(self.serverOptimizer) || (!has(self.serverOptimizer.beta1) && !has(self.serverOptimizer.beta2))"
            " || self.strategy in ['FedAdam', 'FedYogi']",
            holds=lambda spec: _absent(spec, "beta1", "beta2") or spec.strategy in {"FedAdam", "FedYogi"},
            message="serverOptimizer.beta1 and beta2 have an effect with FedAdam and FedYogi only",
            remedy="remove them; FedAvgM takes momentum",
            field="serverOptimizer",
        ),
        Rule(
            cel="!has(self.serverOptimizer) || !has(self.serverOptimizer.tau) || self.strategy != 'FedAvgM'",
            holds=lambda spec: _absent(spec, "tau") or spec.strategy != "FedAvgM",
            message="serverOptimizer.tau has no effect with FedAvgM",
            remedy="remove it",
            field="serverOptimizer",
        ),
        Rule(
            cel="self.strategy == 'TrimmedMean' ? double(self.trimFraction) > 0.0 && double(self.trimFraction) < 0.5"
            " : double(self.trimFraction) == 0.1",
            holds=lambda spec: (
                0 < float(spec.trim_fraction) < 0.5
                if spec.strategy == "TrimmedMean"
                else float(spec.trim_fraction) == 0.1
            ),
            message="trimFraction must be above 0 and below 0.5, and has an effect with TrimmedMean only",
            remedy='write "0.1" or "0.2" with strategy: TrimmedMean, or remove it',
            field="trimFraction",
        ),
        Rule(
            cel="(self.strategy in ['Krum', 'MultiKrum']) == (self.byzantineHospitals > 0)",
            holds=lambda spec: (spec.strategy in {"Krum", "MultiKrum"}) == (spec.byzantine_hospitals > 0),
            message="Krum and MultiKrum need byzantineHospitals of 1 or more, and it has an effect with them only",
            remedy="set how many hospitals may send wrong updates, or choose another strategy",
            field="byzantineHospitals",
        ),
        Rule(
            cel="(self.strategy == 'MultiKrum') == (self.selectedHospitals > 1)",
            holds=lambda spec: (spec.strategy == "MultiKrum") == (spec.selected_hospitals > 1),
            message="MultiKrum needs selectedHospitals of 2 or more, and it has an effect with MultiKrum only",
            remedy="set how many updates are averaged, or choose another strategy",
            field="selectedHospitals",
        ),
    )


def _absent(spec: AggregationSpec, *names: str) -> bool:
    return all(getattr(spec.server_optimizer, name, None) is None for name in names)


class CompressionSpec(ApiObject):
    """How updates are made smaller on their way."""

    codec: Codec = Field(
        default="None",
        description="`Float16` and `Int8` round every value; `TopK` and `RandomK` send some; `TernGrad` sends signs "
        "and one scale a tensor; `CountSketch` sends a linear sketch.",
    )
    ratio: ShareDecimal | None = Field(
        default=None,
        description="Share of the values that is sent; for TopK, RandomK and CountSketch, which need it.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.ratio) == (self.codec in ['TopK', 'RandomK', 'CountSketch'])",
            holds=lambda spec: (spec.ratio is not None) == (spec.codec in {"TopK", "RandomK", "CountSketch"}),
            message="TopK, RandomK and CountSketch need ratio, and it has an effect with them only",
            remedy='set ratio, for example "0.01", or remove it',
            field="ratio",
        ),
    )


class PersonalizationSpec(ApiObject):
    """What each hospital keeps for itself."""

    local_parameters: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*?-]+$", max_length=253)], ...],
        Field(min_length=1, max_length=64),
        KeyedList(),
    ] = Field(description='Names of parameters that never leave the hospital, with * and ?, such as "head.*".')
