"""Multi-head attention (Vaswani et al. 2017), every lane by itself: the batch dimension never meets another."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from consilia.errors import TaskError
from consilia_workers.privacy.tape import Tape


def attend(  # noqa: PLR0913, PLR0917 (the arguments of nn.MultiheadAttention)
    layer: nn.MultiheadAttention,
    tape: Tape,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Outputs and weights of all lanes, in the shapes that the layer itself gives for a batch of one.

    Raises:
        TaskError: an input has no batch of one where `batch_first` says; a mask is of another shape.
    """
    batch = 1 if layer.batch_first else 2
    given = [_sequence(x, batch) for x in (query, key, value)]
    heads = [_projected(layer, tape, x, number) for number, x in enumerate(given)]
    scores = heads[0] @ heads[1].transpose(2, 3) / math.sqrt(layer.head_dim)
    scores = _masked(scores, attn_mask, key_padding_mask, is_causal=is_causal)
    weights = torch.softmax(scores, dim=3)
    mixed = functional.dropout(weights, layer.dropout, training=tape.training) @ heads[2]
    projection = layer.out_proj
    flat = mixed.transpose(1, 2).flatten(2)
    bias = cast("nn.Parameter | None", projection.bias)
    out = tape.linear(flat, cast("nn.Parameter", projection.weight), bias).unsqueeze(batch)
    if not need_weights:
        return out, None
    return out, (weights.mean(1) if average_attn_weights else weights).unsqueeze(1)


def _sequence(x: Tensor, batch: int) -> Tensor:
    """Shape (lanes, steps, width)."""
    if x.ndim != 4 or x.shape[batch] != 1:
        message = f"it is given {tuple(x.shape[1:])} for a batch of one record."
        raise TaskError(message, remedy="Give it three dimensions, the batch where batch_first says.")
    return x.squeeze(batch)


def _projected(layer: nn.MultiheadAttention, tape: Tape, x: Tensor, number: int) -> Tensor:
    """Query, key or value by head: shape (lanes, heads, steps, width of a head)."""
    width = layer.embed_dim
    rows = (number * width, (number + 1) * width)
    bias = cast("nn.Parameter | None", layer.in_proj_bias)
    if layer.in_proj_weight is not None:
        projected = tape.linear(x, layer.in_proj_weight, bias, rows)
    else:  # three matrices, yet one bias: added by itself
        weights = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
        projected = tape.linear(x, cast("nn.Parameter", weights[number]), None)
        if bias is not None:
            projected = projected + tape.parameter(bias)[:, None, slice(*rows)]
    return projected.view(*projected.shape[:2], layer.num_heads, -1).transpose(1, 2)


def _masked(scores: Tensor, mask: Tensor | None, padding: Tensor | None, *, is_causal: bool) -> Tensor:
    """The scores (lanes, heads, steps, steps), less what may not be attended to."""
    if is_causal and mask is None:
        mask = scores.new_ones(scores.shape[0], *scores.shape[2:], dtype=torch.bool).triu(1)
    if mask is not None:
        if mask.shape != (scores.shape[0], *scores.shape[2:]):
            raise TaskError("its attn_mask is not of two dimensions.", remedy="Give a mask of (steps, steps).")
        scores = _put(scores, mask[:, None])
    if padding is not None:
        if padding.shape != (scores.shape[0], 1, scores.shape[3]):
            raise TaskError("its key_padding_mask is of another shape.", remedy="Give a mask of (batch, steps).")
        scores = _put(scores, padding[:, :, None])
    return scores


def _put(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(mask, -math.inf) if mask.dtype is torch.bool else scores + mask
