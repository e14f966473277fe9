"""Arguments of operations, from Python's values to plain data and back."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from consilia.errors import TaskError
from consilia_workers.privacy.graph import (
    Argument,
    Dots,
    DType,
    Integer,
    Items,
    Nothing,
    Real,
    Reference,
    Slice,
    Table,
    Text,
    Truth,
)


def encoded(value: object, where: str) -> Argument:  # noqa: PLR0911, C901 (one case a kind)
    """A value as plain data. `where` says in an error whose argument it is.

    Raises:
        TaskError: the value is of a kind that does not travel.
    """
    match value:
        case None:
            return Nothing()
        case bool():
            return Truth(value=value)
        case int():
            return Integer(value=value)
        case float():
            return Real(value=repr(value))
        case str():
            return Text(value=value)
        case torch.dtype():
            return DType.model_validate({"value": str(value).removeprefix("torch.")})
        case fx.Node():
            return Reference(name=value.name)
        case slice():
            start, stop, step = (encoded(part, where) for part in (value.start, value.stop, value.step))
            return Slice(start=start, stop=stop, step=step)
        case tuple() | list():
            kind = "list" if isinstance(value, list) else "tuple"
            return Items.model_validate({"kind": kind, "items": tuple(encoded(part, where) for part in value)})
        case dict():
            return Table(items={key: encoded(part, where) for key, part in value.items()})
        case _ if value is ...:
            return Dots()
    message = f"{where} is given a {type(value).__name__}, which cannot be written down."
    raise TaskError(message, remedy="Give it tensors, numbers, strings, or tuples of them.")


Resolve = Callable[[str], Any]


def decoded(argument: Argument, resolve: Resolve) -> Any:  # noqa: ANN401, PLR0911 (whatever the argument is)
    """The value that plain data stands for; `resolve` gives the value of a node by its name."""
    match argument:
        case Reference(name=name):
            return resolve(name)
        case Real():
            return argument.number
        case DType(value=value):
            return getattr(torch, value)
        case Slice(start=start, stop=stop, step=step):
            return slice(decoded(start, resolve), decoded(stop, resolve), decoded(step, resolve))
        case Items(kind=kind, items=items):
            values = [decoded(item, resolve) for item in items]
            return values if kind == "list" else tuple(values)
        case Table(items=table):
            return {key: decoded(value, resolve) for key, value in table.items()}
        case Nothing():
            return None
        case Dots():
            return ...
        case Integer(value=value) | Text(value=value) | Truth(value=value):
            return value


def constant(argument: Argument) -> Any:  # noqa: ANN401 (whatever the argument is)
    """The value of an argument that refers to no node, such as a constructor's.

    Raises:
        TaskError: it refers to one.
    """

    def refuse(name: str) -> object:
        raise TaskError(f"a layer of the task's graph is made from the node {name}.")

    return decoded(argument, refuse)
