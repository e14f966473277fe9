"""Differentially private gradient descent over an isolated model (Abadi et al. 2016, arXiv 1607.00133)."""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor
from torch.optim import Optimizer
from torch.utils import _pytree as pytree

from consilia_workers.privacy.clipping import Sums, added, clipped_sum, unit_gradients
from consilia_workers.privacy.gradients import Full, Gradient
from consilia_workers.privacy.isolation import IsolatedModel, length_of, part_of
from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.privacy.units import Group, groups_of
from consilia_workers.task import Batch

Style = Literal["hooks", "ghost"]
"""`hooks` holds every record's gradient in memory; `ghost` does not where a matrix is used once a record."""


class PrivateSteps:
    """The steps of one optimizer: sampled records in, a noisy step out."""

    def __init__(  # noqa: PLR0913 (all are what the mechanism is made of)
        self,
        model: IsolatedModel,
        optimizer: Optimizer,
        *,
        noise_multiplier: float,
        max_grad_norm: float,
        expected_batch_size: float,
        randomness: SystemRandomness,
        style: Style = "ghost",
        physical_batch: int = 64,
        capacity: int = 0,
    ) -> None:
        """`optimizer` is over parameters of the model.

        The noise has the standard deviation `noise_multiplier` times `max_grad_norm` before the division by
        `expected_batch_size`. `physical_batch` records are computed at once.

        How a record's gradient is rounded depends on its place among them. With a `capacity`, records are put into
        random places among so many: where a step never has more records than that, no record's place, and so no bit
        of its gradient, depends on whether another one is there; `capacity_for` says how much it takes. Without one,
        or with units, records stand in order, and a hostile graph may see by the rounding how many come before.
        """
        if not (noise_multiplier >= 0 and max_grad_norm > 0 and expected_batch_size > 0 and physical_batch > 0):
            raise ValueError("clipping norm and batch sizes must be positive, and the noise not negative")
        self._model = model.with_lanes(physical_batch)
        self._optimizer = optimizer
        self._std, self._max_norm = noise_multiplier * max_grad_norm, max_grad_norm
        self._expected = expected_batch_size
        self._randomness = randomness
        self._style: Style = style
        self._capacity = capacity
        self._parameters = [p for p in model.module.parameters() if p.requires_grad]

    def take(self, batch: Batch, unit_of: Tensor | None = None, ballast: Tensor | None = None) -> Tensor | None:
        """One step with the records that were sampled; none is a step of noise alone.

        `batch` is a tensor, or a tuple, list or dict of tensors, of one length n. `unit_of`, shape (n,), says to which
        unit, such as a patient, each record belongs: a unit's gradient is the mean of its records', clipped as one.

        `ballast` is a sum of clipped gradients in dimensions that no parameter has, of units that only an audit knows;
        it is given back with the noise that all others get, not divided.

        Raises:
            TaskError: the task's graph cannot be run on such records.
            DataError: the batch is not made of tensors of one length.
        """
        totals = {p: torch.zeros(p.shape, dtype=torch.float64, device=p.device) for p in self._parameters}
        for part in self._of_units(batch, unit_of) if unit_of is not None else self._of_records(batch):
            for parameter, value in part.items():
                totals[parameter] += value
        for total in [*totals.values(), *([ballast] if ballast is not None else [])]:
            total.copy_(self._noisy(total))
        for parameter, total in totals.items():
            parameter.grad = (total / self._expected).to(parameter.dtype)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return ballast

    def _noisy(self, total: Tensor) -> Tensor:
        noisy = self._randomness.plus_normal(total.cpu().numpy().ravel(), self._std)
        return torch.from_numpy(noisy).view(total.shape)

    def _of_records(self, batch: Batch) -> Sequence[Sums]:
        lanes, count = self._model.lanes, length_of(batch)
        if not self._capacity:
            parts = (part_of(batch, slice(start, start + lanes)) for start in range(0, count, lanes))
            return [self._of_pass(part, torch.arange(length_of(part))) for part in parts]
        passes = -(-max(count, self._capacity) // lanes)
        places = random_places(count, passes * lanes, self._randomness)
        rows = [torch.nonzero(places // lanes == number).flatten() for number in range(passes)]
        return [self._of_pass(part_of(batch, own), places[own] % lanes) for own in rows if len(own)]

    def _of_pass(self, part: Batch, lanes: Tensor) -> Sums:
        return clipped_sum(*self._gradients(part, lanes), self._max_norm)

    def _of_units(self, batch: Batch, unit_of: Tensor) -> Sequence[Sums]:
        if len(unit_of) != length_of(batch):
            raise ValueError(f"{len(unit_of)} unit numbers for {length_of(batch)} records")
        return [self._of_group(batch, group) for group in groups_of(unit_of.cpu(), self._model.lanes)]

    def _of_group(self, batch: Batch, group: Group) -> Sums:
        whole: list[Full] = []
        for piece in group.pieces:
            gradients, unusable = self._gradients(part_of(batch, piece.rows), torch.arange(len(piece.rows)))
            unit, share = (
                _laned(values, self._model.lanes).to(unusable.device) for values in (piece.unit, piece.share)
            )
            whole = added(whole, unit_gradients(gradients, unusable, unit, share, group.units))
        usable = torch.zeros(group.units, dtype=torch.bool, device=self._model.device)
        return clipped_sum(whole, usable, self._max_norm)

    def _gradients(self, part: Batch, lanes: Tensor) -> tuple[list[Gradient], Tensor]:
        """The gradients of the records' losses, and the lanes that are not to count."""
        recorded = self._model.recorded(part, lanes)
        unusable = recorded.unusable | ~torch.isfinite(recorded.losses.detach())
        return recorded.tape.gradients(recorded.losses, outer=self._style == "ghost"), unusable

    def time_one_pass(self, batch: Batch) -> float:
        """How many seconds the clipped sum of one physical batch takes; nothing is changed by it."""
        start = time.perf_counter()
        self._of_pass(batch, torch.arange(length_of(batch)))
        if self._model.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start


def random_places(count: int, among: int, randomness: SystemRandomness) -> Tensor:
    """Different places for so many records, each choice as likely: one's does not depend on how many there are."""
    return torch.from_numpy(np.argsort(randomness.uniform(among)))[:count]


def capacity_for(records: int, rate: float) -> int:
    """How many places a step needs that takes each of `records` with probability `rate`; more once in 1e12 times."""
    return min(records, math.ceil(binom.isf(1e-12, records, rate))) if rate else 0


def _laned(values: Tensor, lanes: int) -> Tensor:
    return torch.cat([values, values.new_zeros(lanes - len(values))])


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleChoice:
    """The faster style, and what was measured."""

    style: Style
    seconds: Mapping[Style, float]
    """The median of one physical batch, by style."""


def choose_style(
    model: IsolatedModel, like: Batch, *, randomness: SystemRandomness, physical_batch: int = 64, repeats: int = 5
) -> StyleChoice:
    """Time both styles on made-up records. Of `like`, a batch, only structure, shapes and dtypes are looked at.

    Raises:
        TaskError: the task's graph cannot be run on such records.
    """
    seconds: dict[Style, float] = {}
    styles: tuple[Style, ...] = ("ghost", "hooks")
    for style in styles:
        optimizer = torch.optim.SGD(model.module.parameters(), lr=0.0)
        steps = PrivateSteps(
            model,
            optimizer,
            noise_multiplier=0,
            max_grad_norm=1,
            expected_batch_size=1,
            randomness=randomness,
            style=style,
            physical_batch=physical_batch,
        )
        with torch.random.fork_rng():
            made_up = synthetic(like, physical_batch)
            seconds[style] = statistics.median([steps.time_one_pass(made_up) for _ in range(repeats + 1)][1:])
    return StyleChoice(style=min(styles, key=lambda style: seconds[style]), seconds=seconds)


def synthetic(like: Batch, records: int) -> Batch:
    """Made-up records in the shapes of a batch: noise for floating point, zeros for whole numbers."""

    def made_up(leaf: object) -> object:
        if not isinstance(leaf, Tensor):
            return leaf
        shape = (records, *leaf.shape[1:])
        if leaf.is_floating_point():
            return torch.rand(shape, dtype=leaf.dtype, device=leaf.device)
        return torch.zeros(shape, dtype=leaf.dtype, device=leaf.device)

    return pytree.tree_map(made_up, like)
