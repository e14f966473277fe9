"""A task's model, loss and prediction, run on many records at once, none of which can see another.

All records of a pass lie in lanes, always the same number of them: empty lanes are filled with zeros. How a matrix
product rounds depends on how many rows it has, and on a row's place among them; a hostile graph could blow a last bit
up, and a record's presence would show in the results of the others. With a fixed number of lanes, what comes of a
record depends on nothing but itself and its lane; who needs more lets the lane not depend on the others either.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from consilia.errors import DataError, TaskError
from consilia_workers.privacy.graph import BATCH
from consilia_workers.privacy.islands import Island, OperationError, Values
from consilia_workers.privacy.layers import expanded, run_layer
from consilia_workers.privacy.planning import LayerCall, ParameterLook, Plan
from consilia_workers.privacy.tape import Tape
from consilia_workers.task import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One pass of the loss, ready for the gradients of its records."""

    losses: Tensor
    """One a lane, shape (lanes,); with a way back to the parameters."""
    tape: Tape
    unusable: Tensor
    """Lanes that hold no record, or one that the task's operations fail on; shape (lanes,), bool."""


Place = tuple[nn.Module, str]
"""Where a tensor is kept: the module, and its name there. Moving a module to another device replaces its buffers."""


class IsolatedModel:
    """What `rebuild` gives: the model as a module of its own, and the task's functions over it."""

    def __init__(self, module: nn.Module, *, places: dict[str, Place], loss: Plan, predict: Plan, lanes: int) -> None:
        """`places` says where in `module` everything is that the plans refer to."""
        self.module = module
        """Parameters and buffers under the names that they have in the task's model, and in its order."""
        self.lanes = lanes
        self._places = places
        self._loss, self._predict = loss, predict

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.module.parameters()).device

    def to(self, device: torch.device) -> Self:
        """Move everything; parameters stay the same objects."""
        self.module.to(device)
        return self

    def train(self) -> Self:
        """Let dropout drop."""
        self.module.train()
        return self

    def eval(self) -> Self:
        """Keep dropout from dropping."""
        self.module.eval()
        return self

    def with_lanes(self, lanes: int) -> "IsolatedModel":
        """The same model, sharing its parameters, with another number of records at once."""
        return IsolatedModel(self.module, places=self._places, loss=self._loss, predict=self._predict, lanes=lanes)

    def recorded(self, batch: Batch, lanes: Tensor | None = None) -> Recorded:
        """One pass of the loss over at most `self.lanes` records, for their gradients.

        `lanes` says where each record goes, shape (n,), no two in one place; without it they go to the first ones.

        Raises:
            TaskError: the graph cannot be run on such records, whatever their values are.
            DataError: the batch is not made of tensors of one length.
        """
        places = torch.arange(length_of(batch)) if lanes is None else lanes
        rows = self._laned(batch, places)
        losses, tape, failed = self._forgiving(self._loss, rows, recording=True)
        empty = torch.ones(self.lanes, dtype=torch.bool).index_fill_(0, places, value=False).to(failed.device)
        return Recorded(losses=_refuse_other_loss(losses), tape=tape, unusable=failed | empty)

    @torch.no_grad()
    def losses(self, batch: Batch, lanes: Tensor | None = None) -> Tensor:
        """The loss of each record, shape (n,); NaN where the task's operations fail on it.

        `lanes`, as in `recorded`, is for at most `self.lanes` records; without it any number follow one another.

        Raises:
            TaskError: the graph cannot be run on such records, whatever their values are.
            DataError: the batch is not made of tensors of one length.
        """
        return torch.cat([_refuse_other_loss(found)[own] for found, own in self._passes(self._loss, batch, lanes)])

    @torch.no_grad()
    def predictions(self, batch: Batch, lanes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores and targets, shapes (n,) and (n,), or (n, classes) and (n,); `lanes` as in `losses`.

        Raises:
            TaskError: the graph cannot be run on such records, or gives something else.
            DataError: the batch is not made of tensors of one length.
        """
        found = [(_refuse_other_prediction(pair), own) for pair, own in self._passes(self._predict, batch, lanes)]
        scores, targets = (torch.cat([pair[k][own] for pair, own in found]) for k in (0, 1))
        return scores, targets

    def _passes(self, graph: Plan, batch: Batch, lanes: Tensor | None) -> Iterator[tuple[Any, Tensor]]:
        """What comes of each pass, and the lanes of its records in their order."""
        if lanes is not None:
            yield self._one_pass(graph, batch, lanes), lanes.to(self.device)
            return
        for start in range(0, length_of(batch), self.lanes):
            part = part_of(batch, slice(start, start + self.lanes))
            places = torch.arange(length_of(part))
            yield self._one_pass(graph, part, places), places.to(self.device)

    def _one_pass(self, graph: Plan, part: Batch, places: Tensor) -> Any:  # noqa: ANN401 (what the graph gives)
        found, _tape, failed = self._forgiving(graph, self._laned(part, places), recording=False)
        return pytree.tree_map(lambda value: _without(value, failed), found)

    def _laned(self, batch: Batch, places: Tensor) -> Batch:
        """The records in their lanes, zeros in the others."""
        in_order = torch.equal(places, torch.arange(self.lanes))

        def put(leaf: object) -> object:
            if not isinstance(leaf, Tensor) or in_order:
                return leaf
            lanes = leaf.new_zeros(self.lanes, *leaf.shape[1:])
            return lanes.index_copy_(0, places.to(leaf.device), leaf)

        return pytree.tree_map(put, batch)

    def _forgiving(self, graph: Plan, rows: Batch, *, recording: bool) -> tuple[Any, Tape, Tensor]:
        """A graph's output, and in which lanes an operation fails: there it was run on zeros instead.

        An error that depended on a record would tell of it; so does its text, which is never passed on.
        """
        none = torch.zeros(self.lanes, dtype=torch.bool, device=self.device)
        with suppress(OperationError):
            return self._run(graph, rows, none, recording=recording)
        # No longer while handling the error, or it would hang on to the next one as its context.
        failing = self._failing(graph, rows)
        return self._run(graph, _cleared(rows, failing), failing, recording=recording)

    @torch.no_grad()
    def _failing(self, graph: Plan, rows: Batch) -> Tensor:
        """The lanes whose record an operation fails on, each tried with zeros in all others.

        Raises:
            TaskError: the operation fails on zeros as well: it is not about a record's values.
        """
        everywhere = torch.ones(self.lanes, dtype=torch.bool, device=self.device)
        try:
            self._run(graph, _cleared(rows, everywhere), everywhere, recording=False)
        except OperationError as error:
            message = f"the task's graph cannot be run: {error} failed: {error.__cause__}"
            raise TaskError(message, remedy="Look whether it works on a batch of one record.") from error
        failing = everywhere.clone()
        for lane in range(self.lanes):
            others = everywhere.clone()
            others[lane] = False
            failing[lane] = not self._runs(graph, _cleared(rows, others))
        return failing

    def _runs(self, graph: Plan, rows: Batch) -> bool:
        try:
            none = torch.zeros(self.lanes, dtype=torch.bool, device=self.device)
            self._run(graph, rows, none, recording=False)
        except OperationError:
            return False
        return True

    def _run(self, graph: Plan, rows: Batch, failed: Tensor, *, recording: bool) -> tuple[Any, Tape, Tensor]:
        training = self.module.training
        tape = Tape(lanes=self.lanes, recording=recording, training=training)
        shared = {node: self._tensor(name).detach() for node, name in graph.shared.items()}
        values: Values = {BATCH: pytree.tree_map(lambda leaf: leaf.unsqueeze(1) if _is_tensor(leaf) else None, rows)}
        for step in graph.steps:
            match step:
                case Island():
                    found, marks = step.run(values, shared, lanes=self.lanes, training=training)
                    values |= found
                    tape.broken += marks
                case ParameterLook(name=name, target=target):
                    values[name] = tape.parameter(cast("nn.Parameter", self._tensor(target)))
                case LayerCall():
                    values[step.name] = self._called(step, values, shared, tape)
        broken = torch.stack([failed, *tape.broken]).any(0)
        return graph.output(values), tape, broken

    def _tensor(self, name: str) -> Tensor:
        module, key = self._places[name]
        return cast("Tensor", getattr(module, key))

    def _called(self, step: LayerCall, values: Values, shared: dict[str, Tensor], tape: Tape) -> object:
        everything = values | {name: expanded(tensor, self.lanes) for name, tensor in shared.items()}
        kwargs = {key: fill(everything) for key, fill in step.kwargs.items()}
        try:
            return run_layer(self.module.get_submodule(step.path), step.path, tape, step.args(everything), kwargs)
        except TaskError:
            raise
        except Exception as error:
            raise OperationError(f"the layer {step.path}") from error


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def length_of(batch: Batch) -> int:
    """How many records a batch holds.

    Raises:
        DataError: its tensors have different lengths, or there is none.
    """
    lengths = {len(leaf) if leaf.ndim else -1 for leaf in pytree.tree_leaves(batch) if isinstance(leaf, Tensor)}
    if len(lengths) != 1 or -1 in lengths:
        raise DataError("the tensors of a batch have no common length.", remedy="Give each record as tensors.")
    return lengths.pop()


def part_of(batch: Batch, rows: slice | Tensor) -> Batch:
    """Some of a batch's records."""
    return pytree.tree_map(lambda leaf: leaf[rows] if isinstance(leaf, Tensor) else leaf, batch)


def _cleared(rows: Batch, lanes: Tensor) -> Batch:
    """Zeros in the lanes of the mask."""

    def clear(leaf: Tensor) -> Tensor:
        return leaf.masked_fill(lanes.to(leaf.device).view(-1, *[1] * (leaf.ndim - 1)), 0)

    return pytree.tree_map(lambda leaf: clear(leaf) if isinstance(leaf, Tensor) else leaf, rows)


def _without(value: object, failed: Tensor) -> object:
    """NaN instead of what came of zeros; whole numbers have none, and stay."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return value.masked_fill(failed.view(-1, *[1] * (value.ndim - 1)), torch.nan)


def _refuse_other_loss(losses: object) -> Tensor:
    if not isinstance(losses, Tensor) or losses.ndim != 1 or not losses.is_floating_point():
        shape = f"a tensor of shape {tuple(losses.shape[1:])}" if isinstance(losses, Tensor) else type(losses).__name__
        raise TaskError(f"the task's loss() gave {shape}, not one number.", remedy="Return the mean over the batch.")
    return losses


def _refuse_other_prediction(found: object) -> tuple[Tensor, Tensor]:
    match found:
        case (Tensor() as scores, Tensor() as targets):
            fits = scores.ndim in (2, 3) and targets.ndim == 2 and scores.shape[1] == targets.shape[1] == 1
            if fits and (scores.ndim == 2 or scores.shape[2] > 1):
                return scores.squeeze(1), targets.squeeze(1)
    message = "the task's predict() does not give scores and targets of a batch of one record."
    raise TaskError(message, remedy="Give shapes (n,) and (n,), or (n, classes) and (n,); squeeze(1) helps.")
