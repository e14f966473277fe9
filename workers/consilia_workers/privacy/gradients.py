"""The gradients of single records, in the cheapest form from which the same numbers can be measured and added up.

Every form gives the norm of a record's gradient and the sum over records from one and the same numbers. Ghost clipping
as published (Li et al. 2022, arXiv 2110.05679) measures one backward pass and adds up another: a hostile graph can make
the rounding errors of the two differ by more than the clipping norm. What is done here is the book-keeping of Bu et al.
2023 (arXiv 2210.00038), restricted to layers where the norm follows without cancellation.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST = 1e15
"""A norm beyond it is no gradient any more: such a record counts as none, and no product overflows or underflows."""

_BLOCK = 16_384
"""So many squares are added in float32, the rest in float64: the error stays below clipping.MARGIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient(ABC):
    """The gradients of all lanes with respect to one parameter; n is the number of lanes."""

    parameter: nn.Parameter

    @abstractmethod
    def norms(self) -> Tensor:
        """The norm of each lane's gradient, shape (n,), float64; infinite where it is beyond what can be handled."""

    @abstractmethod
    def weighted_sum(self, weights: Tensor) -> Tensor:
        """The sum over lanes, each times its weight; shape of the parameter."""

    @abstractmethod
    def whole(self) -> Tensor:
        """Shape (n, *parameter)."""

    @abstractmethod
    def without(self, lanes: Tensor) -> "Gradient":
        """The same with zeros where the mask of shape (n,) is set, whatever was there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Full(Gradient):
    """Each lane's gradient as it is."""

    values: Tensor
    """Shape (n, *parameter)."""

    def norms(self) -> Tensor:
        """As in `Gradient`."""
        return row_norms(self.values)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """As in `Gradient`."""
        return (weights @ _flat(self.values)).view(self.parameter.shape)

    def whole(self) -> Tensor:
        """As in `Gradient`."""
        return self.values

    def without(self, lanes: Tensor) -> "Full":
        """As in `Gradient`."""
        return Full(parameter=self.parameter, values=cleared(self.values, lanes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer(Gradient):
    """A matrix whose gradient is, for each lane, one column times one row: its norm is the product of theirs."""

    columns: Tensor
    """Shape (n, rows of the parameter)."""
    rows: Tensor
    """Shape (n, columns of the parameter)."""

    def norms(self) -> Tensor:
        """As in `Gradient`."""
        return row_norms(self.columns) * row_norms(self.rows)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """As in `Gradient`."""
        return (self.columns * weights[:, None]).T @ self.rows

    def whole(self) -> Tensor:
        """As in `Gradient`."""
        return self.columns[:, :, None] * self.rows[:, None, :]

    def without(self, lanes: Tensor) -> "Outer":
        """As in `Gradient`."""
        columns, rows = cleared(self.columns, lanes), cleared(self.rows, lanes)
        return Outer(parameter=self.parameter, columns=columns, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(Gradient):
    """A table of which each lane touches few rows; each row at most once."""

    index: Tensor
    """Which rows, shape (n, touched)."""
    values: Tensor
    """Their gradients, shape (n, touched, width); zero where an index is a repetition."""

    def norms(self) -> Tensor:
        """As in `Gradient`."""
        return row_norms(self.values)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """As in `Gradient`."""
        weighted = (self.values * weights[:, None, None]).flatten(0, 1)
        return torch.zeros_like(self.parameter.detach()).index_add_(0, self.index.flatten(), weighted)

    def whole(self) -> Tensor:
        """As in `Gradient`."""
        whole = self.values.new_zeros(len(self.index), *self.parameter.shape)
        return whole.scatter_add_(1, self.index[:, :, None].expand_as(self.values), self.values)

    def without(self, lanes: Tensor) -> "Rows":
        """As in `Gradient`."""
        return Rows(parameter=self.parameter, index=self.index, values=cleared(self.values, lanes))


def row_norms(values: Tensor) -> Tensor:
    """The Euclidean norm of each row (n, ...), shape (n,), float64; infinite where it is NaN or beyond `LARGEST`."""
    flat = _flat(values)
    if flat.shape[1] <= _BLOCK:
        norms = torch.linalg.vector_norm(flat, dim=1).double()
    else:
        blocks = [torch.linalg.vector_norm(block, dim=1).double() for block in torch.split(flat, _BLOCK, dim=1)]
        norms = torch.linalg.vector_norm(torch.stack(blocks), dim=0)
    return torch.where(norms <= LARGEST, norms, torch.inf)


def _flat(values: Tensor) -> Tensor:
    """Shape (n, numbers in a row), also where a row is a single number or none."""
    return values.reshape(len(values), values[0].numel())


def cleared(values: Tensor, lanes: Tensor) -> Tensor:
    """Zeros in the lanes of the mask."""
    return values.masked_fill(lanes.view(-1, *[1] * (values.ndim - 1)), 0)


def without_repetition(index: Tensor, values: Tensor) -> Tensor:
    """Gradients of looked-up rows (n, t, width), added up where an index (n, t) comes again, zero at the repetition."""
    same = index[:, :, None] == index[:, None, :]
    first = ~same.tril(-1).any(2)
    return torch.bmm(same.to(values.dtype) * first[:, :, None], values)


def joined(gradients: list[Gradient]) -> list[Gradient]:
    """One gradient a parameter: those of a parameter that is used several times are added up."""
    by_parameter: dict[nn.Parameter, list[Gradient]] = {}
    for gradient in gradients:
        by_parameter.setdefault(gradient.parameter, []).append(gradient)
    return [parts[0] if len(parts) == 1 else _added(parts) for parts in by_parameter.values()]


def _added(parts: list[Gradient]) -> Full:
    total = parts[0].whole()
    for part in parts[1:]:
        total = total + part.whole()
    return Full(parameter=parts[0].parameter, values=total)


def padded_rows(values: Tensor, first: int, parameter: nn.Parameter) -> Tensor:
    """The gradient (n, few, ...) of some rows of a parameter, as one of the whole parameter."""
    behind = parameter.shape[0] - first - values.shape[1]
    return functional.pad(values, [0, 0] * (values.ndim - 2) + [first, behind])
