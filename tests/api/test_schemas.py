import re

import pytest

from consilia.api import RESOURCES
from consilia.api.crd import DEFINITIONS, custom_resource_definition
from consilia.api.rules import VALIDATIONS
from consilia.api.scalars import LIST_KEYS, LIST_TYPE, PRESERVE
from consilia.api.schema import resource_schema

VALUES = {"enum", "minimum", "maximum", "pattern", "minLength", "maxLength"}
KEYWORDS = {
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties", PRESERVE},
    "array": {"items", "minItems", "maxItems", LIST_TYPE, LIST_KEYS},
    "string": {*VALUES, "format"},
    "integer": {*VALUES, "format"},
    "boolean": set(),
}


def nodes(schema, path=""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


FREE = {".apiVersion", ".kind", ".metadata"}


@pytest.fixture(params=RESOURCES, ids=lambda resource: resource.__name__)
def every_node(request):
    """Paths and schemas of one resource, from the root down."""
    return list(nodes(resource_schema(request.param)))


def test_every_node_is_structural(every_node):
    for path, node in every_node:
        allowed = KEYWORDS[node["type"]] | {"type", "description", "default", VALIDATIONS}
        assert not node.keys() - allowed, path
        assert not {"properties", "additionalProperties"} <= node.keys(), path


def test_every_field_is_described(every_node):
    assert [path for path, node in every_node if "description" not in node and not path.endswith("[]")] == [".metadata"]


def test_everything_is_bounded_so_that_rules_stay_cheap(every_node):
    for path, node in every_node:
        if node["type"] == "string" and path not in FREE:
            assert "enum" in node or "maxLength" in node, path
        if node["type"] == "array":
            assert node["maxItems"] <= 256, path
        if "additionalProperties" in node or PRESERVE in node:
            assert node["maxProperties"] <= 64, path


def test_every_list_is_a_set_or_a_map_whose_keys_are_always_there(every_node):
    for path, node in every_node:
        if node["type"] == "array":
            assert node[LIST_TYPE] in {"set", "map"}, path
            assert set(node.get(LIST_KEYS, ())) <= set(node["items"].get("required", ())), path


def test_rules_speak_of_fields_that_exist(every_node):
    for path, node in every_node:
        for rule in node.get(VALIDATIONS, ()):
            named = re.findall(r"(?:self|oldSelf)\.(\w+)", rule["rule"]) + re.findall(r"\w+", rule.get("fieldPath", ""))
            assert set(named) <= node.get("properties", {}).keys(), path


def test_no_resource_holds_a_float(every_node):
    assert {node["type"] for _, node in every_node} <= KEYWORDS.keys()


def test_only_what_is_somebody_elses_is_kept_unknown(every_node):
    kept = {path for path, node in every_node if PRESERVE in node}
    assert kept <= {".spec.task.parameters", ".spec.resources.podTemplate", ".spec.podTemplate"}


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.plural)
def test_printer_columns_show_fields_that_exist(definition):
    paths = {path for path, _ in nodes(resource_schema(definition.resource))}
    for column in definition.columns:
        bare = re.sub(r"\[\?\(.*?\)\]", "[]", column.path)
        assert bare in paths or bare == ".metadata.creationTimestamp"


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.plural)
def test_the_definition_has_what_kubernetes_wants(definition):
    crd = custom_resource_definition(definition)
    (version,) = crd["spec"]["versions"]
    assert crd["metadata"]["name"] == f"{crd['spec']['names']['plural']}.{crd['spec']['group']}"
    assert version["subresources"] == {"status": {}}
    assert (version["served"], version["storage"]) == (True, True)
    assert "consilia" in crd["spec"]["names"]["categories"]


def test_short_names_are_free_in_kubernetes():
    names = [definition.short for definition in DEFINITIONS]
    taken = [
        "cm",
        "cs",
        "deploy",
        "ds",
        "ep",
        "ev",
        "hpa",
        "ing",
        "limits",
        "netpol",
        "no",
        "ns",
        "pc",
        "pdb",
        "po",
        "pv",
        "pvc",
        "quota",
        "rc",
        "rs",
        "sa",
        "sc",
        "sts",
        "svc",
    ]
    assert len({*names, *taken}) == len(names) + len(taken)
