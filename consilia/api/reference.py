"""From the types to the reference pages: every field, its type, default, bounds, meaning and rules."""

from collections.abc import Iterator, Sequence
from typing import Any

from consilia.api.crd import Definition
from consilia.api.resource import API_VERSION
from consilia.api.rules import FIXED, VALIDATIONS
from consilia.api.scalars import LIST_KEYS, LIST_TYPE, PATTERN_WORDS, PRESERVE
from consilia.api.schema import Schema, resource_schema
from consilia.api.support import UNSUPPORTED, Unsupported

_SIZES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " entries"),
    ("minProperties", "maxProperties", " entries"),
)
"""Keywords of the least and the most, and of what."""


def reference_page(definition: Definition, example: str) -> str:
    """The page of one resource, in Markdown; `example` is YAML."""
    kind = definition.resource.__name__
    schema = resource_schema(definition.resource)
    parts = [
        "<!-- Generated from consilia/api by `make generate`. -->",
        f"# {kind}",
        schema["description"],
        f"`apiVersion: {API_VERSION}`, `kind: {kind}`. Short name: `{definition.short}`.",
        f"```yaml\n{example.strip()}\n```",
        "## What `kubectl get` prints",
        _columns(definition),
        *_sections("spec", schema["properties"]["spec"], UNSUPPORTED[kind]),
        *_sections("status", schema["properties"]["status"], ()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _columns(definition: Definition) -> str:
    rows = [
        (column.name, ("", "with `-o wide`: ")[column.priority] + column.description) for column in definition.columns
    ]
    return _table(("Column", "Meaning"), rows)


def _sections(path: str, schema: Schema, unsupported: tuple[Unsupported, ...]) -> Iterator[str]:
    """One object and, after it, those below it."""
    yield f"## {path}"
    yield schema["description"]
    yield next((_mark(entry) for entry in unsupported if entry.path == path), "")
    fields = schema.get("properties", {})
    if fields:
        rows = [
            _row(f"{path}.{name}", name in schema.get("required", ()), fields[name], unsupported) for name in fields
        ]
        yield _table(("Field", "Type", "Default", "Bounds", "Meaning"), rows)
    yield from _rules(path, schema)
    for name, child in fields.items():
        below = child.get("items", child)
        if below.get("properties"):
            yield from _sections(f"{path}.{name}{'[]' if 'items' in child else ''}", below, unsupported)


def _row(path: str, required: bool, schema: Schema, unsupported: tuple[Unsupported, ...]) -> tuple[str, ...]:
    marks = [_mark(entry) for entry in unsupported if entry.path == path]
    meaning = " ".join((schema["description"], *_scalar_rules(schema), *marks))
    default = "**required**" if required else _default(schema)
    return f"`{path}`", _type(schema), default, "; ".join(_bounds(schema)), meaning


def _mark(entry: Unsupported) -> str:
    works = f" Only {', '.join(f'`{_text(value)}`' for value in entry.supported)} works." if entry.supported else ""
    kind = "Not supported yet" if "Cluster" in entry.where else "Not in a local run"
    return f"**{kind}**: {entry.feature}.{works} {entry.remedy}"


def _type(schema: Schema) -> str:
    if "items" in schema:
        return f"list of {_type(schema['items'])}s"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}s"
    return str(schema["type"])


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    return "its fields' defaults" if schema["type"] == "object" else f"`{_text(schema['default'], quoted=True)}`"


def _text(value: object, *, quoted: bool = False) -> str:
    """A value as it stands in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    numeric = isinstance(value, str) and (not value or value[0].isdigit())
    return f'"{value}"' if numeric and quoted else str(value)


def _bounds(schema: Schema) -> Iterator[str]:
    if "enum" in schema:
        yield ", ".join(f"`{value}`" for value in schema["enum"])
    if "pattern" in schema:
        yield PATTERN_WORDS.get(schema["pattern"], f"`{schema['pattern']}`")
    yield from (_size(schema, *keys) for keys in _SIZES if keys[0] in schema or keys[1] in schema)
    if schema.get(LIST_TYPE) == "set":
        yield "no value twice"
    if LIST_KEYS in schema:
        yield f"one entry for each {' and '.join(f'`{key}`' for key in schema[LIST_KEYS])}"
    if PRESERVE in schema:
        yield "any fields"
    if "items" in schema:
        yield from (f"each: {bound}" for bound in _bounds(schema["items"]))


def _size(schema: Schema, least: str, most: str, unit: str) -> str:
    if least in schema and most in schema:
        return f"{schema[least]:,} to {schema[most]:,}{unit}"
    return f"at least {schema[least]:,}{unit}" if least in schema else f"at most {schema[most]:,}{unit}"


def _scalar_rules(schema: Schema) -> Iterator[str]:
    if schema["type"] not in {"object", "array"}:
        yield from (f"It {rule['message']}." for rule in schema.get(VALIDATIONS, ()))


def _rules(path: str, schema: Schema) -> Iterator[str]:
    rules: list[dict[str, Any]] = schema.get(VALIDATIONS, [])
    fixed = [rule for rule in rules if FIXED in rule["message"]]
    lines = [f"- {rule['message']}." for rule in rules if rule not in fixed]
    if fixed:
        names = ", ".join(f"`{rule['fieldPath'].removeprefix('.')}`" for rule in fixed)
        lines.append(f"- {FIXED}: {names}; {fixed[0]['message'].partition('; ')[2]}.")
    if lines:
        yield f"Rules of `{path}`:"
        yield "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
