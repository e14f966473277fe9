"""From the types to structural OpenAPI schemas, as Kubernetes demands them: no $ref, no anyOf, a type everywhere."""

from collections.abc import Mapping
from typing import Any, cast

from consilia.api.resource import ApiObject, Resource
from consilia.api.rules import VALIDATIONS
from consilia.api.scalars import LIST_KEYS, LIST_TYPE, PRESERVE

Schema = dict[str, Any]

VALUES = (
    "enum",
    "minimum",
    "maximum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
"""The keywords that bound a value."""

_COPIED = ("description", "type", "format", *VALUES, "required", LIST_TYPE, LIST_KEYS, PRESERVE, VALIDATIONS)
_ORDER = ("description", "type", "format", "default", *_COPIED[3:], "properties", "items", "additionalProperties")
_INT32_AT_MOST = 2**31 - 1
_API_VERSION = "The version of the API that this object is written in."
_KIND = "What the object is."


def resource_schema(resource: type[Resource]) -> Schema:
    """The schema of a whole resource; metadata is left to the API server, as structural schemas must."""
    schema = structural(resource)
    properties = schema["properties"]
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": _API_VERSION},
        "kind": {"type": "string", "description": _KIND},
        "metadata": {"type": "object"},
        "spec": properties["spec"],
        "status": properties["status"],
    }
    return schema


def structural(model: type[ApiObject]) -> Schema:
    """The structural schema of one type."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    return _node(schema, definitions)


def _node(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """One node, its references put in place and everything below it made structural."""
    flat = _flat(schema, definitions)
    result: Schema = {
        key: flat[key] for key in flat if key not in {"title", "default", "const", "additionalProperties"}
    }
    if "const" in flat:
        result["enum"] = [flat["const"]]
    if "properties" in flat:
        result["properties"] = {name: _node(child, definitions) for name, child in flat["properties"].items()}
    if "items" in flat:
        result["items"] = _node(flat["items"], definitions)
    if isinstance(flat.get("additionalProperties"), dict):
        result["additionalProperties"] = _node(flat["additionalProperties"], definitions)
    if flat["type"] == "integer":
        result["format"] = "int32" if flat.get("maximum", _INT32_AT_MOST + 1) <= _INT32_AT_MOST else "int64"
    if flat.get("default") is not None:
        result["default"] = _without_nulls(flat["default"])
    return {key: result[key] for key in _ORDER if key in result}


def _flat(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """The node with its $ref followed and the null alternative of an optional field dropped."""
    flat = dict(schema)
    if "anyOf" in flat:
        (alternative,) = [option for option in flat.pop("anyOf") if option.get("type") != "null"]
        flat = {**_flat(alternative, definitions), **flat}
    if "$ref" in flat:
        target = definitions[cast("str", flat.pop("$ref")).rpartition("/")[2]]
        flat = {**_flat(target, definitions), **flat}
    return flat


def _without_nulls(value: object) -> object:
    """A default in full: the API server checks the rules on it before it fills in the defaults of its fields."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def child(schema: Schema, key: str | int) -> Schema | None:
    """The schema of what lies under `key` of an object, a map or a list; None where there is nothing."""
    if isinstance(key, int):
        return cast("Schema | None", schema.get("items"))
    found = schema.get("properties", {}).get(key)
    return cast("Schema | None", found or schema.get("additionalProperties"))
