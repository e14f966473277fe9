import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed import conditions, progress, shown

from consilia.progress import BUDGET_SPENT
from consilia_operator import hospital_rows
from consilia_operator.pods import Trouble, trouble

SECRET = "ValueError: patient 4711 has no age"
JOB = shown("FederatedJob")


def task(**said):
    return shown("HospitalTask", {}) | {"status": {"conditions": conditions(**said)}}


def row(found, part=None, ending=None):
    said = {"hospitals": [{"name": "a", **part}] if part else []} | ({"ending": ending} if ending else {})
    (only,) = hospital_rows.rows(["a"], {"a": found} if found else {}, progress(JOB, **said))
    return only


APPROVED = {"Approved": ("True", "ApprovedByRule")}


@pytest.mark.parametrize(
    ("found", "part", "state", "told"),
    [
        (None, None, "Offered", "It is being asked."),
        (task(), None, "Offered", "It is being asked."),
        (task(Approved=("False", "WaitingForApproval")), None, "Offered", "Approved says WaitingForApproval."),
        (task(Denied=("True", "DeniedByHospital")), None, "Denied", "Denied says DeniedByHospital."),
        (task(Denied=("True", "DeniedByHospital")), {"state": "Late", "round": 2}, "Denied", "DeniedByHospital"),
        (task(**APPROVED), None, "Pending", "Its trainer is starting."),
        (task(**APPROVED, Training=("False", "NoGpuFree")), None, "Pending", "NoGpuFree: Training says NoGpuFree."),
        (task(**APPROVED, Training=("False", "TrainerFailed")), None, "Failed", "describe hospitaltask study"),
        (task(**APPROVED, Training=("True", "TrainerRunning")), {"state": "Absent"}, "Pending", "starting"),
        (task(**APPROVED), {"state": "Ready"}, "Ready", ""),
        (task(**APPROVED), {"state": "Late", "message": "no update since 8 s"}, "Late", "no update since 8 s"),
        (task(**APPROVED), {"state": "Left"}, "Dropped", ""),
        (task(**APPROVED), {"state": "Left", "message": BUDGET_SPENT}, "Exhausted", "Its privacy budget is spent"),
        (task(**APPROVED, Done=("True", "BudgetExhausted")), None, "Exhausted", "Its privacy budget is spent"),
        (task(**APPROVED, Admitted=("False", "LedgerUnavailable")), None, "Pending", "LedgerUnavailable"),
        (task(**APPROVED, Admitted=("False", "Suspended")), None, "Pending", "Its trainer is starting."),
    ],
)
def test_a_hospital_is_where_the_aggregator_sees_it_and_else_where_its_task_is(found, part, state, told):
    assert row(found, part)["state"] == state
    assert told in row(found, part).get("message", "")


def test_a_message_is_never_longer_than_the_definition_of_the_status_allows():
    said = task(**APPROVED, Training=("False", "TrainerRefused"))
    said["status"]["conditions"][-1]["message"] = "x" * 2000
    message = row(said)["message"]
    assert (len(message), message[:17], message[-1]) == (1024, "TrainerRefused: x", "…")


def test_who_took_part_is_done_when_the_job_is():
    ending = {"outcome": "Succeeded", "reason": "RoundsCompleted"}
    assert row(task(**APPROVED), {"state": "Sent", "round": 9}, ending) == {"name": "a", "state": "Done", "round": 9}
    assert row(task(**APPROVED), {"state": "Left"}, ending)["state"] == "Dropped"
    left = task(Denied=("True", "DeniedByHospital"))
    assert row(left, {"state": "Late", "round": 2}, ending) | {"message": ""} == {
        "name": "a",
        "state": "Denied",
        "round": 2,
        "message": "",
    }


def words(container):
    """The Training condition that the hospital's operator writes for such a pod."""
    found = trouble({"status": {"phase": "Running", "containerStatuses": [container]}})
    assert isinstance(found, Trouble)
    (made,) = conditions(Training=("False", found.reason))
    return made | {"message": found.message}


@pytest.mark.parametrize("reason", ["Crashing", "TrainerFailed"])
def test_the_hub_never_repeats_what_a_hospitals_program_wrote(reason):
    ended = {"terminated": {"exitCode": 1, "message": SECRET}}
    said = words({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}) | {"reason": reason}
    assert SECRET in said["message"]
    found = task(**APPROVED)
    found["status"]["conditions"].append(said)
    shown_to_the_hub = [row(found), hospital_rows.waiting_for(["a"], {"a": found}, None)]
    assert SECRET not in json.dumps(shown_to_the_hub)


@given(st.sampled_from(["Crashing", "TrainerFailed", "TrainerRunning", "TrainerStarting", "Finished"]))
def test_no_reason_of_a_program_lets_its_words_through(reason):
    found = task(**APPROVED, Training=("False", reason))
    found["status"]["conditions"][-1]["message"] = SECRET
    assert SECRET not in json.dumps(row(found))


def test_the_commonest_reason_is_the_one_that_keeps_most_hospitals_away():
    away = {"a": ("False", "NoGpuFree"), "b": ("False", "NoGpuFree"), "c": ("False", "ImageNotPulled")}
    tasks = {name: task(**APPROVED, Training=reason) for name, reason in away.items()}
    assert hospital_rows.commonest_reason(tasks) == "NoGpuFree"
    assert hospital_rows.commonest_reason({"a": task(Approved=("False", "DatasetMissing"))}) == "DatasetMissing"
    assert hospital_rows.commonest_reason({"a": task(Denied=("True", "DeniedByHospital"))}) == "DeniedByHospital"
    assert hospital_rows.commonest_reason({"a": task(**APPROVED, Training=("True", "TrainerRunning"))}) == ""


def test_what_a_hospital_spent_is_told_for_jobs_with_privacy():
    plain = task(**APPROVED)
    plain["status"]["epsilonSpent"] = "1.25"
    assert "epsilonSpent" not in row(plain)
    assert row({**plain, "spec": {**plain["spec"], "privacy": {"epsilon": "2"}}})["epsilonSpent"] == "1.25"


def test_an_exhausted_hospital_stays_so_when_the_job_is_over():
    ending = {"outcome": "Succeeded", "reason": "BudgetExhausted"}
    assert row(task(**APPROVED), {"state": "Left", "message": BUDGET_SPENT}, ending)["state"] == "Exhausted"
