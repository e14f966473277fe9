"""Numbers by which an operation looks something up, kept in range: PyTorch does not always look, or looks too late.

Under `torch.vmap` some lookups lay the tables of all lanes end to end and add a lane's place to its index: one beyond
its own table reads its neighbour's. On a GPU a wrong index ends the whole process, which would tell of one record. So
what a lane looks up by is compared with what there is before the operation runs; where it is beyond that, 0 takes its
place and the lane is marked as broken. The same is done to numbers that a kernel asserts to lie between 0 and 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

Given = dict[str, Any]
"""What an operation is called with, by the names of its parameters."""
Marks = list[Tensor]
"""Whether something was beyond its range, one truth value a lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """How one operation's indices are checked."""

    names: tuple[str, ...]
    """All its parameters, the positional ones first and in order."""
    check: Callable[[Given], Marks]
    """Puts what is in range into the place of what was given."""

    def ready(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any], Marks]:
        """Arguments that the operation can be called with, and the marks of what was changed.

        Raises:
            TypeError: it is called by other names than are known, or with an index of an unknown kind.
            IndexError: an index that is the same for all records is out of range.
        """
        given = dict(zip(self.names, args, strict=False)) | kwargs
        if len(args) > len(self.names) or not kwargs.keys() <= set(self.names[len(args) :]):
            raise TypeError(f"it takes {', '.join(self.names)}, each once")
        marks = self.check(given)
        return tuple(given.pop(name) for name in self.names[: len(args)]), given, marks


def _kept(given: Given, name: str, low: int, high: int, spared: int | None = None) -> Marks:
    """Whole numbers from `low` to below `high`, or `spared`."""
    index = given.get(name)
    if not isinstance(index, Tensor) or index.is_floating_point() or index.dtype is torch.bool:
        return []  # which the operation refuses, or takes for something else than an index
    index = index.long()
    beyond = (index < low) | (index >= high)
    return _replaced(given, name, index, beyond if spared is None else beyond & (index != spared))


def _kept_share(given: Given, name: str) -> Marks:
    """Numbers from 0 to 1."""
    values = given.get(name)
    if not isinstance(values, Tensor):
        return []
    return _replaced(given, name, values, ~((values >= 0) & (values <= 1)))


def _replaced(given: Given, name: str, values: Tensor, beyond: Tensor) -> Marks:
    mark = beyond.any()
    if not is_own(mark):
        if bool(mark):
            raise IndexError("an index that is the same for all records is out of range")
        return []
    given[name] = values.masked_fill(beyond, 0)
    return [mark]


def is_own(value: Tensor) -> bool:
    """Whether a value inside of vmap differs from lane to lane."""
    return bool(torch._C._functorch.is_batchedtensor(value))  # noqa: SLF001 (PyTorch has no other way to ask)


def _length(table: Tensor, dim: int) -> int:
    return table.shape[dim] if table.ndim else 1


def _along(given: Given) -> Marks:
    return _kept(given, "index", 0, _length(given["input"], given["dim"]))


def _along_any(given: Given) -> Marks:
    table, dim = given["input"], given.get("dim")
    length = table.numel() if dim is None else _length(table, dim)
    marks = _kept(given, "indices", -length, length)
    if marks:  # counted from the end, which not every kernel knows of
        given["indices"] = torch.where(given["indices"] < 0, given["indices"] + length, given["indices"])
    return marks


def _classes(given: Given) -> Marks:
    scores = given["input"]
    return _kept(given, "target", 0, _length(scores, min(scores.ndim - 1, 1)), given.get("ignore_index", -100))


def _class_or_end(given: Given) -> Marks:
    """A list of classes, which ends with -1."""
    return _kept(given, "target", -1, _length(given["input"], -1))


def _counted(given: Given) -> Marks:
    return _kept(given, "input", 0, given["num_classes"]) if given.get("num_classes", -1) > 0 else []


def _same_for_all(given: Given) -> Marks:
    """Repeats of its own would give each lane a length of its own; where lengths differ, all lanes would fail."""
    if "repeats" not in given or isinstance(given["repeats"], Tensor):
        raise TypeError("how often it repeats must be a number")
    return []


def _subscripts(given: Given) -> Marks:
    """Every tensor of an index such as `x[:, i, ..., None]`."""
    table, index = given["input"], given["index"]
    parts = list(index) if isinstance(index, tuple) else [index]
    if not isinstance(table, Tensor) or not any(isinstance(part, Tensor | list) for part in parts):
        return []
    takes = [_dimensions(part) for part in parts]
    rest = table.ndim - sum(taken for taken in takes if taken is not None)
    marks: Marks = []
    place = 0
    for number, taken in enumerate(takes):
        if isinstance(parts[number], Tensor) and parts[number].dtype is not torch.bool:
            own = {"index": parts[number]}
            marks += _kept(own, "index", -table.shape[place], table.shape[place])
            parts[number] = own["index"]
        place += rest if taken is None else taken
    given["index"] = tuple(parts)
    return marks


def _dimensions(part: object) -> int | None:
    """How many dimensions a part of an index takes; None for the ellipsis, which takes what is left.

    Raises:
        TypeError: it is a mask that differs from lane to lane, or a list of other things than numbers.
    """
    match part:
        case None | bool():
            return 0
        case Tensor() if part.dtype is torch.bool and not is_own(part):
            return part.ndim
        case Tensor() if part.dtype not in (torch.bool, torch.uint8) and not part.is_floating_point():
            return 1
        case list() if all(isinstance(number, int) and not isinstance(number, bool) for number in part):
            return 1
        case int() | slice():
            return 1
        case _ if part is ...:
            return None
    raise TypeError("an index is made of whole numbers, slices, None, ... and tensors of int64")


_LOSS = ("input", "target", "weight", "size_average", "ignore_index", "reduce", "reduction", "label_smoothing")
_MARGIN = ("input", "target", "p", "margin", "weight", "size_average", "reduce", "reduction")
_REPEATED = ("input", "repeats", "dim", "output_size")

GUARDS: Mapping[str, Guard] = MappingProxyType(
    {
        "gather": Guard(names=("input", "dim", "index", "sparse_grad"), check=_along),
        "index_select": Guard(names=("input", "dim", "index"), check=_along),
        "index_add": Guard(names=("input", "dim", "index", "source", "alpha"), check=_along),
        "index_copy": Guard(names=("input", "dim", "index", "source"), check=_along),
        "scatter": Guard(names=("input", "dim", "index", "src", "value", "reduce"), check=_along),
        "scatter_add": Guard(names=("input", "dim", "index", "src"), check=_along),
        "take_along_dim": Guard(names=("input", "indices", "dim"), check=_along_any),
        "getitem": Guard(names=("input", "index"), check=_subscripts),
        "one_hot": Guard(names=("input", "num_classes"), check=_counted),
        "cross_entropy": Guard(names=_LOSS, check=_classes),
        "nll_loss": Guard(names=_LOSS[:-1], check=_classes),
        "multi_margin_loss": Guard(names=_MARGIN, check=_classes),
        "multilabel_margin_loss": Guard(
            names=("input", "target", "size_average", "reduce", "reduction"), check=_class_or_end
        ),
        "repeat_interleave": Guard(names=_REPEATED, check=_same_for_all),
        "quantile": Guard(
            names=("input", "q", "dim", "keepdim", "interpolation"), check=lambda given: _kept_share(given, "q")
        ),
        "binary_cross_entropy": Guard(
            names=("input", "target", "weight", "size_average", "reduce", "reduction"),
            check=lambda given: _kept_share(given, "input"),
        ),
    }
)
"""The operations that look something up, by the last part of their names: as functions and as methods alike."""
