"""What the trainable layers of one pass were given and gave: enough for each record's gradient, from one backward pass.

Layers compute with detached parameters, so autograd only carries gradients back to their outputs; what those mean for
the parameters is worked out here, lane by lane.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from consilia_workers.privacy.gradients import Full, Gradient, Outer, joined, padded_rows

Formula = Callable[[Tensor], list[Gradient]]
"""From the gradient with respect to a layer's output to those with respect to its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Linear:
    """One matrix product: with `first` not None, only some rows of the parameters, from that one on."""

    weight: nn.Parameter
    bias: nn.Parameter | None
    first: int | None
    given: Tensor
    gave: Tensor

    @property
    def key(self) -> tuple[int, int, int | None]:
        return id(self.weight), id(self.bias), self.first


@dataclass(slots=True, kw_only=True)
class Tape:
    """The record of one pass over `lanes` records."""

    lanes: int
    recording: bool
    """Whether gradients will be wanted."""
    training: bool
    """Whether dropout drops."""
    broken: list[Tensor] = field(default_factory=list)
    """Masks of lanes whose record cannot be computed with, such as an index beyond a table."""
    _linear: list[_Linear] = field(default_factory=list)
    _others: list[tuple[Tensor, Formula]] = field(default_factory=list)

    def linear(
        self, given: Tensor, weight: nn.Parameter, bias: nn.Parameter | None, rows: tuple[int, int] | None = None
    ) -> Tensor:
        """A matrix product of (lanes, ..., columns of the weight), or of only some rows of weight and bias."""
        chosen = slice(*rows) if rows else slice(None)
        gave = functional.linear(given, weight.detach()[chosen], None if bias is None else bias.detach()[chosen])
        if self._wanted(weight, bias):
            first = rows[0] if rows else None
            call = _Linear(weight=weight, bias=bias, first=first, given=given.detach(), gave=_watched(gave))
            self._linear.append(call)
        return gave

    def other(self, gave: Tensor, formula: Formula, *parameters: nn.Parameter | None) -> Tensor:
        """Note what any other layer gave; returns it."""
        if self._wanted(*parameters):
            self._others.append((_watched(gave), formula))
        return gave

    def parameter(self, parameter: nn.Parameter) -> Tensor:
        """A parameter as every lane's own input, shape (lanes, *parameter)."""
        spread = parameter.detach().expand(self.lanes, *parameter.shape)
        return self.other(spread, lambda gradient: [Full(parameter=parameter, values=gradient)], parameter)

    def _wanted(self, *parameters: nn.Parameter | None) -> bool:
        return self.recording and any(p is not None and p.requires_grad for p in parameters)

    def gradients(self, losses: Tensor, *, outer: bool) -> list[Gradient]:
        """The gradients of all lanes' losses (lanes,), one for each parameter that they depend on.

        With `outer`, a matrix used once a record stays a column and a row for each.
        """
        outputs = [call.gave for call in self._linear] + [gave for gave, _ in self._others]
        if not outputs or not losses.requires_grad:
            return []
        found = torch.autograd.grad(losses, outputs, torch.ones_like(losses), allow_unused=True)
        split = len(self._linear)
        gradients = _of_products(self._linear, found[:split], outer=outer)
        for (_, formula), gradient in zip(self._others, found[split:], strict=True):
            if gradient is not None:
                gradients += formula(gradient)
        return joined(gradients)


def _watched(output: Tensor) -> Tensor:
    return output if output.requires_grad else output.requires_grad_()


def _of_products(calls: list[_Linear], found: tuple[Tensor | None, ...], *, outer: bool) -> list[Gradient]:
    """Calls of the same matrix, such as the steps of a recurrent layer, are one product over all of them."""
    groups: dict[tuple[int, int, int | None], list[tuple[_Linear, Tensor]]] = {}
    for call, gradient in zip(calls, found, strict=True):
        if gradient is not None:
            groups.setdefault(call.key, []).append((call, gradient))
    return [gradient for group in groups.values() for gradient in _of_product(group, outer=outer)]


def _of_product(group: list[tuple[_Linear, Tensor]], *, outer: bool) -> list[Gradient]:
    first = group[0][0]
    given = torch.cat([_as_steps(call.given) for call, _ in group], dim=1)
    back = torch.cat([_as_steps(gradient) for _, gradient in group], dim=1)
    gradients: list[Gradient] = []
    if first.weight.requires_grad:
        gradients.append(_of_matrix(first, given, back, outer=outer))
    if first.bias is not None and first.bias.requires_grad:
        gradients.append(_part(first.bias, first.first, back.sum(1)))
    return gradients


def _of_matrix(call: _Linear, given: Tensor, back: Tensor, *, outer: bool) -> Gradient:
    if outer and given.shape[1] == 1 and call.first is None:
        return Outer(parameter=call.weight, columns=back.squeeze(1), rows=given.squeeze(1))
    return _part(call.weight, call.first, torch.bmm(back.transpose(1, 2), given))


def _part(parameter: nn.Parameter, first: int | None, values: Tensor) -> Full:
    whole = values if first is None else padded_rows(values, first, parameter)
    return Full(parameter=parameter, values=whole)


def _as_steps(values: Tensor) -> Tensor:
    """Shape (n, steps, width)."""
    return values.reshape(len(values), -1, values.shape[-1])
