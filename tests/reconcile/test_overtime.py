import pytest
from observed import NOON, after, conditions, pod, shown

from consilia_operator.conditions import timestamp
from consilia_operator.overtime import BACKOFF, exceeded, expires, next_deadline, since_end


def job(policy, started=None, **said):
    status = {"conditions": conditions(**said)} | ({"startTime": timestamp(started)} if started else {})
    return shown("FederatedJob", {"runPolicy": policy}) | {"status": status}


def crashed(times):
    ended = {"terminated": {"exitCode": 1, "message": "ValueError: rubbish"}}
    return pod(phase="Running", containerStatuses=[{"restartCount": times, "lastState": ended}])


ACTIVE, WAITING = {"activeDeadlineSeconds": 100}, {"schedulingTimeoutSeconds": 100}


@pytest.mark.parametrize(
    ("policy", "started", "said", "reason"),
    [
        (ACTIVE, NOON, {}, "DeadlineExceeded"),
        (ACTIVE, None, {}, None),
        (ACTIVE | {"suspend": True}, NOON, {}, None),
        (WAITING, None, {}, "SchedulingTimeout"),
        (WAITING, NOON, {}, None),
        (WAITING, None, {"QuorumMet": "True"}, None),
        (WAITING | {"suspend": True}, None, {}, None),
        ({}, NOON, {}, None),
    ],
)
def test_a_limit_counts_from_its_beginning_and_not_under_suspension(policy, started, said, reason):
    found = exceeded(job(policy, started, **said), [], after(100))
    assert (found.reason if found else None) == reason
    assert exceeded(job(policy, started, **said), [], after(99)) is None
    assert next_deadline(job(policy, started, **said), after(40)) == (60.0 if reason else None)


def test_what_the_aggregator_says_of_the_first_round_counts_before_the_status_has_it():
    assert exceeded(job(WAITING), [], after(100), begun=NOON) is None
    assert exceeded(job(ACTIVE), [], after(100), begun=NOON).reason == "DeadlineExceeded"
    assert exceeded(job(ACTIVE), [], after(100), begun=after(1)) is None


RESUMABLE = [(WAITING, None, "SchedulingTimeout"), (ACTIVE, NOON, "DeadlineExceeded")]


@pytest.mark.parametrize(("policy", "started", "reason"), RESUMABLE)
def test_time_counts_anew_after_a_suspension(policy, started, reason):
    resumed = job(policy, started, Suspended="False")
    resumed["status"]["conditions"][0]["lastTransitionTime"] = timestamp(after(1000))
    assert exceeded(resumed, [], after(1099)) is None
    assert exceeded(resumed, [], after(1100)).reason == reason


@pytest.mark.parametrize(("policy", "started", "reason"), RESUMABLE)
def test_the_first_look_at_a_resumed_job_does_not_count_its_suspension(policy, started, reason):
    assert exceeded(job(policy, started, Suspended="True"), [], after(10_000)) is None


@pytest.mark.parametrize(("policy", "allowed"), [({}, BACKOFF), ({"backoffLimit": 0}, 0), ({"backoffLimit": 2}, 2)])
def test_an_aggregator_may_fail_so_often_and_no_more(policy, allowed):
    assert exceeded(job(policy), [crashed(allowed)], NOON) is None
    found = exceeded(job(policy), [crashed(allowed + 1)], NOON)
    assert found.reason == "BackoffLimitExceeded"
    assert "ValueError: rubbish" in found.message


def test_a_finished_job_is_kept_as_long_as_it_says():
    ended = job({"ttlSecondsAfterFinished": 60})
    ended["status"]["completionTime"] = timestamp(NOON)
    assert expires(ended, after(20)) == 40
    assert expires(ended, after(61)) == -1
    assert since_end(ended, after(20)) == 20
    assert expires(job({"ttlSecondsAfterFinished": 60}), NOON) is None
    assert expires(job({}), NOON) is None
