"""Operations between layers, run under torch.vmap on one record each.

`torch.vmap` gives every operation the tensor of one record; a batch of exactly one is put before it, for the task's
code to find the shape that it knows: `x - x.mean(0)` subtracts a record from itself. That is as good as PyTorch's
batching rules, and some look things up in all lanes' memory without a look at the index. So two lists do have to be
right: the operations that are allowed, each compared bit by bit in the tests, and those of them whose indices are
brought into range first (`indices.GUARDS`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from consilia.errors import TaskError
from consilia_workers.privacy.encoding import constant, decoded
from consilia_workers.privacy.graph import Argument, Items, Node, Reference, references
from consilia_workers.privacy.indices import GUARDS, Guard, Marks
from consilia_workers.privacy.operations import DROPOUT, FUNCTIONS, METHODS, Function, settled

Values = dict[str, Any]
"""What the nodes so far have given, by name. Tensors in it have one row a lane."""


class OperationError(Exception):
    """An operation failed; says which. What PyTorch said of it is the cause, and may quote a record's values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One node between layers, its function looked up and its arguments ready to be filled in."""

    name: str
    target: str
    function: Function
    args: Callable[[Values], tuple[Any, ...]]
    kwargs: Mapping[str, Callable[[Values], Any]]
    drops: bool
    """Whether it is dropout."""
    guard: Guard | None
    """What keeps its indices in range, where it has any."""

    def run(self, values: Values, marks: Marks, *, training: bool) -> Any:  # noqa: ANN401 (whatever the function gives)
        """What it gives for one record; `marks` takes whether an index of it was out of range.

        Raises:
            OperationError: it failed.
        """
        kwargs = {key: fill(values) for key, fill in self.kwargs.items()}
        if self.drops:
            kwargs["training"] = training and kwargs.get("training", True)
        try:
            args = self.args(values)
            if self.guard:
                args, kwargs, found = self.guard.ready(args, kwargs)
                marks += found
            return _plain(self.function(*args, **kwargs))
        except Exception as error:
            raise OperationError(f"{self.target} ({self.name})") from error


_PLAIN = (Tensor, int, float, type(None), torch.Size, torch.dtype, torch.device)


def _plain(result: Any) -> Any:  # noqa: ANN401 (whatever an operation gives)
    """The result of an operation, if it is of tensors and plain values.

    A tensor written out as text would show all lanes, and a container that pytree does not know would carry one past
    the end of vmap.
    """
    for leaf in () if isinstance(result, Tensor) else pytree.tree_leaves(result):
        if not isinstance(leaf, _PLAIN):
            raise TypeError(f"it gave a {type(leaf).__name__}")
    return result


def operation(node: Node) -> Operation:
    """A node made ready.

    Raises:
        TaskError: it is not on the list of what is allowed; names it.
    """
    table = FUNCTIONS if node.op == "function" else METHODS
    if (function := table.get(node.target)) is None:
        message = f"the task's graph uses {node.target}, which a private task may not."
        raise TaskError(message, remedy="Use another operation.")
    positional = tuple(_sketched(argument) for argument in node.args)
    named = {key: _sketched(argument) for key, argument in node.kwargs.items()}
    kept = settled(node.target, function, positional, named)
    drops = node.target in DROPOUT
    if drops and len(node.args) > 2:
        raise TaskError(f"the task's graph calls {node.target} with a mode.", remedy="Give it p alone.")
    return Operation(
        name=node.name,
        target=node.target,
        function=function,
        args=filler(Items(kind="tuple", items=node.args)),
        kwargs={key: filler(node.kwargs[key]) for key in kept},
        drops=drops,
        guard=GUARDS.get(node.target.rpartition(".")[2]),
    )


def _sketched(argument: Argument) -> Any:  # noqa: ANN401 (whatever the argument is)
    """An argument for checks before anything has run: a node stands for its own value."""
    return decoded(argument, lambda _name: _sketched)


def filler(argument: Argument) -> Callable[[Values], Any]:
    """What makes the argument's value from those of the nodes: work once what can be worked out once."""
    match argument:
        case Reference(name=name):
            return itemgetter(name)
        case _ if not any(True for _ in references(argument)):
            value = constant(argument)
            return lambda _values: value
        case Items(kind=kind, items=items):
            parts = [filler(item) for item in items]
            if kind == "list":
                return lambda values: [part(values) for part in parts]
            return lambda values: tuple(part(values) for part in parts)
        case _:
            return lambda values: decoded(argument, values.__getitem__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Island:
    """Operations with no layer between them: one call of torch.vmap."""

    operations: tuple[Operation, ...]
    inputs: tuple[str, ...]
    """Nodes elsewhere, or the batch, that the operations need."""
    outputs: tuple[str, ...]
    """Nodes of the island that are needed elsewhere."""

    def run(self, values: Values, shared: Mapping[str, Tensor], *, lanes: int, training: bool) -> tuple[Values, Marks]:
        """What the outputs are for all lanes, from the values so far and what all records share.

        And masks of the lanes in which an index was out of range, each (lanes,); what came of those counts for nothing.

        Raises:
            OperationError: an operation failed.
        """
        leaves, spec = pytree.tree_flatten([values[name] for name in self.inputs])
        rows = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        rest: list[Any] = []

        def one_record(_lane: Tensor, *own: Tensor) -> tuple[tuple[Tensor, ...], Marks]:
            marks: Marks = []
            given = iter(own)
            filled = [next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            local = dict(shared) | dict(zip(self.inputs, pytree.tree_unflatten(filled, spec), strict=True))
            for step in self.operations:
                local[step.name] = step.run(local, marks, training=training)
            return _parted([local[name] for name in self.outputs], rest), marks

        lane = torch.empty(lanes, 0, device=_device(rows))
        found, broken = torch.vmap(one_record, randomness="different")(lane, *rows)
        return dict(zip(self.outputs, _together(found, rest), strict=True)), broken


def _device(rows: list[Tensor]) -> torch.device:
    return rows[0].device if rows else torch.device("cpu")


def _parted(outputs: list[Any], rest: list[Any]) -> tuple[Tensor, ...]:
    """The tensors of the outputs; `rest` takes their structure and whatever is no tensor, such as a shape.

    What is no tensor is the same for all records: under vmap nothing turns a tensor's values into Python's.
    """
    leaves, spec = pytree.tree_flatten(outputs)
    rest[:] = [spec, [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]]
    rest.append([isinstance(leaf, Tensor) for leaf in leaves])
    return tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))


def _together(tensors: tuple[Tensor, ...], rest: list[Any]) -> list[Any]:
    spec, others, are_tensors = rest
    found = iter(tensors)
    leaves = [next(found) if is_tensor else other for other, is_tensor in zip(others, are_tensors, strict=True)]
    return list(pytree.tree_unflatten(leaves, spec))
