"""What a module's source says of its classes and functions, without importing it: signatures and docstrings.

Attribute docstrings exist in the source only, and importing a task would load torch.
"""

import ast
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A field of a class, a member of an enumeration, or a constant of a module."""

    name: str
    annotation: str
    default: str
    """As written; empty without one."""
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function or method."""

    name: str
    signature: str
    """As it is called: `name(a, b) -> type`, without `self`."""
    doc: str
    abstract: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """A class."""

    name: str
    bases: Sequence[str]
    doc: str
    attributes: Sequence[Attribute]
    methods: Sequence[Function]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module's public face; names with a leading underscore are left out everywhere."""

    doc: str
    classes: Sequence[Class]
    functions: Sequence[Function]
    attributes: Sequence[Attribute]

    def class_named(self, name: str) -> Class:
        """One of its classes."""
        return next(found for found in self.classes if found.name == name)


def read_module(path: str) -> Module:
    """Parse the file at `path`, from the repository's root."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=path)
    public = [node for node in tree.body if not getattr(node, "name", "").startswith("_")]
    return Module(
        doc=ast.get_docstring(tree) or "",
        classes=[_class(node) for node in public if isinstance(node, ast.ClassDef)],
        functions=[_function(node) for node in public if isinstance(node, ast.FunctionDef)],
        attributes=list(_attributes(tree.body)),
    )


def _class(node: ast.ClassDef) -> Class:
    methods = [_function(inner) for inner in node.body if isinstance(inner, ast.FunctionDef)]
    return Class(
        name=node.name,
        bases=[ast.unparse(base) for base in node.bases],
        doc=ast.get_docstring(node) or "",
        attributes=list(_attributes(node.body)),
        methods=[method for method in methods if method.name == "__init__" or not method.name.startswith("_")],
    )


def _attributes(body: Sequence[ast.stmt]) -> Iterator[Attribute]:
    for node, following in zip(body, [*body[1:], None], strict=True):
        name = _assigned(node)
        if name and not name.startswith("_"):
            annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
            value = ast.unparse(node.value) if getattr(node, "value", None) else ""
            yield Attribute(name=name, annotation=annotation, default=value, doc=_docstring(following))


def _assigned(node: ast.stmt) -> str:
    """The one name that a statement assigns to; empty if it is no such statement."""
    match node:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return ""


def _docstring(node: ast.stmt | None) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
        case _:
            return ""


def _function(node: ast.FunctionDef) -> Function:
    arguments = node.args
    if arguments.args and arguments.args[0].arg in {"self", "cls"}:
        arguments.args = arguments.args[1:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    return Function(
        name=node.name,
        signature=f"{node.name}({ast.unparse(arguments)}){returns}",
        doc=ast.get_docstring(node) or "",
        abstract="abstractmethod" in decorators,
    )
