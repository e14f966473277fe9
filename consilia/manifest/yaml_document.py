"""YAML with places: what stands in a file, and at which line and column.

The subset that Kubernetes keeps as JSON. Scalars are read as kubectl reads them, which differs from PyYAML's own ways:
`1e-3` is a number, and `2026-01-31` and `1:30` are text.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import yaml

from consilia.api.problem import Problem

BYTES_AT_MOST = 256 * 1024
"""Far above any manifest, far below what would keep a parser busy."""
VALUES_AT_MOST = 10_000
"""Aliases multiply: a short text may stand for a very large document."""
DEPTH_AT_MOST = 64

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the file."""

    line: int
    column: int
    text: str = ""
    """A scalar as it is written, without quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file."""

    value: object
    places: Mapping[Path, Place]

    def place(self, path: Path) -> Place:
        """Where `path` stands, or else the nearest object around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]


class UnreadableError(Exception):
    """The text breaks a rule of YAML, or of what is read of it; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        """`problem` has its place, but no file yet."""
        self.problem = problem
        super().__init__(str(problem))


def read_documents(text: str) -> list[Document]:
    """All documents of a file that are not empty.

    Raises:
        UnreadableError: the text is no YAML, or uses what JSON cannot carry.
    """
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
    except yaml.MarkedYAMLError as error:
        raise UnreadableError(_syntax_problem(error)) from error
    except yaml.YAMLError as error:
        problem = Problem(line=1, column=1, rule=f"not YAML: {error}", remedy="Save the file as plain UTF-8 text.")
        raise UnreadableError(problem) from error
    documents = [_Builder().document(node) for node in nodes]
    return [document for document in documents if document.value is not None]


_TAG = "tag:yaml.org,2002:"
_SCALARS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bool": (r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
        "null": (r"~|null|Null|NULL|", "~nN"),
        "int": (r"[-+]?(0b[01_]{1,40}|0o?[0-7_]{1,40}|0x[0-9a-fA-F_]{1,40}|0|[1-9][0-9_]{0,40})", "-+0123456789"),
        "float": (
            r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,4})?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
            "-+0123456789.",
        ),
    }
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """What a plain scalar may be, by its first character, as PyYAML wants it."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for name, (pattern, first) in _SCALARS.items():
        for character in (*first, *([""] if name == "null" else [])):
            found.setdefault(character, []).append((f"{_TAG}{name}", re.compile(f"^(?:{pattern})$")))
    return found


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader as far as nodes, with Kubernetes' scalars and a bound on depth."""

    yaml_implicit_resolvers = _resolvers()
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEPTH_AT_MOST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(problem=f"more than {DEPTH_AT_MOST} levels deep", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _Dumper(yaml.SafeDumper):
    """Quotes text that kubectl would read as another type; PyYAML alone would write 1e-5 as it is."""

    yaml_implicit_resolvers = _resolvers()


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """PyYAML would leave the line breaks of Unicode unquoted, where a reader folds them into one of another kind."""
    style = '"' if _BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_BREAKS = re.compile("[\x85\u2028\u2029]")
_Dumper.add_representer(str, _written)


def write_document(value: object) -> str:
    """YAML of what JSON can carry, read back the same by `read_documents` and by kubectl."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


@dataclass(slots=True)
class _Builder:
    """Turns nodes into plain values and keeps where each stood."""

    places: dict[Path, Place] = field(default_factory=dict)
    around: list[yaml.Node] = field(default_factory=list)

    def document(self, node: yaml.Node) -> Document:
        return Document(value=self.value(node, ()), places=self.places)

    def value(self, node: yaml.Node, path: Path) -> object:
        self.places[path] = _place(node)
        if len(self.places) > VALUES_AT_MOST:
            raise _unreadable(node, f"more than {VALUES_AT_MOST} values", "Use fewer aliases, or split the file.")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        return self.collection(node, path)

    def collection(self, node: yaml.Node, path: Path) -> object:
        if node in self.around:
            raise _unreadable(node, "an alias inside what it stands for", "Write the values out.")
        self.around.append(node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return dict(self.items(node, path))
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self.around.pop()
        raise _unknown_tag(node)

    def items(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, object]]:
        seen: dict[str, Place] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key in seen:
                rule = f"the field {key} is given twice, first in line {seen[key].line}"
                raise _unreadable(key_node, rule, "Remove one of the two.", path=dotted((*path, key)))
            seen[key] = _place(key_node)
            value = self.value(value_node, (*path, key))
            if not isinstance(value_node, yaml.ScalarNode):
                self.places[*path, key] = replace(seen[key], text="")
            yield key, value


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _unreadable(node, "a field's name must be text", "Write name: value.")
    if node.value == "<<" and node.style is None:
        raise _unreadable(node, "merge keys (<<) are not read", "Write the fields out.")
    if not isinstance(_scalar(node), str):
        remedy = f'Write "{node.value}" in quotes.'
        raise _unreadable(node, f"the field name {node.value} would be read as another type than text", remedy)
    return str(node.value)


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    match node.tag.removeprefix(_TAG):
        case "str":
            return str(node.value)
        case "bool":
            return str(node.value).lower() in {"yes", "true", "on"}
        case "null":
            return None
        case "int":
            return _integer(node)
        case "float":
            return _number(node)
    raise _unknown_tag(node)


def _integer(node: yaml.ScalarNode) -> int:
    text = str(node.value).replace("_", "")
    octal = re.fullmatch(r"([-+]?)0([0-7]+)", text)
    try:
        return int(f"{octal[1]}0o{octal[2]}" if octal else text, 0)
    except ValueError as error:
        raise _unreadable(node, f"{node.value[:40]} is no whole number", "Write decimal digits.") from error


def _number(node: yaml.ScalarNode) -> float:
    try:
        return float(re.sub(r"\.(inf|nan)$", r"\1", str(node.value), flags=re.IGNORECASE))
    except ValueError as error:
        raise _unreadable(node, f"{node.value[:40]} is no number", "Write decimal digits.") from error


def dotted(path: Path) -> str:
    """A path as people write it: spec.hospitals.names[1]."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def _place(node: yaml.Node) -> Place:
    mark = node.start_mark
    return Place(mark.line + 1, mark.column + 1, node.value if isinstance(node, yaml.ScalarNode) else "")


def _unknown_tag(node: yaml.Node) -> UnreadableError:
    return _unreadable(node, f"the tag {node.tag.replace(_TAG, '!!')} is not read", "Remove it.")


def _unreadable(node: yaml.Node, rule: str, remedy: str, *, path: str = "") -> UnreadableError:
    place = _place(node)
    return UnreadableError(Problem(line=place.line, column=place.column, path=path, rule=rule, remedy=remedy))


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    what = " ".join(part for part in (error.context, error.problem) if part)
    if r"'\t'" in what or "tab" in what:
        return Problem(line=line, column=column, rule="YAML allows no tab here", remedy="Indent with spaces.")
    remedy = "Look at this line and the one before: indentation, quotes, a colon without a space after it."
    return Problem(line=line, column=column, rule=f"not YAML: {what}", remedy=remedy)
