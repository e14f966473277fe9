"""What a task's model, loss and prediction compute, as plain data: JSON and safetensors, never pickle."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from consilia.errors import TaskError

MOST_NODES = 20_000
DEEPEST = 6
"""How deep lists, tuples and dicts of an argument may nest."""
MOST_BYTES = 4 * 2**30
"""Of constants, buffers and frozen parameters together."""

Role = Literal["trainable", "frozen", "buffer", "constant"]
DTypeName = Literal["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,300}$")]
"""Of a node, a parameter, a layer or a keyword: nothing that could be mistaken for markup in a log."""
Path = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{0,300}$")]
"""Of a layer in the model; empty where the layer is the model."""
Length = Annotated[int, Field(strict=True, ge=0, le=2**40)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(_Part):
    """The value of an earlier node, or of the batch."""

    kind: Literal["node"] = "node"
    name: Name


class Integer(_Part):
    """A whole number."""

    kind: Literal["int"] = "int"
    value: Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]


class Real(_Part):
    """A floating-point number, as the shortest text that gives it back: JSON has neither infinity nor NaN."""

    kind: Literal["float"] = "float"
    value: Annotated[str, StringConstraints(pattern=r"^(-?inf|nan|-?[0-9][0-9.e+-]{0,30})$")]

    @property
    def number(self) -> float:
        """The number that the text stands for."""
        return float(self.value)

    @model_validator(mode="after")
    def _is_a_number(self) -> Self:
        float(self.value)
        return self


class Text(_Part):
    """A short string, such as a reduction or an einsum equation."""

    kind: Literal["text"] = "text"
    value: Annotated[str, StringConstraints(max_length=200)]


class Truth(_Part):
    """True or False."""

    kind: Literal["bool"] = "bool"
    value: StrictBool


class Nothing(_Part):
    """None."""

    kind: Literal["none"] = "none"


class Dots(_Part):
    """The ellipsis of an index."""

    kind: Literal["ellipsis"] = "ellipsis"


class DType(_Part):
    """An element type by its PyTorch name."""

    kind: Literal["dtype"] = "dtype"
    value: DTypeName


class Slice(_Part):
    """A slice of an index."""

    kind: Literal["slice"] = "slice"
    start: "Argument"
    stop: "Argument"
    step: "Argument"


class Items(_Part):
    """A tuple or a list."""

    kind: Literal["tuple", "list"]
    items: Annotated[tuple["Argument", ...], Field(max_length=10_000)]


class Table(_Part):
    """A dict with strings for keys."""

    kind: Literal["dict"] = "dict"
    items: Annotated[dict[Annotated[str, StringConstraints(max_length=200)], "Argument"], Field(max_length=1000)]


Argument = Annotated[
    Reference | Integer | Real | Text | Truth | Nothing | Dots | DType | Slice | Items | Table,
    Field(discriminator="kind"),
]
"""What an operation may be given."""


class Node(_Part):
    """One operation: a function or a tensor's method on the allow-list, a layer's call, or a look at the state."""

    name: Name
    op: Literal["function", "method", "layer", "state"]
    target: Path
    """A function by its qualified name, a method by its own, a layer by its path, a tensor of the state by its name."""
    args: Annotated[tuple[Argument, ...], Field(max_length=1000)] = ()
    kwargs: Annotated[dict[Name, Argument], Field(max_length=100)] = {}


BATCH = "batch"
"""The name under which nodes refer to the batch."""


class Graph(_Part):
    """A computation on one batch: operations in an order in which each needs only earlier ones."""

    nodes: Annotated[tuple[Node, ...], Field(max_length=MOST_NODES)]
    output: Argument

    @model_validator(mode="after")
    def _refers_backwards_only(self) -> Self:
        known = {BATCH}
        for node in self.nodes:
            _refuse_unknown(known, node.name, *node.args, *node.kwargs.values())
            if node.name in known:
                raise ValueError(f"two nodes are called {node.name}")
            known.add(node.name)
        _refuse_unknown(known, "the output", self.output)
        return self


def _refuse_unknown(known: set[str], who: str, *arguments: Argument) -> None:
    for argument in arguments:
        for name in references(argument):
            if name not in known:
                raise ValueError(f"{who} refers to {name}, which is not computed before it")


def references(argument: Argument, depth: int = 0) -> Iterator[str]:
    """The names of all nodes that an argument refers to.

    Raises:
        ValueError: it nests too deep.
    """
    if depth > DEEPEST:
        raise ValueError(f"an argument nests deeper than {DEEPEST}")
    match argument:
        case Reference(name=name):
            yield name
        case _:
            for part in _parts(argument):
                yield from references(part, depth + 1)


def _parts(argument: Argument) -> tuple[Argument, ...]:
    match argument:
        case Slice(start=start, stop=stop, step=step):
            return start, stop, step
        case Items(items=items):
            return items
        case Table(items=table):
            return tuple(table.values())
        case _:
            return ()


class State(_Part):
    """One tensor that the computation knows beside the batch."""

    name: Name
    """As in `model.state_dict()`, in its order; constants and buffers that are not saved come after."""
    shape: Annotated[tuple[Length, ...], Field(max_length=12)]
    dtype: DTypeName
    role: Role
    tied_to: Name | None = None
    """The first name of the same tensor, where it has several."""

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class Layer(_Part):
    """A layer that is run as a whole: one of PyTorch's own, by its type's name and constructor arguments."""

    path: Path
    type: Name
    arguments: Annotated[dict[Name, Argument], Field(max_length=30)]


class GraphDescription(_Part):
    """All that a trusted process needs to train and evaluate a task without running its code."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    version: Literal[1] = 1
    state: Annotated[tuple[State, ...], Field(max_length=100_000)]
    layers: Annotated[tuple[Layer, ...], Field(max_length=MOST_NODES)]
    loss: Graph
    """The loss of a batch, traced in training mode."""
    predict: Graph
    """Scores and targets of a batch, traced in evaluation mode."""
    custom_parameter_groups: StrictBool
    """Whether the task overrides `parameter_groups`, which is not carried over."""
    values: Annotated[bytes, Field(max_length=MOST_BYTES)]
    """A safetensors file of everything in `state` that is neither trainable nor tied."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [entry.name for entry in self.state]
        if len(set(names)) < len(names):
            raise ValueError("two tensors of the state have one name")
        if len({layer.path for layer in self.layers}) < len(self.layers):
            raise ValueError("two layers have one path")
        return self

    def to_json(self) -> str:
        """The whole description as one JSON text, the values in base64."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """A description that came from somebody else.

        Raises:
            TaskError: it is no such JSON text; says where it departs from it.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise TaskError(f"the task's graph is not well formed at {where or 'its top'}: {first['msg']}.") from None
