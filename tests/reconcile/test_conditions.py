import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed import NOON, after, conditions
from pydantic import TypeAdapter

from consilia.api.resource import Status
from consilia.api.scalars import DecimalString
from consilia_operator.conditions import FINAL, Finding, amount, condition, finished, settle, turned

KINDS = ("Accepted", "QuorumMet", "Running", "Succeeded", "Failed")
FINDINGS = st.lists(
    st.builds(
        Finding,
        st.sampled_from(KINDS),
        st.sampled_from([True, False, None]),
        st.text(string.ascii_letters, min_size=1, max_size=9),
        st.text(max_size=2000),
    )
)


@given(st.lists(FINDINGS))
def test_what_is_final_is_never_turned_back(looks):
    settled, ended = [], {}
    for number, found in enumerate(looks):
        settled = settle(settled, found, number, after(number))
        for kind, before in ended.items():
            assert condition(settled, kind) == before
        ended = {each["type"]: each for each in settled if each["type"] in FINAL and each["status"] == "True"}
        assert finished(settled) == bool(ended)


@given(FINDINGS, FINDINGS)
def test_the_time_of_a_condition_is_that_of_its_last_turn(first, second):
    before = settle([], first, 1, NOON)
    for new in settle(before, second, 2, after(60)):
        old = condition(before, new["type"])
        stayed = old is not None and (old["status"] == new["status"])
        flipped = [each.status for each in second if each.type == new["type"] and old and each.status != old["status"]]
        assert stayed or new["lastTransitionTime"] == "2026-11-21T12:01:00Z"
        assert flipped or not stayed or new["lastTransitionTime"] == old["lastTransitionTime"]


@given(FINDINGS)
def test_the_same_findings_again_change_nothing(found):
    latest = list({each.type: each for each in found}.values())
    once = settle([], latest, 1, NOON)
    assert settle(once, latest, 1, after(5)) == once
    assert turned(once, settle(once, latest, 1, after(5))) == []


@given(FINDINGS, FINDINGS)
def test_what_is_settled_can_always_be_written(first, second):
    settled = settle(settle([], first, 1, NOON), second, 2, after(1))
    assert len(Status.model_validate({"conditions": settled}).conditions) == len({each.type for each in first + second})


def test_a_turn_is_another_status_or_another_reason_but_not_another_message():
    before = conditions(Running=("True", "RoundOpen"), Accepted="True")
    assert turned(before, conditions(Running=("True", "Evaluating"), Accepted="True"))[0]["type"] == "Running"
    assert turned(before, conditions(Running=("False", "RoundOpen"), Accepted="True"))[0]["status"] == "False"
    assert turned(before, [each | {"message": "another"} for each in before]) == []


@pytest.mark.parametrize("up", [True, False])
@given(st.floats(0, allow_nan=False))
def test_any_amount_fits_into_a_status_and_is_told_no_better_than_it_is(up, value):
    text = TypeAdapter(DecimalString).validate_python(amount(value, up=up))
    if value < 1e99:
        assert (float(text) >= value) if up else (float(text) <= value)


@pytest.mark.parametrize(
    ("value", "told"), [(1.5, "1.5"), (2e40, "2e+40"), (1.23e-30, "1.23e-30"), (1e-200, "1e-99"), (1e200, "1e99")]
)
def test_an_amount_that_is_too_long_is_told_with_an_exponent(value, told):
    assert amount(value) == told
