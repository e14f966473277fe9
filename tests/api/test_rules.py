import pytest
from api_documents import document
from pydantic import ValidationError
from rule_cases import ALLOWED_CHANGES, RULE_CASES, TRANSITION_CASES

from consilia.api import RESOURCES
from consilia.api.changes import refused_changes
from consilia.api.resource import NAME_RULE
from consilia.api.rules import BROKEN_RULE, VALIDATIONS
from consilia.api.schema import resource_schema

KINDS = {resource.__name__: resource for resource in RESOURCES}


def in_the_schema(schema):
    """Every CEL rule that the API server is given."""
    yield from schema.get(VALIDATIONS, [])
    below = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for child in below:
        if child:
            yield from in_the_schema(child)


CEL_RULES = [rule for resource in RESOURCES for rule in in_the_schema(resource_schema(resource))]


def broken_by(kind, changes):
    with pytest.raises(ValidationError) as caught:
        KINDS[kind].model_validate(document(kind, changes))
    return [rule.message for error in caught.value.errors() for rule in error.get("ctx", {}).get("broken", ())]


@pytest.mark.parametrize(("kind", "changes", "message"), RULE_CASES)
def test_every_rule_refuses_what_breaks_it_with_its_message(kind, changes, message):
    assert any(text.startswith(message) for text in broken_by(kind, changes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", "study.one", "Study", "-study", 64 * "a"])
def test_a_name_that_cannot_be_part_of_a_topic_is_refused_where_it_stands(kind, name):
    with pytest.raises(ValidationError) as caught:
        KINDS[kind].model_validate(document(kind, {".metadata.name": name}))
    assert [error["loc"] for error in caught.value.errors()] == [("metadata", "name")]


@pytest.mark.parametrize(("kind", "before", "after", "message"), TRANSITION_CASES)
def test_every_transition_refuses_the_change_that_breaks_it(kind, before, after, message):
    old, new = (KINDS[kind].model_validate(document(kind, changes)) for changes in (before, after))
    assert any(problem.rule.startswith(message) for problem in refused_changes(old, new))


@pytest.mark.parametrize(("kind", "before", "after"), ALLOWED_CHANGES)
def test_what_may_change_may_change(kind, before, after):
    old, new = (KINDS[kind].model_validate(document(kind, changes)) for changes in (before, after))
    assert refused_changes(old, new) == []


def test_each_rule_of_the_schema_has_a_case_that_python_refuses():
    covered = [NAME_RULE.message, *(case[-1] for case in (*RULE_CASES, *TRANSITION_CASES))]
    missing = {rule["message"] for rule in CEL_RULES if not any(rule["message"].startswith(text) for text in covered)}
    assert not missing


def test_each_case_that_python_refuses_has_a_rule_in_the_schema():
    messages = [rule["message"] for rule in CEL_RULES]
    extra = {case[-1] for case in (*RULE_CASES, *TRANSITION_CASES) if not any(m.startswith(case[-1]) for m in messages)}
    assert not extra


def test_every_rule_says_what_is_wrong_and_what_to_do():
    assert all(
        len(rule["message"]) < 2048 and "; " in rule["message"] and "\n" not in rule["message"] for rule in CEL_RULES
    )


def test_an_object_that_breaks_two_rules_names_both():
    changes = {"hospitals": {"names": ["a"], "selector": {"matchLabels": {"a": "b"}}, "minReady": 4, "minUpdates": 5}}
    assert len(broken_by("FederatedJob", changes)) == 3


def test_broken_rules_come_as_one_kind_of_error():
    with pytest.raises(ValidationError) as caught:
        KINDS["FederatedJob"].model_validate(document("FederatedJob", {"privacy": {}}))
    assert [error["type"] for error in caught.value.errors()] == [BROKEN_RULE]
