import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed import after, conditions, joined, shown

from consilia.api import FederatedJob
from consilia_operator.admission import GRACE, Admission, admit, parse

NAMES = ("a", "b", "c")
OVER = GRACE.total_seconds() + 1


def admitted(hospitals, changes=None, seconds=0.0):
    return admit(parse(shown("FederatedJob", changes)), hospitals, after(seconds))


def not_accepted(name):
    return shown("Hospital", {".metadata.name": name, "accepted": False})


def not_joined(name):
    found = conditions(Joined=("False", "NamespaceDoesNotConsent"))
    return shown("Hospital", {".metadata.name": name, "accepted": True}) | {"status": {"conditions": found}}


def test_a_job_begins_at_once_with_all_its_hospitals():
    found = admitted([joined(name) for name in NAMES])
    assert found.yes
    assert found.hospitals == NAMES
    assert found.again is None


def test_it_waits_for_the_last_one_as_long_as_the_grace_and_goes_on_with_enough():
    two = [joined("a"), joined("b")]
    assert not admitted(two).yes
    assert admitted(two).again == GRACE.total_seconds()
    assert admitted(two, seconds=OVER).hospitals == ("a", "b")
    assert not admitted(two, {"hospitals.minReady": 3}, seconds=OVER).yes


@pytest.mark.parametrize(
    ("hospitals", "reason", "told"),
    [
        ([], "HospitalsMissing", "there is no Hospital a, b, c in hub: kubectl apply one for each"),
        ([joined("a"), not_joined("b")], "HospitalsMissing", "there is no Hospital c in hub"),
        ([joined("a"), not_joined("b"), not_joined("c")], "HospitalsNotJoined", "b: Joined says Namespace"),
        ([not_accepted("a"), not_accepted("b"), joined("c")], "HospitalsNotJoined", "patch hospital a --type=merge"),
    ],
)
def test_who_is_not_there_is_named_with_what_to_do(hospitals, reason, told):
    found = admitted(hospitals, seconds=OVER)
    assert (found.accepted.holds, found.accepted.reason) == (False, reason)
    assert told in found.accepted.message
    assert not found.final


def test_a_selector_takes_those_that_carry_all_its_labels():
    selector = {"hospitals": {"selector": {"matchLabels": {"region": "north", "size": "big"}}}}
    north, south = joined("a", region="north", size="big", more="x"), joined("b", region="south", size="big")
    alike = joined("c", region="north", size="big")
    assert admitted([north, south, alike], selector).hospitals == ("a", "c")
    nobody = admitted([south], selector, OVER)
    assert "no more Hospitals have the labels" in nobody.accepted.message


@pytest.mark.parametrize(
    ("changes", "reason", "told"),
    [
        ({"rounds.count": 0}, "Invalid", "spec.rounds.count"),
        ({"hospitals.minUpdates": 3}, "Invalid", "minUpdates must not exceed minReady"),
        ({"compression": {"codec": "TopK", "ratio": "0.1"}}, "NotSupported", "spec.compression"),
        ({"resources": {"podTemplate": {"spec": {"hostNetwork": True}}}}, "PodTemplateRefused", "hostNetwork"),
    ],
)
def test_what_can_never_be_run_is_refused_for_good(changes, reason, told):
    found = parse(shown("FederatedJob", changes))
    assert isinstance(found, Admission)
    assert found.final
    assert found.accepted.reason == reason
    assert told in found.accepted.message


def test_a_status_is_no_part_of_what_is_judged():
    assert isinstance(parse(shown("FederatedJob") | {"status": {"conditions": [{"rubbish": 1}]}}), FederatedJob)


@given(st.sets(st.sampled_from(NAMES)), st.integers(1, 3), st.floats(0, 200))
def test_whoever_is_admitted_has_joined_and_is_enough(there, needed, seconds):
    found = admitted([joined(name) for name in sorted(there)], {"hospitals.minReady": needed}, seconds)
    assert found.yes == (len(there) == 3 or (len(there) >= needed and seconds >= GRACE.total_seconds()))
    assert set(found.hospitals) == (there if found.yes else set())
    assert found.yes or found.again is None or found.again >= 1.0


def test_more_hospitals_than_a_job_can_have_are_told_to_be_fewer():
    crowd = [joined(f"h{number}", region="north") for number in range(257)]
    found = admitted(crowd, {"hospitals": {"selector": {"matchLabels": {"region": "north"}}}})
    assert found.accepted.reason == "TooManyHospitals"
    assert found.hospitals == ()
