"""The mechanisms that a ledger charges for: which noise was added to what share of the records, how often."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from consilia.api.scalars import Int, PositiveDecimal, ShareDecimal

MechanismKind = Literal["SampledGaussian", "Gaussian", "Laplace"]
_DIGITS = 8
"""So many significant digits of a decimal are recorded."""
_UP, _DOWN = Context(_DIGITS, ROUND_CEILING), Context(_DIGITS, ROUND_FLOOR)


class Mechanism(BaseModel):
    """One release, or several alike in a row. Neighbouring data sets differ by one unit, added or removed.

    Numbers are decimal strings: a ledger is signed, and its digits must be the same wherever it is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    kind: MechanismKind
    """`SampledGaussian`: Gaussian noise on the sum over a Poisson sample, as in DP-SGD. `Gaussian`, `Laplace`: noise on
    a figure of all units."""
    noise_multiplier: PositiveDecimal
    """Standard deviation of the Gaussian, or scale of the Laplace noise, over the sensitivity: the most that one unit
    can change the figure, in the L2 or L1 norm."""
    sample_rate: ShareDecimal = "1"
    """The probability with which each unit is in a sample."""
    steps: Annotated[Int, Field(ge=1, le=1_000_000_000)] = 1
    """How often in a row, each time with fresh noise and a fresh sample."""

    @cached_property
    def once(self) -> "Mechanism":
        """One step of it."""
        return self.model_copy(update={"steps": 1})

    def times(self, count: int) -> "Mechanism":
        """`count` of them in a row."""
        return self.model_copy(update={"steps": self.steps * count})

    def describe(self) -> str:
        """In words."""
        noise = f"{self.kind} noise of {self.noise_multiplier}"
        sample = f" on samples of {self.sample_rate}" if self.kind == "SampledGaussian" else ""
        return f"{self.steps} x {noise}{sample}"


def sampled_gaussian(noise_multiplier: float, sample_rate: float, steps: int) -> Mechanism:
    """DP-SGD's steps, the noise rounded down and the rate up, so that what is recorded costs no less than what runs."""
    rate = "1" if sample_rate >= 1 else rounded_up(sample_rate)
    return Mechanism(
        kind="SampledGaussian", noise_multiplier=rounded_down(noise_multiplier), sample_rate=rate, steps=steps
    )


def rounded_up(value: float) -> str:
    """The shortest decimal string of eight digits that is no smaller."""
    return _shown(_UP, value)


def rounded_down(value: float) -> str:
    """The shortest decimal string of eight digits that is no larger."""
    return _shown(_DOWN, value)


def _shown(context: Context, value: float) -> str:
    return f"{context.create_decimal(repr(value)).normalize():f}"
