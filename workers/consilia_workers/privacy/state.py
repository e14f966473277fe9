"""The tensors of a model and its constants, written down: names and shapes in JSON, values in safetensors."""

from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from consilia.errors import TaskError
from consilia_workers.privacy.encoding import encoded
from consilia_workers.privacy.graph import Graph, GraphDescription, Layer, Role, State
from consilia_workers.privacy.layer_types import arguments_of

DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool".split()  # noqa: SIM905
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


TRAINABLE = (torch.float32, torch.float64)
"""What gradients are clipped in. In fewer digits the rounding of a sum is larger than clipping.MARGIN allows for: one
record could move it by more than the norm that noise is added for."""


def refuse_coarse(name: str, dtype: torch.dtype) -> None:
    """Nothing is trained in other numbers than those.

    Raises:
        TaskError: this is; names it and the way out.
    """
    if dtype not in TRAINABLE:
        message = f"the task's graph trains {name}, which is {str(dtype).removeprefix('torch.')}."
        raise TaskError(message, remedy="Keep what is trained in float32, or freeze it: requires_grad_(False).")


class StateWriter:
    """Gathers what the graphs of one model refer to."""

    def __init__(self, model: nn.Module) -> None:
        """Notes everything in the model's `state_dict`, in its order.

        Raises:
            TaskError: a tensor's dtype does not travel, or nothing can be trained.
        """
        self._model = model
        self._entries: dict[str, State] = {}
        self._first: dict[int, str] = {}
        self._values: dict[str, Tensor] = {}
        self._layers: dict[str, Layer] = {}
        for name, tensor in model.state_dict(keep_vars=True).items():
            if isinstance(tensor, Tensor):
                self._note(name, tensor, _role(tensor))
        if not any(entry.role == "trainable" for entry in self._entries.values()):
            raise TaskError("the model has no parameter to train.")

    def _note(self, name: str, tensor: Tensor, role: Role) -> None:
        if tensor.dtype not in DTYPE_NAMES:
            message = f"the model's {name} is {str(tensor.dtype).removeprefix('torch.')}, which does not travel."
            raise TaskError(message, remedy="Keep parameters in float32.")
        if role == "trainable":
            refuse_coarse(name, tensor.dtype)
        first = self._first.setdefault(id(tensor), name)
        tied = {"tied_to": first} if first != name else {}
        entry = {"name": name, "shape": tuple(tensor.shape), "dtype": DTYPE_NAMES[tensor.dtype], "role": role, **tied}
        self._entries[name] = checked(State, entry)
        if role != "trainable" and not tied:
            self._values[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)

    def refer(self, name: str, tensor: Tensor) -> str:
        """The name in the description of a tensor that a graph looks at; it is added where it is new.

        Raises:
            TaskError: the tensor was computed from parameters while tracing.
        """
        if id(tensor) in self._first:
            return self._first[id(tensor)]
        if tensor.requires_grad:
            message = "the task computes with parameters that it takes from model.parameters()."
            raise TaskError(message, remedy="Use weightDecay for a penalty, or the layer's own attribute.")
        fresh = name if name and name not in self._entries else f"constant-{len(self._entries)}"
        self._note(fresh, tensor, "constant")
        self._keep = [*getattr(self, "_keep", []), tensor]  # or its id might be given to another tensor
        return fresh

    def use_layer(self, path: str) -> str:
        """Note a layer that is run as a whole; gives its path.

        Raises:
            TaskError: it is set up in a way that is not supported.
        """
        if path not in self._layers:
            layer = self._model.get_submodule(path)
            arguments = {name: encoded(value, path) for name, value in arguments_of(layer, path).items()}
            made = {"path": path, "type": type(layer).__name__, "arguments": arguments}
            self._layers[path] = checked(Layer, made)
        return path

    def description(self, *, loss: Graph, predict: Graph, custom_parameter_groups: bool) -> GraphDescription:
        """Everything together."""
        return checked(  # type: ignore[no-any-return]
            GraphDescription,
            {
                "state": tuple(self._entries.values()),
                "layers": tuple(self._layers.values()),
                "loss": loss,
                "predict": predict,
                "custom_parameter_groups": custom_parameter_groups,
                "values": save(self._values),
            },
        )


def _role(tensor: Tensor) -> Role:
    if not isinstance(tensor, nn.Parameter):
        return "buffer"
    return "trainable" if tensor.requires_grad else "frozen"


def checked(kind: type[Any], fields: dict[str, Any]) -> Any:  # noqa: ANN401 (an instance of `kind`)
    """An instance of one of the description's models.

    Raises:
        TaskError: a field is out of its bounds.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        message = f"the task's graph cannot be described: {first['msg']}, in {str(first['input'])[:100]}."
        raise TaskError(message) from error
