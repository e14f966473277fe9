"""From a file's text to resources, or to all the problems that keep it from being one."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from pydantic import ValidationError

from consilia.api import API_VERSION, RESOURCES, Metadata, Resource
from consilia.api.problem import Problem
from consilia.api.schema import Schema, resource_schema, structural
from consilia.api.support import Where, unsupported
from consilia.manifest.wording import closest, worded
from consilia.manifest.yaml_document import Document, Path, UnreadableError, dotted, read_documents

KINDS: Mapping[str, type[Resource]] = MappingProxyType({resource.__name__: resource for resource in RESOURCES})

_STEP = re.compile(r"\[(\d+)\]|\[([^\]]*)\]|([^.\[]+)")
"""One step of a problem's path: an index, a key of somebody else's, or a field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a text holds."""

    resources: tuple[Resource, ...] = ()
    """Those without problems, in the order of the file."""
    problems: tuple[Problem, ...] = ()


def check_text(text: str, where: Where = "Local") -> Checked:
    """Check every document of a text against its type, and all of them against what this version supports there."""
    try:
        documents = read_documents(text)
    except UnreadableError as error:
        return Checked(problems=(error.problem,))
    if not documents:
        problem = Problem(line=1, column=1, rule="the file is empty", remedy=f"Write an object: {_KINDS}.")
        return Checked(problems=(problem,))
    return _merged([check_document(document, where) for document in documents], documents)


def check_document(document: Document, where: Where = "Local") -> Checked:
    """Check one document."""
    value = document.value
    if not isinstance(value, dict):
        rule = "a document must be an object with apiVersion, kind, metadata and spec"
        return Checked(problems=(_problem(document, (), rule, "Begin with apiVersion: consilia.dev/v1alpha1."),))
    heads = tuple(_head_problems(document, value))
    if heads:
        return Checked(problems=heads)
    try:
        resource = KINDS[value["kind"]].model_validate(value)
    except ValidationError as error:
        return Checked(problems=tuple(_broken(document, error, _schema(KINDS[value["kind"]]))))
    problems = tuple(_placed(document, problem) for problem in unsupported(resource, where))
    return Checked(resources=(resource,), problems=problems)


def _placed(document: Document, problem: Problem) -> Problem:
    """The same with its line and column."""
    keys = (int(index) if index else key or name for index, key, name in _STEP.findall(problem.path))
    return replace(_problem(document, tuple(keys), problem.rule, problem.remedy), path=problem.path)


_KINDS = " or ".join((", ".join(list(KINDS)[:-1]), list(KINDS)[-1]))


def _head_problems(document: Document, value: Mapping[str, object]) -> Iterator[Problem]:
    if value.get("apiVersion") != API_VERSION:
        given = "apiVersion" in value
        rule = f"apiVersion must be {API_VERSION}" if given else "apiVersion is required"
        yield _problem(document, ("apiVersion",), rule, f"Write apiVersion: {API_VERSION}.")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        rule = f"kind must be {_KINDS}" if kind else "kind is required"
        yield _problem(document, ("kind",), rule, closest(str(kind), KINDS, "Write one of"))


def _broken(document: Document, error: ValidationError, schema: Schema) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        for path, (rule, remedy) in worded(detail, schema, document.place(detail["loc"])):
            yield _problem(document, path, rule, remedy)


def _schema(resource: type[Resource]) -> Schema:
    """Unlike the API server's, with the fields of metadata: their typing errors are found here too."""
    schema = resource_schema(resource)
    return {**schema, "properties": {**schema["properties"], "metadata": structural(Metadata)}}


def _problem(document: Document, path: Path, rule: str, remedy: str) -> Problem:
    place = document.place(path)
    value = " ".join(place.text.split()) if path in document.places else ""
    shown = value if len(value) <= 60 else f"{value[:57]}..."
    return Problem(line=place.line, column=place.column, path=dotted(path), value=shown, rule=rule, remedy=remedy)


def _merged(checked: list[Checked], documents: list[Document]) -> Checked:
    """All together, with what only shows when the documents stand side by side."""
    seen: dict[tuple[object, ...], int] = {}
    twice: list[Problem] = []
    for one, document in zip(checked, documents, strict=True):
        for resource in one.resources:
            key = (type(resource), resource.metadata.namespace, resource.metadata.name)
            line = document.place(("metadata", "name")).line
            if seen.setdefault(key, line) != line:
                rule = f"the {type(resource).__name__} {resource.metadata.name} is there already, in line {seen[key]}"
                twice.append(_problem(document, ("metadata", "name"), rule, "Rename or remove one of the two."))
    return Checked(
        resources=tuple(resource for one in checked for resource in one.resources),
        problems=(*(problem for one in checked for problem in one.problems), *twice),
    )
