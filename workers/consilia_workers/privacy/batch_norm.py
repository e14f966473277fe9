"""Batch normalisation mixes the records of a batch; group normalisation takes its place (Wu and He 2018)."""

import copy
import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from consilia.errors import TaskError

_GROUPS = 32
"""The paper's choice, and that of Opacus' ModuleValidator.fix: so many groups, or the most that divide the channels."""


def without_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of the model with every batch normalisation replaced by a group normalisation.

    Weight and bias start as 1 and 0; running statistics are gone. The names of what remains stay.
    """
    if isinstance(model, _BatchNorm):
        return _replacement(model)
    changed = copy.deepcopy(model)
    for parent in list(changed.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, _replacement(child))
    return changed


def refuse_batch_norm(layer: nn.Module, path: str) -> None:
    """No batch normalisation in a private task.

    Raises:
        TaskError: the layer is one; names it and what to write instead.
    """
    if isinstance(layer, _BatchNorm):
        new = _replacement(layer)
        raise TaskError(
            f"the layer {path} is a {type(layer).__name__}, which mixes the records of a batch.",
            remedy=f"Replace it by nn.GroupNorm({new.num_groups}, {new.num_channels}).",
        )


def _replacement(layer: _BatchNorm) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(_GROUPS, layer.num_features), layer.num_features, affine=layer.affine)
