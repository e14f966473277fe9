"""PyTorch's layers with parameters, run for all lanes at once: each after a check that it cannot see across lanes.

A value has one row a lane, (lanes, *shape), where the shape is what the task's code sees of a batch of one record.
Layers that only know trailing dimensions take any shape; the others insist on a batch of one, and on its place.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from consilia.errors import TaskError
from consilia_workers.privacy.attention import attend
from consilia_workers.privacy.gradients import Full, Gradient, Rows, without_repetition
from consilia_workers.privacy.recurrent import recur
from consilia_workers.privacy.tape import Tape

_REMEDY = "Keep the batch as its first dimension, also where it is one record."


def run_layer(layer: nn.Module, path: str, tape: Tape, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 (a tensor or a tuple)
    """What a layer gives for all lanes, and a note of it on the tape.

    Raises:
        TaskError: its input could make it see across lanes; names the layer.
    """
    try:
        return _RUN[type(layer)](layer, tape, *args, **kwargs)
    except TaskError as error:
        message = f"the layer {path or 'of the model'} ({type(layer).__name__}): {error.message}"
        raise TaskError(message, remedy=error.remedy) from None


def _linear(layer: nn.Linear, tape: Tape, x: Tensor) -> Tensor:
    given, single = _squeezed(x, 1)
    gave = tape.linear(given, own(layer.weight), cast("nn.Parameter | None", layer.bias))
    return gave.unsqueeze(1) if single else gave


def _squeezed(x: Tensor, trailing: int) -> tuple[Tensor, bool]:
    """Without the batch of one that a lane sees, where there is one before the dimensions that the layer works on."""
    if x.ndim < 1 + trailing:
        raise TaskError(f"it is given a tensor of shape {tuple(x.shape[1:])}, which is too flat.", remedy=_REMEDY)
    single = x.ndim > 1 + trailing and x.shape[1] == 1
    return (x.squeeze(1), True) if single else (x, False)


def _batch_of_one(x: Tensor, least: int, most: int) -> Tensor:
    """The lanes as an ordinary batch, for layers that count dimensions from the batch on."""
    if not least <= x.ndim - 1 <= most or x.shape[1] != 1:
        raise TaskError(f"it is given {tuple(x.shape[1:])} for a batch of one record.", remedy=_REMEDY)
    return x.squeeze(1)


def _convolution(dimensions: int, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(layer: nn.Conv2d, tape: Tape, x: Tensor) -> Tensor:
        given = _batch_of_one(x, dimensions + 2, dimensions + 2)
        bias = None if layer.bias is None else layer.bias.detach()
        shape = (layer.stride, layer.padding, layer.dilation, layer.groups)
        gave = function(given, layer.weight.detach(), bias, *shape)
        seen = given.detach()

        def formula(gradient: Tensor) -> list[Gradient]:
            from opacus.grad_sample import GradSampleModule  # noqa: PLC0415 (takes seconds to load; tables need none)

            sampled = GradSampleModule.GRAD_SAMPLERS[type(layer)](layer, [seen], gradient)
            return [Full(parameter=parameter, values=values) for parameter, values in sampled.items()]

        return tape.other(gave, formula, own(layer.weight), cast("nn.Parameter | None", layer.bias)).unsqueeze(1)

    return run


def _embedding(layer: nn.Embedding, tape: Tape, index: Tensor) -> Tensor:
    beyond = (index < 0) | (index >= layer.num_embeddings)
    tape.broken.append(beyond.flatten(1).any(1) if index.ndim > 1 else beyond)
    known = index.masked_fill(beyond, 0)
    gave = functional.embedding(known, layer.weight.detach())
    flat = known.reshape(len(known), -1)

    def formula(gradient: Tensor) -> list[Gradient]:
        back = gradient.reshape(*flat.shape, -1)
        if layer.padding_idx is not None:
            back = back.masked_fill((flat == layer.padding_idx)[:, :, None], 0)
        return [Rows(parameter=own(layer.weight), index=flat, values=without_repetition(flat, back))]

    return tape.other(gave, formula, own(layer.weight))


def _trailing_norm(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Layer and RMS normalisation: over the last dimensions, whatever is before them."""

    def run(layer: nn.LayerNorm, tape: Tape, x: Tensor) -> Tensor:
        trailing = len(layer.normalized_shape)
        given, single = _squeezed(x, trailing)
        plain = function(given, layer.normalized_shape, eps=layer.eps)
        gave = _scaled(layer, tape, plain, (1,) * 0, lambda g: g.reshape(len(g), -1, *layer.normalized_shape).sum(1))
        return gave.unsqueeze(1) if single else gave

    return run


def _channel_norm(least: int, most: int, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Group and instance normalisation: over channels, the dimension after the batch."""

    def run(layer: nn.GroupNorm, tape: Tape, x: Tensor) -> Tensor:
        plain = function(layer, _batch_of_one(x, least, most))
        wide = (1,) * (plain.ndim - 2)
        return _scaled(layer, tape, plain, wide, lambda g: g.reshape(*g.shape[:2], -1).sum(2)).unsqueeze(1)

    return run


def _scaled(
    layer: nn.Module, tape: Tape, plain: Tensor, wide: tuple[int, ...], total: Callable[[Tensor], Tensor]
) -> Tensor:
    """What was normalised, times the layer's weight and plus its bias; `total` adds up what belongs to one element."""
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if weight is None:
        return plain
    gave = plain * weight.detach().view(*weight.shape, *wide)
    gave = gave if bias is None else gave + bias.detach().view(*bias.shape, *wide)
    seen = plain.detach()

    def formula(gradient: Tensor) -> list[Gradient]:
        parts = [(weight, seen * gradient), (bias, gradient)]
        return [Full(parameter=p, values=total(part)) for p, part in parts if p is not None and p.requires_grad]

    return tape.other(gave, formula, weight, bias)


def _group_normalised(layer: nn.Module, x: Tensor) -> Tensor:
    group_norm = cast("nn.GroupNorm", layer)
    return functional.group_norm(x, group_norm.num_groups, eps=group_norm.eps)


def _instance_normalised(layer: nn.Module, x: Tensor) -> Tensor:
    return functional.instance_norm(x, eps=cast("nn.InstanceNorm1d", layer).eps)


_RUN: Mapping[type[nn.Module], Callable[..., Any]] = MappingProxyType(
    {
        nn.Linear: _linear,
        nn.Conv1d: _convolution(1, functional.conv1d),
        nn.Conv2d: _convolution(2, functional.conv2d),
        nn.Conv3d: _convolution(3, functional.conv3d),
        nn.Embedding: _embedding,
        nn.LayerNorm: _trailing_norm(functional.layer_norm),
        nn.RMSNorm: _trailing_norm(functional.rms_norm),
        nn.GroupNorm: _channel_norm(2, 12, _group_normalised),
        nn.InstanceNorm1d: _channel_norm(3, 3, _instance_normalised),
        nn.InstanceNorm2d: _channel_norm(4, 4, _instance_normalised),
        nn.InstanceNorm3d: _channel_norm(5, 5, _instance_normalised),
        nn.LSTM: recur,
        nn.GRU: recur,
        nn.RNN: recur,
        nn.MultiheadAttention: attend,
    }
)


def own(tensor: Tensor) -> nn.Parameter:
    """A layer's tensor as what it is."""
    return cast("nn.Parameter", tensor)


def expanded(value: Tensor, lanes: int) -> Tensor:
    """A value that all lanes share, as one row a lane."""
    return value.expand(lanes, *value.shape)
