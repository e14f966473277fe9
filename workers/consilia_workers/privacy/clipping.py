"""Each record's gradient clipped to a norm, and the clipped ones added up (Abadi et al. 2016, arXiv 1607.00133)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from consilia_workers.privacy.gradients import Full, Gradient

MARGIN = 1e-4
"""Clipped to so much less than asked for, that rounding in norms and sums does not carry a record beyond it."""

Sums = dict[nn.Parameter, Tensor]


def clipped_sum(gradients: Sequence[Gradient], unusable: Tensor, max_norm: float) -> Sums:
    """The sum of the lanes' gradients, each scaled down to `max_norm` over all parameters together.

    Lanes that are `unusable`, shape (n,), and those whose gradient is NaN, infinite or absurdly large, count as zero.
    """
    norms = joint_norms(gradients, unusable)
    if not bool(torch.isfinite(norms).all()):
        gradients = without(gradients, ~torch.isfinite(norms))
    weights = (max_norm * (1 - MARGIN) / norms).clamp(max=1).masked_fill(unusable, 0).float()
    return {gradient.parameter: gradient.weighted_sum(weights.to(gradient.parameter.dtype)) for gradient in gradients}


def joint_norms(gradients: Sequence[Gradient], unusable: Tensor) -> Tensor:
    """The norm of each lane's gradient over all parameters, shape (n,), float64; infinite where it is none."""
    squares = torch.zeros(unusable.shape, dtype=torch.float64, device=unusable.device)
    for gradient in gradients:
        squares += gradient.norms().square()
    return torch.nan_to_num(squares, nan=torch.inf, posinf=torch.inf).sqrt()


def without(gradients: Sequence[Gradient], lanes: Tensor) -> list[Gradient]:
    """The gradients with zeros in the lanes of the mask."""
    return [gradient.without(lanes) for gradient in gradients]


def unit_gradients(
    gradients: Sequence[Gradient], unusable: Tensor, unit: Tensor, share: Tensor, units: int
) -> list[Full]:
    """The gradients of units of several lanes: the lanes' own, each times its share.

    `unit` says which unit a lane belongs to, from 0 to `units` - 1, and `share` how much it counts; both of shape (n,).
    """
    norms = joint_norms(gradients, unusable)
    usable = without(gradients, unusable | ~torch.isfinite(norms))
    return [_by_unit(gradient, unit, share, units) for gradient in usable]


def _by_unit(gradient: Gradient, unit: Tensor, share: Tensor, units: int) -> Full:
    whole = gradient.whole()
    weighted = whole * share.to(whole.dtype).view(-1, *[1] * (whole.ndim - 1))
    values = whole.new_zeros(units, *whole.shape[1:]).index_add_(0, unit, weighted)
    return Full(parameter=gradient.parameter, values=values)


def added(first: Sequence[Full], second: Sequence[Full]) -> list[Full]:
    """Gradients of the same units from two passes, added up; a parameter may be missing from one."""
    values = {gradient.parameter: gradient.values for gradient in first}
    for gradient in second:
        before = values.get(gradient.parameter)
        values[gradient.parameter] = gradient.values if before is None else before + gradient.values
    return [Full(parameter=parameter, values=value) for parameter, value in values.items()]
