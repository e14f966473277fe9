"""From a traced graph to its description: what may not travel is refused here, with the line it stands on."""

import re
from pathlib import Path
from typing import Any

from torch import Tensor, fx

from consilia.errors import TaskError
from consilia_workers.privacy.encoding import encoded
from consilia_workers.privacy.graph import Graph, Items, Node, Reference
from consilia_workers.privacy.operations import ATTRIBUTES, INSTEAD, METHODS, NAMES
from consilia_workers.privacy.state import StateWriter, checked

_VIEWS = frozenset(
    "view reshape squeeze unsqueeze transpose permute flatten chunk split expand narrow select t "  # noqa: SIM905
    "getitem getattr detach unbind view_as".split()
)
"""Operations whose result shares its memory with what they are given."""


def described_graph(traced: fx.GraphModule, state: StateWriter, name: str) -> Graph:
    """The graph of `loss()` or `predict()`, without what its output does not need.

    Raises:
        TaskError: it holds an operation that is not allowed, or its output is not what the function should give.
    """
    output = next(node for node in traced.graph.nodes if node.op == "output")
    needed = _needed(output)
    nodes = [
        _node(node, traced, state)
        for node in traced.graph.nodes
        if node in needed and node.op not in ("placeholder", "output")
    ]
    result = encoded(output.args[0], f"the task's {name}")
    _refuse_other_output(name, result)
    return checked(Graph, {"nodes": tuple(nodes), "output": result})  # type: ignore[no-any-return]


def _needed(output: fx.Node) -> set[fx.Node]:
    needed, waiting = set(), [output]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting.extend(node.all_input_nodes)
    return needed


def _refuse_other_output(name: str, result: object) -> None:
    match name, result:
        case "loss()", Reference():
            return
        case "predict()", Items(items=(Reference(), Reference())):
            return
    what = "one tensor computed from the batch" if name == "loss()" else "scores and targets"
    raise TaskError(f"the task's {name} does not give {what}.", remedy=f"Return {what}.")


def _node(node: fx.Node, traced: fx.GraphModule, state: StateWriter) -> Node:
    _refuse_unfit(node)
    op, target = _target(node, traced, state)
    who = f"{target}{place_of(node)}"
    kwargs = {key: value for key, value in node.kwargs.items() if _travels(key, value)}
    fields = {
        "name": node.name,
        "op": op,
        "target": target,
        "args": tuple(encoded(value, who) for value in node.args),
        "kwargs": {key: encoded(value, who) for key, value in kwargs.items()},
    }
    return checked(Node, fields)  # type: ignore[no-any-return]


def _travels(key: str, value: object) -> bool:
    """Devices and layouts in memory stay behind: where and how the graph is run is not the task's to say."""
    return key not in ("_stacklevel", "memory_format", "inplace") and not (
        key == "device" and not isinstance(value, fx.Node)
    )


def _target(node: fx.Node, traced: fx.GraphModule, state: StateWriter) -> tuple[str, str]:
    match node.op:
        case "call_function":
            return "function", NAMES[node.target]  # type: ignore[index]
        case "call_method":
            return "method", str(node.target)
        case "call_module":
            return "layer", state.use_layer(str(node.target).removeprefix("model").removeprefix("."))
        case _:
            return "state", state.refer(_own_name(str(node.target)), _attribute(traced, str(node.target)))


def _own_name(target: str) -> str:
    return target.removeprefix("model.") if target.startswith("model.") else ""


def _attribute(traced: fx.GraphModule, target: str) -> Tensor:
    found: Any = traced
    for part in target.split("."):
        found = getattr(found, part)
    if not isinstance(found, Tensor):
        raise TaskError(f"the task computes with {target}, which is no tensor.")
    return found


def _refuse_unfit(node: fx.Node) -> None:
    if node.op == "call_function":
        _refuse_unknown_function(node)
    if node.op == "call_method" and node.target not in METHODS:
        name = str(node.target)
        pure = name.removesuffix("_")
        remedy = f"Write x = x.{pure}(...)." if pure != name and pure in METHODS else way_around(name)
        raise TaskError(f"a private task cannot use Tensor.{name}{place_of(node)}.", remedy=remedy)
    if node.kwargs.get("inplace") and not _only_use(node.all_input_nodes[0]):
        message = f"{node.name} works in place on a tensor that is used again{place_of(node)}."
        raise TaskError(message, remedy="Set inplace to False.")
    if _weighs_away(node):
        message = f"a mean with class weights{place_of(node)} would cancel the weight of a record taken by itself."
        raise TaskError(message, remedy='Use reduction="none" with the weights, and take the mean of that.')


def _refuse_unknown_function(node: fx.Node) -> None:
    if node.target not in NAMES:
        target: Any = node.target
        name = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', target)}"
        raise TaskError(f"a private task cannot use {name}{place_of(node)}.", remedy=way_around(name))
    if node.target is getattr and node.args[1] not in ATTRIBUTES:
        message = f"a private task cannot read .{node.args[1]} of a tensor or batch{place_of(node)}."
        raise TaskError(message, remedy=f"Unpack or index the batch; of tensors read {', '.join(sorted(ATTRIBUTES))}.")


def way_around(name: str) -> str:
    """What to do where an operation is not on the list."""
    return INSTEAD.get(name.rpartition(".")[2].removesuffix("_"), "Use another operation.")


def _only_use(node: fx.Node) -> bool:
    """Whether nobody else sees the memory of a node's value, itself or through a view."""
    if len(node.users) > 1 or node.op in ("placeholder", "get_attr"):
        return False
    name = NAMES.get(node.target, "").rpartition(".")[2] if node.op == "call_function" else node.target  # type: ignore[arg-type]
    return name not in _VIEWS or all(_only_use(source) for source in node.all_input_nodes[:1])


def _weighs_away(node: fx.Node) -> bool:
    name = NAMES.get(node.target, "") if node.op == "call_function" else ""  # type: ignore[arg-type]
    if name not in ("torch.nn.functional.cross_entropy", "torch.nn.functional.nll_loss"):
        return False
    weight = node.args[2] if len(node.args) > 2 else node.kwargs.get("weight")
    return weight is not None and str(node.kwargs.get("reduction", "mean")) == "mean"


def place_of(node: fx.Node) -> str:
    """Where in the task's files a node comes from, for people."""
    lines = re.findall(r'File "([^"]+)", line (\d+)', node.stack_trace or "")
    own = [(path, line) for path, line in lines if "/torch/" not in path and "/consilia_workers/privacy/" not in path]
    return f" at {Path(own[-1][0]).name}:{own[-1][1]}" if own else ""
