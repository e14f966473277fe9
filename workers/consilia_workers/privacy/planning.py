"""In which order a graph is run: as few islands of operations as there are layers in a row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consilia_workers.privacy.graph import BATCH, Graph, Items, Node, references
from consilia_workers.privacy.islands import Island, filler, operation


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCall:
    """One call of a layer, for all lanes at once."""

    name: str
    path: str
    args: Any
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterLook:
    """A trainable parameter used outside of layers: every lane is given its own, to have its own gradient."""

    name: str
    target: str


Step = Island | LayerCall | ParameterLook


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps of a graph, and what of the state all records share."""

    steps: tuple[Step, ...]
    shared: Mapping[str, str]
    """Nodes that stand for frozen parameters, buffers and constants, and which."""
    output: Any


def plan(graph: Graph, trainable: frozenset[str]) -> Plan:
    """The steps that compute a graph.

    An operation runs as soon as it can: after so many layers as lie on the longest way to it.

    Raises:
        TaskError: an operation is not allowed.
    """
    shared = {node.name: node.target for node in graph.nodes if node.op == "state" and node.target not in trainable}
    depth = _depths(graph)
    steps: list[Step] = []
    for level in range(max(depth.values()) + 1):
        here = [node for node in graph.nodes if depth[node.name] == level]
        looks = [node for node in here if node.op == "state" and node.name not in shared]
        steps += [ParameterLook(name=node.name, target=node.target) for node in looks]
        steps += [_call(node) for node in here if node.op == "layer"]
        if between := [node for node in here if node.op in ("function", "method")]:
            steps.append(_island(between, graph, shared))
    return Plan(steps=tuple(steps), shared=shared, output=filler(graph.output))


def _depths(graph: Graph) -> dict[str, int]:
    depth = {BATCH: 0}
    for node in graph.nodes:
        before = max((depth[name] for name in _needs(node)), default=0)
        depth[node.name] = before + (node.op == "layer")
    return depth


def _needs(node: Node) -> set[str]:
    return {name for argument in (*node.args, *node.kwargs.values()) for name in references(argument)}


def _call(node: Node) -> LayerCall:
    kwargs = {key: filler(argument) for key, argument in node.kwargs.items()}
    return LayerCall(name=node.name, path=node.target, args=filler(Items(kind="tuple", items=node.args)), kwargs=kwargs)


def _island(nodes: list[Node], graph: Graph, shared: Mapping[str, str]) -> Island:
    own = {node.name for node in nodes}
    needed = {name for node in nodes for name in _needs(node)} - own - set(shared)
    elsewhere = {name for node in graph.nodes if node.name not in own for name in _needs(node)}
    wanted = elsewhere | set(references(graph.output))
    return Island(
        operations=tuple(operation(node) for node in nodes),
        inputs=tuple(sorted(needed)),
        outputs=tuple(sorted(own & wanted)),
    )
