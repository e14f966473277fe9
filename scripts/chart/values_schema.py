"""A chart's values.schema.json: what Helm refuses, in words that a person understands.

Pydantic's schema says the same in a form that makes Helm stutter: references, and `anyOf` for what may be null, of
which Helm only says that none holds.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
_QUANTITY: Schema = {
    "type": ["string", "number"],
    "pattern": r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$",
}
"""As Kubernetes writes amounts, so that a typing error shows here and not on a pod that never starts."""


def values_schema(values: type[BaseModel]) -> Schema:
    """As Helm reads it."""
    found = values.model_json_schema()
    definitions = found.pop("$defs")
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_plain(found, definitions)}


def values_schema_text(values: type[BaseModel]) -> str:
    """The file."""
    return json.dumps(values_schema(values), indent=2, ensure_ascii=False) + "\n"


def _plain(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Without references, titles and defaults, with null as one type among others."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _plain({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    if "anyOf" in schema:
        return _nullable(schema, definitions)
    if "propertyNames" in schema:
        return _closed(schema, definitions)
    kept = {key: value for key, value in schema.items() if key not in {"title", "default"}}
    for key in ("items", "additionalProperties"):
        if isinstance(kept.get(key), dict):
            kept[key] = _plain(kept[key], definitions)
    if "properties" in kept:
        kept["properties"] = {name: _plain(each, definitions) for name, each in kept["properties"].items()}
    return kept


def _nullable(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    (one,) = (each for each in schema["anyOf"] if each != {"type": "null"})
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    plain = _plain({**one, **rest}, definitions)
    return {**plain, "type": [plain["type"], "null"]}


def _closed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """A map with a few known keys as an object with these properties, the amounts of pods among them."""
    names = schema["propertyNames"]["enum"]
    value = _plain(schema["additionalProperties"], definitions) if schema["additionalProperties"] else {}
    if set(names) == {"requests", "limits"}:
        value = {"type": "object", "additionalProperties": _QUANTITY}
    closed = {"type": "object", "properties": dict.fromkeys(names, value), "additionalProperties": False}
    return {"description": schema.get("description", ""), **closed}
