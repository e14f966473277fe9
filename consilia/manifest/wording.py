"""From pydantic's errors to a rule and a remedy in a person's words."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from pydantic_core import ErrorDetails

from consilia.api.rules import BROKEN_RULE
from consilia.api.scalars import PATTERN_WORDS
from consilia.api.schema import Schema, child
from consilia.manifest.yaml_document import Path, Place

Wording = tuple[str, str]
"""Rule and remedy."""


def worded(error: ErrorDetails, schema: Schema, place: Place) -> Iterator[tuple[Path, Wording]]:
    """One pydantic error as paths with their wordings; an object that breaks several rules gives several.

    `schema` is the whole resource's, `place` is where the value stands.
    """
    path: Path = error["loc"]
    if error["type"] == BROKEN_RULE:
        for rule in error["ctx"]["broken"]:
            yield (*path, rule.field) if rule.field else path, (rule.message, sentence(rule.remedy))
        return
    yield path, _wording(error, path, schema, place)


def _wording(error: ErrorDetails, path: Path, schema: Schema, place: Place) -> Wording:
    if error["type"] == "missing":
        return _missing(path, schema)
    if error["type"] == "extra_forbidden":
        return _unknown_field(path, schema)
    if error["input"] is None:
        return f"{path[-1]} is empty", "Write a value, or remove the line."
    if error["type"] in _FIXED:
        rule, remedy = _FIXED[error["type"]]
        return rule.format(**error.get("ctx", {})), remedy.format(**error.get("ctx", {}))
    return _by_value(error, path, schema, place)


def _by_value(error: ErrorDetails, path: Path, schema: Schema, place: Place) -> Wording:
    match error["type"]:
        case "string_type":
            return _text_wanted(path, schema, place)
        case "literal_error":
            return _literal(error)
        case "string_pattern_mismatch":
            return _pattern(error["ctx"]["pattern"])
        case "int_type" | "int_from_float":
            return _whole_number(error["input"])
    return error["msg"][:1].lower() + error["msg"][1:], "Correct the value."


def _missing(path: Path, schema: Schema) -> Wording:
    description = (schema_at(schema, path) or {}).get("description", "")
    return f"{path[-1]} is required", f"Add it. {description}".strip()


def _unknown_field(path: Path, schema: Schema) -> Wording:
    known = (schema_at(schema, path[:-1]) or {}).get("properties", {})
    return f"{path[-1]} is not a field here", closest(str(path[-1]), known, "Remove it; the fields here are")


def _text_wanted(path: Path, schema: Schema, place: Place) -> Wording:
    pattern = (schema_at(schema, path) or {}).get("pattern", "")
    wanted = "a decimal number in quotes" if PATTERN_WORDS.get(pattern, "").startswith("a decimal") else "text"
    return f"must be {wanted}", f'Write "{place.text}" in quotes.' if place.text else "Write text."


def _literal(error: ErrorDetails) -> Wording:
    values = re.findall(r"'([^']*)'", error["ctx"]["expected"])
    written = error["input"] if isinstance(error["input"], str) else ""
    return f"must be one of {', '.join(values)}", closest(written, values, "Write one of")


def _pattern(pattern: str) -> Wording:
    return f"must be {PATTERN_WORDS.get(pattern, f'of the form {pattern}')}", "Correct the value."


def _whole_number(value: object) -> Wording:
    quoted = isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value)
    return "must be a whole number", f"Write {value} without quotes." if quoted else "Write digits only."


_OBJECT = ("must be an object with fields", "Indent the fields below it, one a line.")
_FIXED: Mapping[str, Wording] = MappingProxyType(
    {
        "bool_type": ("must be true or false", "Write true or false, without quotes."),
        "model_type": _OBJECT,
        "model_attributes_type": _OBJECT,
        "dict_type": _OBJECT,
        "tuple_type": ("must be a list", "Write [first, second], or one a line with a hyphen before each."),
        "greater_than_equal": ("must be at least {ge}", "Write a number from {ge} on."),
        "less_than_equal": ("must be at most {le}", "Write a number up to {le}."),
        "string_too_long": ("must have at most {max_length} characters", "Shorten it."),
        "string_too_short": ("must have at least {min_length} characters", "Write it out."),
        "too_long": ("must have at most {max_length} entries", "Remove some."),
        "too_short": ("must have at least {min_length} entries", "Add some."),
    }
)
"""By the type of pydantic's error, with its context to fill in."""


def closest(word: str, known: Iterable[str], otherwise: str) -> str:
    """A remedy for a misspelt word: the known one nearest to it, or all of them after `otherwise`."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return f"Did you mean {lowered[close[0]]}?" if close else f"{otherwise} {', '.join(names)}."


def schema_at(schema: Schema, path: Path) -> Schema | None:
    """The part of a schema that describes what lies at `path`."""
    found: Schema | None = schema
    for key in path:
        found = child(found, key) if found else None
    return found


def sentence(clause: str) -> str:
    """The clause with a capital and a full stop."""
    return f"{clause[:1].upper()}{clause[1:]}."
