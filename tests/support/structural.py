"""What a structural schema (OpenAPI in a CustomResourceDefinition) says against a document, unknown fields too."""

import re
from pathlib import Path

import yaml

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


def definitions(folder):
    """The CustomResourceDefinitions in a folder, by kind."""
    found = [yaml.safe_load(path.read_text()) for path in sorted(Path(folder).glob("*.yaml"))]
    return {each["spec"]["names"]["kind"]: each for each in found}


def complaints(definition, document):
    """All of them; CEL rules are not tried."""
    group, _, version = document["apiVersion"].rpartition("/")
    assert definition["spec"]["group"] == group
    (served,) = (each for each in definition["spec"]["versions"] if each["name"] == version and each["served"])
    schema = served["schema"]["openAPIV3Schema"]
    return list(_complaints(schema, {**document, "metadata": {}}, document["kind"]))


def _complaints(schema, value, where):
    wanted = schema.get("type")
    if wanted and (not isinstance(value, TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")):
        yield f"{where}: {value!r} is no {wanted}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        yield from _of_an_object(schema, value, where)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _complaints(schema.get("items", {}), each, f"{where}[{number}]")
    elif isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{where}: {value!r} does not match {schema['pattern']}"
    elif value < schema.get("minimum", value) or value > schema.get("maximum", value):
        yield f"{where}: {value} is out of bounds"


def _of_an_object(schema, value, where):
    properties, more = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}: {name} is missing"
    for name, each in value.items():
        if name in properties:
            yield from _complaints(properties[name], each, f"{where}.{name}")
        elif isinstance(more, dict):
            yield from _complaints(more, each, f"{where}.{name}")
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{where}.{name}: unknown"
