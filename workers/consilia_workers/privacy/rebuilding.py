"""From a description to a model that can be run: in the process that holds the data, trusting nothing in it."""

from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from consilia.errors import TaskError
from consilia_workers.privacy.encoding import constant
from consilia_workers.privacy.graph import Graph, GraphDescription, State
from consilia_workers.privacy.isolation import IsolatedModel, Place
from consilia_workers.privacy.layer_types import make_layer
from consilia_workers.privacy.planning import plan
from consilia_workers.privacy.state import DTYPES, refuse_coarse

MOST_ELEMENTS = 2**33
"""Of all parameters together: what a description can make this process allocate."""


def rebuild(description: GraphDescription, *, lanes: int = 64) -> IsolatedModel:
    """The model, with `lanes` records to be run at once. Trainable parameters are zero until they are loaded.

    Raises:
        TaskError: the description holds a layer, an operation or an argument that is not allowed, or does not fit
            together; names it.
    """
    if sum(entry.elements for entry in description.state) > MOST_ELEMENTS:
        raise TaskError(f"the task's model has more than {MOST_ELEMENTS} parameters.")
    layers = {layer.path: _made(layer.type, layer.path, layer.arguments) for layer in description.layers}
    root = _Tree(layers)
    state = root.filled(description.state, _values(description))
    trainable = frozenset(name for name, tensor in state.items() if tensor.requires_grad)
    for graph in (description.loss, description.predict):
        _refuse_dangling(graph, layers, state)
    loss, predict = (plan(graph, trainable) for graph in (description.loss, description.predict))
    return IsolatedModel(root.module, places=root.places, loss=loss, predict=predict, lanes=lanes)


def _made(type_name: str, path: str, arguments: dict[str, Any]) -> nn.Module:
    return make_layer(type_name, path, {name: constant(argument) for name, argument in arguments.items()})


def _values(description: GraphDescription) -> dict[str, Tensor]:
    try:
        return load(description.values)
    except SafetensorError as error:
        raise TaskError(f"the values of the task's graph are no safetensors file: {error}.") from error


def _refuse_dangling(graph: Graph, layers: dict[str, nn.Module], state: dict[str, Tensor]) -> None:
    for node in graph.nodes:
        if (node.op == "layer" and node.target not in layers) or (node.op == "state" and node.target not in state):
            raise TaskError(f"the task's graph uses {node.target!r}, which it does not describe.")


class _Constants(nn.Module):
    """Tensors that no state_dict holds, yet that move with the model."""


class _Tree:
    """A module under construction: real layers where they are run as a whole, empty containers elsewhere."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        self.module = layers.get("", nn.Module())
        self.places: dict[str, Place] = {}
        self._layers = layers
        self._constants = _Constants()

    def filled(self, entries: tuple[State, ...], values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Put every tensor into its place, in order; gives them by name.

        Raises:
            TaskError: a tensor does not fit into its layer, is missing, or is there twice.
        """
        tensors: dict[str, Tensor] = {}
        for entry in entries:
            tensor = tensors[entry.name] = _tensor(entry, tensors, values)
            if entry.role == "constant":
                self._constants.register_buffer(f"c{len(tensors)}", tensor, persistent=False)
                self.places[entry.name] = self._constants, f"c{len(tensors)}"
            else:
                self._put(entry, tensor)
        for path, layer in self._layers.items():
            self._refuse_incomplete(path, layer)
        self.module.add_module("_consilia_constants", self._constants)
        return tensors

    def _put(self, entry: State, tensor: Tensor) -> None:
        path, _, name = entry.name.rpartition(".")
        place = self._container(path)
        self.places[entry.name] = place, name
        try:
            if hasattr(place, name):
                _refuse_other_shape(entry, dict(place.named_parameters(recurse=False)).get(name))
                setattr(place, name, tensor)
            elif isinstance(tensor, nn.Parameter):
                place.register_parameter(name, tensor)
            else:
                place.register_buffer(name, tensor)
        except (KeyError, TypeError, AttributeError) as error:
            raise TaskError(f"the task's graph has a tensor called {entry.name}, which cannot be.") from error

    def _container(self, path: str) -> nn.Module:
        module, walked = self.module, ""
        for part in path.split(".") if path else ():
            walked = f"{walked}.{part}".removeprefix(".")
            if part not in dict(module.named_children()):
                try:
                    module.add_module(part, self._layers.get(walked, nn.Module()))
                except (KeyError, TypeError) as error:
                    raise TaskError(f"the task's graph has a layer called {walked}, which cannot be.") from error
            module = module.get_submodule(part)
        return module

    def _refuse_incomplete(self, path: str, layer: nn.Module) -> None:
        if path and self._container(path) is not layer:
            raise TaskError(f"the task's graph has a layer {path} inside of another.")
        for name, parameter in layer.named_parameters():
            if parameter.is_meta:
                raise TaskError(f"the task's graph lacks the tensor {path}.{name}.")


def _tensor(entry: State, before: dict[str, Tensor], values: dict[str, Tensor]) -> Tensor:
    """The tensor of an entry: zeros to be trained, or its value."""
    if entry.tied_to is not None:
        return _tied(entry, before)
    if entry.role == "trainable":
        refuse_coarse(entry.name, DTYPES[entry.dtype])
        return nn.Parameter(torch.zeros(entry.shape, dtype=DTYPES[entry.dtype]))
    value = values.get(entry.name)
    if value is None or tuple(value.shape) != entry.shape or value.dtype is not DTYPES[entry.dtype]:
        raise TaskError(f"the values of the task's graph lack {entry.name}, or have another shape or dtype for it.")
    return nn.Parameter(value, requires_grad=False) if entry.role == "frozen" else value


def _tied(entry: State, before: dict[str, Tensor]) -> Tensor:
    first = before.get(entry.tied_to or "")
    if first is None or tuple(first.shape) != entry.shape:
        raise TaskError(f"the task's graph ties {entry.name} to {entry.tied_to}, which is no such tensor.")
    return first


def _refuse_other_shape(entry: State, expected: nn.Parameter | None) -> None:
    if expected is None or tuple(expected.shape) != entry.shape:
        raise TaskError(f"the task's graph has a tensor {entry.name} of a shape that its layer has not.")
