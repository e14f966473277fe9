"""Documents of all four kinds, small and valid, with single fields replaced by dotted paths; and random ones."""

import copy
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from consilia.api import ApiObject
from consilia.api.scalars import LIST_KEYS, LIST_TYPE, PRESERVE
from consilia.api.schema import Schema

ABSENT = object()
"""Replaces a field by nothing."""

DIGEST = "sha256:" + 64 * "0"
IMAGE = f"registry.example/task@{DIGEST}"
KEY = """\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""
REQUEST = "-----BEGIN CERTIFICATE REQUEST-----\nMIHOMHYCAQAw\n-----END CERTIFICATE REQUEST-----\n"
OTHER_KEY = KEY.replace("11qYAY", "22qYAY")
_HEAD = {"apiVersion": "consilia.dev/v1alpha1"}

DOCUMENTS: Mapping[str, Mapping[str, Any]] = {
    "FederatedJob": {
        **_HEAD,
        "kind": "FederatedJob",
        "metadata": {"name": "study"},
        "spec": {
            "task": {"entrypoint": "package.module:Task"},
            "dataset": "patients",
            "hospitals": {"names": ["a", "b", "c"]},
            "rounds": {"count": 10},
        },
    },
    "Hospital": {**_HEAD, "kind": "Hospital", "metadata": {"name": "a"}, "spec": {}},
    "Dataset": {
        **_HEAD,
        "kind": "Dataset",
        "metadata": {"name": "patients", "namespace": "a"},
        "spec": {"source": {"builtin": {}}},
    },
    "HospitalTask": {
        **_HEAD,
        "kind": "HospitalTask",
        "metadata": {"name": "study", "namespace": "a"},
        "spec": {
            "job": {"name": "study", "uid": "1", "configDigest": DIGEST},
            "hospital": "a",
            "dataset": "patients",
            "task": {"entrypoint": "package.module:Task"},
            "rounds": {"count": 10},
        },
    },
}


def document(kind: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A small valid document; `changes` replaces fields by dotted path below spec, or from the root after a dot."""
    result = copy.deepcopy(dict(DOCUMENTS[kind]))
    for path, value in (changes or {}).items():
        *around, last = (path.removeprefix(".") if path.startswith(".") else f"spec.{path}").split(".")
        parent = result
        for key in around:
            parent = parent.setdefault(key, {})
        if value is ABSENT:
            del parent[last]
        else:
            parent[last] = value
    return result


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Random values within the types and bounds of a structural schema; rules are not looked at."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "string":
            return _texts(schema)
        case "integer":
            return st.integers(schema.get("minimum", 0), schema.get("maximum", 2**40))
        case "boolean":
            return st.booleans()
        case "array":
            return _lists(schema)
    return _objects(schema)


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    longest, shortest = schema.get("maxLength", 40), schema.get("minLength", 0)
    if "pattern" not in schema:
        return st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=shortest, max_size=min(longest, 40))
    shape = schema["pattern"].removesuffix("$") + r"\Z"
    return st.from_regex(shape).filter(lambda text: shortest <= len(text) <= longest)


def _lists(schema: Schema) -> st.SearchStrategy[list[Any]]:
    keys = schema.get(LIST_KEYS) or ([] if LIST_TYPE in schema else None)
    identity = (lambda item: tuple(item[key] for key in keys)) if keys else repr
    least = schema.get("minItems", 0)
    return st.lists(values(schema["items"]), min_size=least, max_size=least + 3, unique_by=identity)


def _objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    if PRESERVE in schema:
        scalars = st.text(max_size=5) | st.integers(-5, 5) | st.booleans() | st.floats(-1, 1)
        return st.dictionaries(
            st.text(max_size=5), st.recursive(scalars, lambda inner: st.lists(inner, max_size=2)), max_size=3
        )
    if "additionalProperties" in schema:
        least = schema.get("minProperties", 0)
        return st.dictionaries(
            st.text(max_size=8), values(schema["additionalProperties"]), min_size=least, max_size=least + 2
        )
    fields = {name: values(field) for name, field in schema.get("properties", {}).items()}
    required = {name: fields[name] for name in schema.get("required", ())}
    optional = {name: field for name, field in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def without_broken_rules(model: type[ApiObject], value: dict[str, Any]) -> dict[str, Any] | None:
    """The object with optional fields dropped, from the last on, until all rules hold; None when nothing helps."""
    kept = _repaired(model, value)
    for key in [*reversed(kept), None]:
        try:
            model.model_validate(kept)
        except ValidationError:
            kept.pop(key, None)
        else:
            return kept
    return None


def _repaired(model: type[ApiObject], value: dict[str, Any]) -> dict[str, Any]:
    """The same with its objects repaired first."""
    kept = dict(value)
    for name, field in model.model_fields.items():
        inner, key = _object_in(field.annotation), field.alias or name
        if inner and isinstance(kept.get(key), dict):
            kept[key] = without_broken_rules(inner, kept[key])
    return {key: item for key, item in kept.items() if item is not None}


def _object_in(annotation: Any) -> type[ApiObject] | None:
    """The type of an object, optional or not."""
    options = [annotation, *getattr(annotation, "__args__", ())]
    return next((option for option in options if isinstance(option, type) and issubclass(option, ApiObject)), None)
