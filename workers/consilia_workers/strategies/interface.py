"""What a strategy is made of: a combiner across hospitals, and optionally an optimizer on the server.

Nothing here sees a whole model. The aggregator cuts every update at the same places and hands over one block after the
other, so memory stays at one block a hospital however large the model is. Updates come in the order of the hospitals'
names, never of their arrival, so the same set gives the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.floating]
"""Consecutive parameters of one tensor or of several, flat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Whose updates count in this round, in the order of their names."""

    hospitals: tuple[str, ...]
    samples: tuple[int, ...]
    """How many records each trained on; the weight of its update."""


class Combiner(Protocol):
    """Turns the cohort's parameters into one set of parameters, block by block."""

    @property
    def minimum_updates(self) -> int:
        """Fewer updates than this cannot be combined by the rule (Krum needs 2f + 3)."""

    def examine(self, cohort: Cohort, blocks: Iterable[Sequence[Block]]) -> None:
        """See all blocks once before the first `combine`; only for combiners that compare whole updates (Krum).

        `blocks` is lazy: a combiner that needs no first pass must not iterate over it.
        """

    def combine(self, cohort: Cohort, blocks: Sequence[Block]) -> NDArray[np.float64]:
        """The combined block, in float64; `blocks[k]` is the same span of hospital k's trained parameters."""


class ServerOptimizer(Protocol):
    """Takes a step from the global parameters towards the combined ones. Elementwise, so it may go block by block."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the float32 arrays, each as long as the block, that it keeps from one round to the next."""

    def step(
        self, base: Block, combined: NDArray[np.float64], state: Mapping[str, Block] | None
    ) -> tuple[NDArray[np.float64], dict[str, Block]]:
        """The new parameters and state of one block; `state` is None in the first round.

        The pseudo-gradient is `base - combined` (Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2).
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a round's updates become the next global model."""

    name: str
    combiner: Combiner
    optimizer: ServerOptimizer | None = None

    @property
    def minimum_updates(self) -> int:
        """Fewer updates than this cannot be combined by the rule (Krum needs 2f + 3)."""
        return self.combiner.minimum_updates
