"""docs/reference/python.md: what a task's author imports, from the source's signatures and docstrings."""

from collections.abc import Iterable, Iterator

from scripts.pages.markdown import fenced, page, table, unwrapped
from scripts.pages.sources import Attribute, Class, Function, read_module

INTRODUCTION = """\
What a data scientist imports. [Write a task](../guides/write-a-task.md) walks through it; this is the whole of it."""

MODULES = (
    ("workers/consilia_workers/task.py", ("Task",), ("Batch",)),
    ("workers/consilia_workers/source.py", ("DataSource", "Split"), ()),
    ("workers/consilia_workers/training/metrics.py", (), ("Metric", "BINARY", "MULTICLASS", "LOWER_IS_BETTER")),
    ("workers/consilia_workers/learner.py", ("LocalLearner", "Learner"), ("Pieces",)),
)
"""Each module with the classes and constants that are shown; functions are shown where neither is named otherwise."""

FUNCTIONS = {"workers/consilia_workers/training/metrics.py"}


def python_page() -> str:
    """The page."""
    sections = (part for path, classes, constants in MODULES for part in _section(path, classes, constants))
    return page("# Python", INTRODUCTION, *sections)


def _section(path: str, classes: Iterable[str], constants: Iterable[str]) -> Iterator[str]:
    module = read_module(path)
    yield f"## {path.removeprefix('workers/').removesuffix('.py').replace('/', '.')}"
    shown = {attribute.name: attribute for attribute in module.attributes}
    yield table(("Name", "Meaning"), [(f"`{name}`", _meaning(shown[name])) for name in constants])
    for name in classes:
        yield from _class(module.class_named(name))
    if path in FUNCTIONS:
        yield table(("Function", "Meaning"), [(f"`{each.name}`", _in_a_line(each.doc)) for each in module.functions])


def _meaning(attribute: Attribute) -> str:
    return f"{_in_a_line(attribute.doc)} `{attribute.default}`" if len(attribute.default) < 80 else attribute.doc


def _in_a_line(doc: str) -> str:
    return " ".join(doc.split())


def _class(found: Class) -> Iterator[str]:
    yield f"### {found.name}"
    yield unwrapped(found.doc)
    rows = [(f"`{each.name}`", _typed(each), _in_a_line(each.doc)) for each in found.attributes]
    yield table(("Attribute", "Type or value", "Meaning"), rows)
    for method in found.methods:
        yield from _method(found.name, method)


def _typed(attribute: Attribute) -> str:
    return f"`{attribute.annotation or attribute.default}`"


def _method(owner: str, method: Function) -> Iterator[str]:
    name = owner if method.name == "__init__" else f"{owner}.{method.name}"
    yield f"#### {name}"
    call = method.signature.replace("__init__", owner, 1)
    yield fenced(call, "python")
    text, _, raises = method.doc.partition("Raises:\n")
    yield unwrapped(text.strip()) + (" **To be implemented.**" if method.abstract else "")
    if raises:
        yield "Raises:\n\n" + "\n".join(f"* {line.strip()}" for line in raises.strip().splitlines())
