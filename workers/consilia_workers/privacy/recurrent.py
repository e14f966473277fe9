"""LSTM, GRU and plain recurrent layers, step by step: every matrix product on the tape, every lane by itself.

The equations are those of PyTorch's documentation of nn.LSTM, nn.GRU and nn.RNN; all layers and directions are run.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from consilia.errors import TaskError
from consilia_workers.privacy.tape import Tape

_Hidden = tuple[Tensor, ...]
_Cell = Callable[[Tensor, Tensor, _Hidden], _Hidden]
"""From the input's and the hidden state's parts of the gates, and the old state, to the new state."""


def recur(
    layer: nn.RNNBase, tape: Tape, x: Tensor, start: Tensor | tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
    """Outputs and last states of all lanes.

    `x` is (lanes, 1, steps, width), or (lanes, steps, 1, width) without `batch_first`; `start` and the last states
    are (lanes, layers and directions, 1, width).
    """
    batch = 1 if layer.batch_first else 2
    if x.ndim != 4 or x.shape[batch] != 1:
        message = f"it is given {tuple(x.shape[1:])} for a batch of one record."
        raise TaskError(message, remedy="Give it three dimensions, the batch where batch_first says.")
    values, states = x.squeeze(batch), _started(layer, tape, x, start)
    last: list[_Hidden] = []
    for depth in range(layer.num_layers):
        if depth and layer.dropout:
            values = functional.dropout(values, layer.dropout, training=tape.training)
        runs = [
            _run(layer, tape, values, f"l{depth}{way}", states[len(last) + k]) for k, way in enumerate(_ways(layer))
        ]
        values = torch.cat([outputs for outputs, _ in runs], dim=2)
        last += [state for _, state in runs]
    ends = tuple(torch.stack(parts, dim=1).unsqueeze(2) for parts in zip(*last, strict=True))
    return values.unsqueeze(batch), ends if isinstance(layer, nn.LSTM) else ends[0]


def _ways(layer: nn.RNNBase) -> tuple[str, ...]:
    return ("", "_reverse") if layer.bidirectional else ("",)


def _started(layer: nn.RNNBase, tape: Tape, x: Tensor, start: Tensor | tuple[Tensor, Tensor] | None) -> list[_Hidden]:
    """The first state of every layer and direction, zeros unless given."""
    count = layer.num_layers * len(_ways(layer))
    parts = 2 if isinstance(layer, nn.LSTM) else 1
    if start is None:
        zero = x.new_zeros(tape.lanes, layer.hidden_size)
        return [(zero,) * parts] * count
    given = start if isinstance(start, tuple | list) else (start,)
    if len(given) != parts or any(part.shape[1:] != (count, 1, layer.hidden_size) for part in given):
        raise TaskError("its first state has another shape.", remedy="Leave the first state away, it is zero then.")
    return [tuple(part[:, k, 0] for part in given) for k in range(count)]


def _run(layer: nn.RNNBase, tape: Tape, values: Tensor, suffix: str, state: _Hidden) -> tuple[Tensor, _Hidden]:
    """One layer in one direction: outputs (lanes, steps, width) and the last state."""
    weight, recurrent = (_parameter(layer, f"weight_{kind}_{suffix}") for kind in ("ih", "hh"))
    bias, recurrent_bias = (_parameter(layer, f"bias_{kind}_{suffix}") for kind in ("ih", "hh"))
    assert weight is not None
    assert recurrent is not None
    gates = tape.linear(values, weight, bias)
    order = range(values.shape[1])
    outputs: list[Tensor] = []
    cell = _cell_of(layer)
    for step in reversed(order) if suffix.endswith("_reverse") else order:
        state = cell(gates[:, step], tape.linear(state[0], recurrent, recurrent_bias), state)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if suffix.endswith("_reverse") else outputs, dim=1), state


def _parameter(layer: nn.RNNBase, name: str) -> nn.Parameter | None:
    return cast("nn.Parameter | None", getattr(layer, name, None))


def _cell_of(layer: nn.RNNBase) -> _Cell:
    if isinstance(layer, nn.LSTM):
        return _lstm
    if isinstance(layer, nn.GRU):
        return _gru
    return _relu if cast("nn.RNN", layer).nonlinearity == "relu" else _tanh


def _lstm(given: Tensor, recurrent: Tensor, state: _Hidden) -> _Hidden:
    entry, forget, cell, out = (given + recurrent).chunk(4, dim=1)
    memory = torch.sigmoid(forget) * state[1] + torch.sigmoid(entry) * torch.tanh(cell)
    return torch.sigmoid(out) * torch.tanh(memory), memory


def _gru(given: Tensor, recurrent: Tensor, state: _Hidden) -> _Hidden:
    (reset, update, new), (h_reset, h_update, h_new) = given.chunk(3, dim=1), recurrent.chunk(3, dim=1)
    kept = torch.sigmoid(update + h_update)
    candidate = torch.tanh(new + torch.sigmoid(reset + h_reset) * h_new)
    return ((1 - kept) * candidate + kept * state[0],)


def _tanh(given: Tensor, recurrent: Tensor, _state: _Hidden) -> _Hidden:
    return (torch.tanh(given + recurrent),)


def _relu(given: Tensor, recurrent: Tensor, _state: _Hidden) -> _Hidden:
    return (torch.relu(given + recurrent),)
