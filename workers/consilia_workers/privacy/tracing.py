"""From a task's Python to a graph: run where no data is, and all that a trusted process ever sees of the code."""

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from consilia.errors import ConsiliaError, TaskError
from consilia_workers.privacy.batch_norm import refuse_batch_norm
from consilia_workers.privacy.describing import described_graph
from consilia_workers.privacy.graph import GraphDescription
from consilia_workers.privacy.layer_types import CONSTRUCTORS
from consilia_workers.privacy.state import StateWriter
from consilia_workers.task import Batch, Task
from consilia_workers.training.guard import guarded

_REMEDY = "Compute with tensors alone: no if, for or len() over the batch, and PyTorch's own layers for parameters."
_MADE_BY_SIZE = ("zeros", "ones", "full", "arange", "linspace", "eye")
"""Functions that fail on a size that is still unknown, where others would be written down."""


def describe(task: Task) -> GraphDescription:
    """The task's model, loss and prediction as plain data. Runs the task's code; let no data be near.

    Raises:
        TaskError: the code cannot be written down as a graph, or does what may not be done with records; names the
            line or the layer, and the way out.
    """
    try:
        return _described(task, lines=False)
    except TaskError:
        # Where each operation stands takes PyTorch seconds to load, and only whoever reads an error wants to know.
        return _described(task, lines=True)


def _described(task: Task, *, lines: bool) -> GraphDescription:
    model: object = guarded("model()", task.model)
    if not isinstance(model, nn.Module):
        raise TaskError(f"the task's model() gave a {type(model).__name__}, not a module.")
    _refuse_unfit(model)
    state = StateWriter(model)
    loss = _traced("loss()", _Root(model.train(), task.loss), lines=lines)
    predict = _traced("predict()", _Root(model.eval(), task.predict), lines=lines)
    return state.description(
        loss=described_graph(loss, state, "loss()"),
        predict=described_graph(predict, state, "predict()"),
        custom_parameter_groups=type(task).parameter_groups is not Task.parameter_groups,
    )


def _refuse_unfit(model: nn.Module) -> None:
    for path, layer in model.named_modules():
        refuse_batch_norm(layer, path or "model()")
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise TaskError(f"the model's {name} has no shape yet.", remedy="Give the layer its input size.")


class _Root(nn.Module):
    """One function of the task as a module over a batch, which is what torch.fx traces."""

    def __init__(self, model: nn.Module, function: Callable[[nn.Module, Batch], object]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, batch: Batch) -> object:
        return self.function(self.model, batch)


def _traced(name: str, root: _Root, *, lines: bool) -> fx.GraphModule:
    """The graph of one function, with the root that holds its constants.

    Raises:
        TaskError: it cannot be traced.
    """
    tracer, before = _Tracer(), torch.get_rng_state()
    tracer.record_stack_traces = lines
    try:
        with _intercepted(tracer):
            graph = tracer.trace(root)
    except ConsiliaError:
        raise
    except (Exception, SystemExit) as error:
        first = (str(error).splitlines() or [""])[0]
        message = f"the task's {name} cannot be written down as a graph{_place(error)}: {type(error).__name__}: {first}"
        raise TaskError(message, remedy=_REMEDY) from error
    if not torch.equal(before, torch.get_rng_state()):
        message = f"the task's {name} draws random numbers of its own."
        raise TaskError(message, remedy="Use dropout, which is drawn for each record.")
    return fx.GraphModule(tracer.root, graph)


class _Tracer(fx.Tracer):
    """Writes down layers with parameters as such, and goes through everything else."""

    proxy_buffer_attributes = True

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> object:
        if type(m) not in CONSTRUCTORS:
            refuse_batch_norm(m, type(m).__name__)
            return forward(*args, **kwargs)
        path = self._path(m)
        _refuse_hooks(m, path)
        return self.create_proxy("call_module", path, args, kwargs)

    def _path(self, layer: nn.Module) -> str:
        try:
            return self.path_of_module(layer)
        except NameError:
            message = f"the task uses a {type(layer).__name__} that is no part of its model."
            raise TaskError(message, remedy="Make the layer a part of what model() returns.") from None


def _refuse_hooks(layer: nn.Module, path: str) -> None:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(layer, name) for name in hooks):
        message = f"the layer {path.removeprefix('model.')} has hooks, which would not be run."
        raise TaskError(message, remedy="Compute in forward() what the hooks do.")


@contextmanager
def _intercepted(tracer: fx.Tracer) -> Iterator[None]:
    """While tracing: sizes may be unknown where tensors are made, and no gradient is made up by the task."""
    kept = {name: getattr(torch, name) for name in (*_MADE_BY_SIZE, "tensor")}
    apply = torch.autograd.Function.__dict__.get("apply")
    for name in _MADE_BY_SIZE:
        setattr(torch, name, _writing(tracer, kept[name]))
    torch.tensor = _without_device(kept["tensor"])
    torch.autograd.Function.apply = classmethod(_refuse_own_gradient)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(torch, name, function)
        if apply is None:
            del torch.autograd.Function.apply
        else:
            torch.autograd.Function.apply = apply


def _writing(tracer: fx.Tracer, function: Callable[..., Any]) -> Callable[..., Any]:
    def write(*args: object, **kwargs: object) -> object:
        if any(isinstance(value, fx.Proxy) for value in pytree.tree_leaves((args, kwargs))):
            return tracer.create_proxy("call_function", function, args, kwargs)
        return function(*args, **kwargs)

    return write


def _without_device(function: Callable[..., Any]) -> Callable[..., Any]:
    def make(*args: object, **kwargs: object) -> object:
        return function(*args, **{key: value for key, value in kwargs.items() if not isinstance(value, fx.Proxy)})

    return make


def _refuse_own_gradient(cls: type, /, *_args: object, **_kwargs: object) -> object:
    message = f"the task computes with {cls.__name__}, a torch.autograd.Function of its own."
    raise TaskError(message, remedy="Use PyTorch's operations, whose gradients are known.")


def _place(error: BaseException) -> str:
    """Where in the task's own files an error came up, for people."""
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parent), str(Path(inspect.__file__).parent))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} ({frames[-1].line})" if frames else ""
