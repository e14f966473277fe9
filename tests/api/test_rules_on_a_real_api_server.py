import pytest
from api_documents import document, values, without_broken_rules
from bare_api_server import bare_api_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rule_cases import ALLOWED_CHANGES, RULE_CASES, TRANSITION_CASES
from wrong_jobs import WRONG_JOBS

from consilia.api import RESOURCES
from consilia.api.schema import resource_schema

KINDS = {resource.__name__: resource for resource in RESOURCES}
SPECS = {kind: values(resource_schema(resource)["properties"]["spec"]) for kind, resource in KINDS.items()}

pytestmark = pytest.mark.slow  # starting the server may take long on a busy machine


@pytest.fixture(scope="module")
def api_server(tmp_path_factory):
    """The real one, with our definitions."""
    with bare_api_server(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.mark.parametrize("job", WRONG_JOBS, ids=lambda job: job.name)
def test_a_wrong_job_is_refused_when_it_is_applied_and_told_why(api_server, job):
    assert job.told in api_server.refusal(job.document)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_small_and_valid_is_accepted(api_server, kind):
    assert api_server.refusal(document(kind)) == ""


@pytest.mark.parametrize(("kind", "changes", "message"), RULE_CASES)
def test_every_rule_is_held_with_its_message(api_server, kind, changes, message):
    assert message in api_server.refusal(document(kind, changes))


@pytest.mark.parametrize(("kind", "before", "after", "message"), TRANSITION_CASES)
def test_every_transition_is_held_with_its_message(api_server, kind, before, after, message):
    assert message in api_server.change_refusal(document(kind, before), document(kind, after))


@pytest.mark.parametrize(("kind", "before", "after"), ALLOWED_CHANGES)
def test_what_may_change_may_change(api_server, kind, before, after):
    assert api_server.change_refusal(document(kind, before), document(kind, after)) == ""


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_api_server_and_python_agree_on_any_object(api_server, kind, data):
    made = {**document(kind), "spec": data.draw(SPECS[kind])}
    for one in (made, without_broken_rules(KINDS[kind], made)):
        if one is not None:
            assert (api_server.refusal(one) == "") == python_accepts(kind, one)


def python_accepts(kind, value):
    """Whether the type takes it."""
    try:
        KINDS[kind].model_validate(value)
    except ValidationError:
        return False
    return True
