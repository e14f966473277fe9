"""The status of a FederatedJob, for whatever may be seen of it."""

from dataclasses import replace

import pytest
from api_documents import DIGEST
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from observed import NOON, after, conditions, joined, pod, progress, shown

from consilia.api.federated_job import FederatedJob
from consilia.api.job_status import FederatedJobStatus
from consilia.progress import JobPhase, JobProgress, PartState
from consilia_operator.admission import admit, parse
from consilia_operator.conditions import Finding, condition, holds
from consilia_operator.overtime import Overtime
from consilia_operator.reporting import Seen, report

NAMES = ("a", "b", "c")
READY = Finding("TransportReady", True, "KafkaReady", "The log is ready.")
PARTS = [{"name": "a", "state": "Training"}, {"name": "b", "state": "Late", "message": "no update"},
         {"name": "c", "state": "Sent", "round": 2}]  # fmt: skip
TRAINING = {
    "started": NOON.timestamp(), "round": 3, "roundsCompleted": 2, "updatesReceived": 1, "lastRoundSeconds": 1.5,
    "hospitals": PARTS, "metrics": {"auc": 0.91234567, "loss": 0.3}, "model": {"digest": DIGEST, "round": 2},
}  # fmt: skip
WAITING = {"phase": "Waiting", "hospitals": [{"name": "a", "state": "Ready"}]}
SUCCEEDED = TRAINING | {"phase": "Finished", "ending": {"outcome": "Succeeded", "reason": "RoundsCompleted"}}


def seen(said=None, changes=None, status=None, **more):
    job = shown("FederatedJob", changes) | ({"status": status} if status else {})
    read = parse(job)
    admission = admit(read, [joined(name) for name in NAMES], NOON)
    known = {"transport": READY, "tasks": {}, "now": NOON}
    heard = progress(job, **said) if said else None
    return Seen(document=job, job=read, admission=admission, progress=heard, **(known | more))


def again(before, **changed):
    """The next look at a job that has the status of the one before."""
    document = before.document | {"status": report(before)}
    return replace(before, document=document, **{"now": after(60), **changed})


def stands(status, kind):
    found = condition(status["conditions"], kind)
    return (found["status"], found["reason"])


@pytest.mark.parametrize(
    ("one", "state", "running"),
    [
        (seen(), "AggregatorStarting", ("False", "AggregatorStarting")),
        (seen({"phase": "Starting"}), "AggregatorStarting", ("False", "AggregatorStarting")),
        (seen(WAITING), "WaitingForHospitals", ("False", "WaitingForHospitals")),
        (seen(TRAINING), "Running", ("True", "RoundOpen")),
        (seen(TRAINING | {"phase": "Evaluating"}), "Evaluating", ("True", "Evaluating")),
        (seen(SUCCEEDED), "Succeeded", ("False", "RoundsCompleted")),
        (
            seen(transport=Finding("TransportReady", False, "KafkaStarting", "0 of 1 brokers run.")),
            "KafkaStarting", ("False", "KafkaStarting"),
        ),
        (seen(changes={"runPolicy": {"suspend": True}}), "Suspended", ("False", "Suspended")),
        (seen(overtime=Overtime("DeadlineExceeded", "too late")), "Failed", ("False", "DeadlineExceeded")),
        (seen(refused="a cannot be asked: 403."), "Refused", ("False", "Refused")),
        (
            seen(pods=[pod(phase="Pending", conditions=[
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "1 Insufficient cpu"}
            ])]),
            "Unschedulable", ("False", "Unschedulable"),
        ),
    ],
)  # fmt: skip
def test_the_one_word_of_a_job_is_what_matters_most_now(one, state, running):
    status = report(one)
    assert status["summary"]["state"] == state
    assert stands(status, "Running") == running


def test_a_running_job_tells_its_story():
    status = report(seen(TRAINING, {"evaluation.metrics": ["auc", "accuracy"]}))
    assert status["summary"] == {
        "state": "Running", "rounds": "2/10", "hospitals": "3/3", "metric": "auc 0.9123", "epsilon": "",
    }  # fmt: skip
    assert "epsilon" not in status  # without privacy: 0 would be the best there is
    assert condition(status["conditions"], "Running")["message"] == "Round 3 is open. Late: b."
    assert [row["state"] for row in status["hospitals"]] == ["Training", "Late", "Sent"]
    assert status["startTime"] == "2026-11-21T12:00:00Z"
    assert status["model"]["digest"] == DIGEST


def test_a_job_that_succeeded_says_how_to_fetch_its_model():
    status = report(seen(SUCCEEDED))
    assert stands(status, "Succeeded") == ("True", "RoundsCompleted")
    assert "kubectl -n hub exec deploy/study-aggregator -- consilia-model" in status["conditions"][-1]["message"]
    assert status["completionTime"] == "2026-11-21T12:00:00Z"
    assert {row["state"] for row in status["hospitals"]} == {"Done"}


@pytest.mark.parametrize("said", [WAITING, TRAINING, TRAINING | {"phase": "Evaluating"}, {"phase": "Starting"}])
def test_an_operator_that_starts_anew_changes_nothing(said):
    before = seen(said)
    assert report(again(before, progress=None)) == report(before)


def test_an_aggregator_that_is_in_trouble_shows_at_once_even_when_it_was_never_heard_by_this_operator():
    crashing = pod(phase="Running", containerStatuses=[{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}])
    assert stands(report(again(seen(TRAINING), progress=None, pods=[crashing])), "Running") == ("False", "Crashing")


def test_a_resumed_job_starts_before_it_runs():
    suspended = again(seen(TRAINING), progress=None)
    suspended.document["spec"]["runPolicy"] = {"suspend": True}
    resumed = again(suspended)
    resumed.document["spec"]["runPolicy"] = {"suspend": False}
    status = report(resumed)
    assert stands(status, "Running") == ("False", "AggregatorStarting")
    assert stands(status, "Suspended") == ("False", "Resumed")
    assert holds(status["conditions"], "QuorumMet")


def test_what_is_over_stays_as_it_was_whatever_comes_later():
    ended = seen(SUCCEEDED)
    for later in ({"progress": None}, {"overtime": Overtime("DeadlineExceeded", "")}, {"refused": "no"}):
        assert report(again(ended, **later)) == report(ended)


def test_an_invalid_job_has_failed_and_says_why():
    job = shown("FederatedJob", {"compression": {"codec": "TopK", "ratio": "0.1"}})
    status = report(Seen(document=job, job=None, admission=parse(job), tasks={}, now=NOON))
    assert stands(status, "Failed") == ("True", "NotSupported")
    assert status["summary"]["state"] == "Failed"


def test_a_figure_that_is_none_is_left_out():
    status = report(seen(TRAINING | {"metrics": {"loss": float("nan"), "auc": 1e-300}}))
    assert status["metrics"] == [{"name": "auc", "value": "1e-300"}]


PROGRESS = st.builds(
    JobProgress,
    job=st.just("study.uid"),
    phase=st.sampled_from(JobPhase.__args__),
    hospitals=st.lists(
        st.builds(dict, name=st.sampled_from([*NAMES, "stranger"]), state=st.sampled_from(PartState.__args__)),
        max_size=4,
    ),
    model=st.none() | st.just({"digest": DIGEST, "round": 4}),
    ending=st.none()
    | st.fixed_dictionaries(
        {
            "outcome": st.sampled_from(["Succeeded", "Failed"]),
            "reason": st.from_regex(r"[A-Za-z]([A-Za-z0-9_,:]{0,40}[A-Za-z0-9_])?", fullmatch=True),
            "message": st.text(max_size=1024),
        }
    ),
    started=st.none() | st.floats(0, 2**33 - 1),
    last_round_seconds=st.none() | st.floats(0, 2**33 - 1),
)
SEEN = st.builds(
    replace,
    st.just(seen()),
    progress=st.none() | PROGRESS,
    overtime=st.none() | st.just(Overtime("DeadlineExceeded", "too late")),
    transport=st.none() | st.builds(Finding, st.just("TransportReady"), st.booleans(), st.just("Kafka"), st.text()),
    refused=st.text(max_size=2000),
    pods=st.lists(st.just(pod(phase="Running")), max_size=1),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(SEEN, min_size=1, max_size=4))
def test_whatever_is_seen_the_status_is_one_that_can_be_written_and_the_same_look_again_changes_nothing(looks):
    status = {}
    for look in looks:
        document = look.document | {"status": status}
        status = report(replace(look, document=document, job=FederatedJob.model_validate(shown("FederatedJob"))))
        FederatedJobStatus.model_validate(status)
        assert report(replace(look, document=document | {"status": status}, now=after(60))) == status
    assert status["conditions"] != conditions()


def test_an_aggregator_whose_pod_is_not_let_in_says_why():
    failed = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods=0"}
    status = report(seen(deployment={"status": {"conditions": [failed]}}))
    assert stands(status, "Running") == ("False", "PodRefused")
    assert "exceeded quota: pods=0" in condition(status["conditions"], "Running")["message"]
    there = report(seen(deployment={"status": {"conditions": [failed]}}, pods=[pod(phase="Running")]))
    assert stands(there, "Running") == ("False", "AggregatorStarting")


def test_the_largest_spending_is_told_and_no_smaller_than_it_is():
    private = {"privacy": {"epsilon": "8", "delta": "1e-5"}}
    tasks = {}
    for name, spent in {"a": "2.3012", "b": "0.9"}.items():
        tasks[name] = shown("HospitalTask", private) | {"status": {"epsilonSpent": spent, "conditions": []}}
    status = report(seen(TRAINING, private, tasks=tasks))
    assert status["epsilon"] == {"maxSpent": "2.3012"}
    assert status["summary"]["epsilon"] == "2.31"
    assert {row["name"]: row.get("epsilonSpent") for row in status["hospitals"]} == {
        "a": "2.3012", "b": "0.9", "c": None,
    }  # fmt: skip


def test_an_epsilon_beyond_all_measure_is_not_told_in_digits():
    private = {"privacy": {"epsilon": "8", "delta": "1e-5"}}
    task = shown("HospitalTask", private) | {"status": {"epsilonSpent": "2e+40", "conditions": []}}
    assert report(seen(TRAINING, private, tasks={"a": task}))["summary"]["epsilon"] == ">1000000"


def test_a_job_may_succeed_because_budgets_are_spent():
    ended = SUCCEEDED | {"ending": {"outcome": "Succeeded", "reason": "BudgetExhausted", "message": "After 7 rounds."}}
    assert stands(report(seen(ended)), "Succeeded") == ("True", "BudgetExhausted")
