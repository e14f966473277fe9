import functools

import pytest
from api_documents import document, values, without_broken_rules
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from consilia.api import RESOURCES, HospitalsSpec
from consilia.api.schema import resource_schema
from consilia.manifest.yaml_document import read_documents, write_document


@functools.cache
def random_parts(resource, part):
    return values(resource_schema(resource)["properties"][part])


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.__name__)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_resource_comes_back_the_same_from_json_and_from_yaml(resource, data):
    value = document(resource.__name__)
    value["spec"] |= data.draw(random_parts(resource, "spec"))
    value["status"] = data.draw(random_parts(resource, "status"))
    repaired = without_broken_rules(resource, value)
    assume(repaired is not None)
    one = resource.model_validate(repaired)
    assert resource.model_validate_json(one.model_dump_json(by_alias=True, exclude_none=True)) == one
    assert [resource.model_validate(read.value) for read in read_documents(write_document(one.as_document()))] == [one]


def test_fields_may_be_given_by_their_python_names():
    hospitals = HospitalsSpec(names=("a",), min_ready=1)
    assert hospitals.as_document() == {"names": ["a"], "minReady": 1, "minUpdates": 1}


def test_what_the_api_server_adds_to_metadata_is_kept():
    added = {
        "uid": "1",
        "generation": 2,
        "resourceVersion": "3",
        "creationTimestamp": "2026-01-31T08:00:00Z",
        "finalizers": ["consilia.dev/ledger"],
        "managedFields": [{"manager": "kubectl", "operation": "Apply"}],
        "ownerReferences": [{"kind": "FederatedJob", "name": "study"}],
    }
    for resource in RESOURCES:
        value = document(resource.__name__)
        value["metadata"].update(added)
        assert resource.model_validate(value).as_document()["metadata"].items() >= added.items()


@pytest.mark.parametrize("text", ["\x85", "a\x85b", "\u2028", "x\u2029y", " \x85", "\ufeff", "a\nb", "1e-5", "\x7f"])
def test_text_of_any_kind_comes_back_the_same_from_yaml(text):
    value = {text: text, "list": [text]}
    assert [read.value for read in read_documents(write_document(value))] == [value]
