"""The layers that are run as a whole, and what each is made from: PyTorch's own, by exact type."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import nn

from consilia.errors import TaskError

_CONVOLUTION = (
    "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode".split()  # noqa: SIM905
)
_INSTANCE_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
_RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
_ATTENTION = ("embed_dim", "num_heads", "dropout", "bias", "kdim", "vdim", "batch_first")

CONSTRUCTORS: Final[Mapping[type[nn.Module], tuple[str, ...]]] = MappingProxyType(
    {
        nn.Linear: ("in_features", "out_features", "bias"),
        nn.Conv1d: tuple(_CONVOLUTION),
        nn.Conv2d: tuple(_CONVOLUTION),
        nn.Conv3d: tuple(_CONVOLUTION),
        nn.Embedding: ("num_embeddings", "embedding_dim", "padding_idx"),
        nn.LayerNorm: ("normalized_shape", "eps", "elementwise_affine", "bias"),
        nn.RMSNorm: ("normalized_shape", "eps", "elementwise_affine"),
        nn.GroupNorm: ("num_groups", "num_channels", "eps", "affine"),
        nn.InstanceNorm1d: _INSTANCE_NORM,
        nn.InstanceNorm2d: _INSTANCE_NORM,
        nn.InstanceNorm3d: _INSTANCE_NORM,
        nn.LSTM: _RECURRENT,
        nn.GRU: _RECURRENT,
        nn.RNN: (*_RECURRENT, "nonlinearity"),
        nn.MultiheadAttention: _ATTENTION,
    }
)
"""Constructor arguments by type; each is an attribute of the same name, apart from `bias` where that is a tensor."""

BY_NAME: Final[Mapping[str, type[nn.Module]]] = MappingProxyType({kind.__name__: kind for kind in CONSTRUCTORS})

_MUST_BE: Mapping[str, object] = MappingProxyType(
    {
        "padding_mode": "zeros",
        "track_running_stats": False,
        "max_norm": None,
        "scale_grad_by_freq": False,
        "sparse": False,
        "proj_size": 0,
        "bias_k": None,
        "add_zero_attn": False,
    }
)
"""Attributes that mix records, write into parameters, or that we do not compute."""


def arguments_of(layer: nn.Module, path: str) -> dict[str, Any]:
    """The constructor arguments that a layer was made from.

    Raises:
        TaskError: it is set up in a way that is not supported; names the layer and the attribute.
    """
    for attribute, only in _MUST_BE.items():
        if (found := getattr(layer, attribute, only)) != only:
            message = f"the layer {path} ({type(layer).__name__}) has {attribute}={found!r}."
            raise TaskError(message, remedy=f"Set {attribute} to {only!r}, or leave it away.")
    return {name: _argument(layer, name) for name in CONSTRUCTORS[type(layer)]}


def _argument(layer: nn.Module, name: str) -> object:
    if name == "bias" and isinstance(layer, nn.MultiheadAttention):
        return layer.in_proj_bias is not None
    value = getattr(layer, name)
    return value is not None if name == "bias" and not isinstance(value, bool) else value


_LARGEST: Mapping[str, int] = MappingProxyType({"num_layers": 64, "num_heads": 4096})
_LARGEST_NUMBER = 2**24


def make_layer(type_name: str, path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """An empty layer of one of the types, its parameters without memory.

    Raises:
        TaskError: the type is not on the list, or the arguments are not those of such a layer; names the layer.
    """
    kind = BY_NAME.get(type_name)
    if kind is None:
        remedy = f"Use one of {', '.join(sorted(BY_NAME))}."
        raise TaskError(f"the layer {path} is of the type {type_name}, which cannot be run.", remedy=remedy)
    if not set(arguments) <= set(CONSTRUCTORS[kind]):
        raise TaskError(f"the layer {path} ({type_name}) has arguments that such a layer has not.")
    for name, value in arguments.items():
        _refuse_outlandish(f"the layer {path} ({type_name})", name, value)
    try:
        with torch.device("meta"):
            layer = kind(**arguments)
        arguments_of(layer, path)  # of what was made, not of what was said
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        raise TaskError(f"the layer {path} ({type_name}) cannot be made: {error}.") from error
    return layer


def _refuse_outlandish(who: str, name: str, value: object) -> None:
    match value:
        case None | bool() | float():
            fine = True
        case int():
            fine = abs(value) <= _LARGEST.get(name, _LARGEST_NUMBER)
        case str():
            fine = len(value) <= 20
        case tuple() | list():
            fine = len(value) <= 8 and all(isinstance(n, int) and abs(n) <= _LARGEST_NUMBER for n in value)
        case _:
            fine = False
    if not fine:
        raise TaskError(f"{who} has an argument {name} that no such layer has.")
