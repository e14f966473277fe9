from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from api_documents import IMAGE, document
from hypothesis import assume, given
from hypothesis import strategies as st

from consilia.api import Dataset, HospitalTask
from consilia.api.dataset import TrainingHours
from consilia.errors import ManifestError
from consilia_operator.approval import closed, judge

ENTRYPOINT = "package.module:Task"
OTHER = "another.module:Task"
RULES = {
    "manual": {},
    "the task": {"mode": "Automatic", "tasks": [ENTRYPOINT]},
    "another task": {"mode": "Automatic", "tasks": [OTHER]},
    "the image": {"mode": "Automatic", "images": [IMAGE]},
    "another image": {"mode": "Automatic", "images": [IMAGE.replace("0", "1")]},
    "both": {"mode": "Automatic", "images": [IMAGE], "tasks": [ENTRYPOINT]},
    "the image, another task": {"mode": "Automatic", "images": [IMAGE], "tasks": [OTHER]},
}
AUTOMATIC = {("the task", None), ("the task", IMAGE), ("the image", IMAGE), ("both", IMAGE)}
"""Where the rule lists what is asked for: the rule, and the image that the job names."""


def task(decision, image):
    changes = {"decision": decision} | ({"task": {"entrypoint": ENTRYPOINT, "image": image}} if image else {})
    return HospitalTask.model_validate(document("HospitalTask", changes))


@pytest.mark.parametrize(
    ("decision", "rule", "image"), list(product(("Approved", "Denied", "Undecided"), RULES, (None, IMAGE)))
)
def test_a_persons_word_goes_before_the_rule_and_what_no_rule_lists_is_left_to_a_person(decision, rule, image):
    dataset = Dataset.model_validate(document("Dataset", {"approval": RULES[rule]}))
    found = judge(task(decision, image), dataset)
    listed = "Approved" if (rule, image) in AUTOMATIC else "Undecided"
    assert found.verdict == (listed if decision == "Undecided" else decision)


SERVERS = ["kafka.example.org:9092", "kafka.example.org:9093"]


@pytest.mark.parametrize(
    ("logs", "verdict"),
    [([], "Undecided"), (SERVERS[:1], "Undecided"), (SERVERS, "Approved"), ([*SERVERS, "x:1"], "Approved")],
)
def test_updates_travel_through_somebody_elses_log_only_where_it_is_listed(logs, verdict):
    offered = document("HospitalTask", {"transport": {"external": {"bootstrapServers": SERVERS}}})
    dataset = document("Dataset", {"approval": RULES["the task"] | {"logs": logs}})
    found = judge(HospitalTask.model_validate(offered), Dataset.model_validate(dataset))
    assert found.verdict == verdict
    if verdict == "Undecided":
        assert f"not updates by way of {', '.join(each for each in SERVERS if each not in logs)}" in found.message


@pytest.mark.parametrize(
    ("rule", "reason", "told"),
    [
        ("manual", "WaitingForApproval", "Dataset patients wants somebody to decide"),
        ("another task", "NotOnTheList", f"not the task {ENTRYPOINT}"),
        ("the image", "NotOnTheList", "not the image of this installation"),
    ],
)
def test_whoever_must_decide_is_told_how(rule, reason, told):
    found = judge(task("Undecided", None), Dataset.model_validate(document("Dataset", {"approval": RULES[rule]})))
    assert found.reason == reason
    assert told in found.message
    assert "kubectl -n a patch hospitaltask study --type=merge" in found.message


@pytest.mark.parametrize(("most", "verdict"), [(None, "Approved"), (2, "Approved"), (1, "Undecided"), (0, "Undecided")])
def test_a_rule_approves_no_more_gpus_than_it_says(most, verdict):
    offered = HospitalTask.model_validate(document("HospitalTask", {"gpu": 2}))
    rule = RULES["the task"] | ({} if most is None else {"maxGpus": most})
    assert judge(offered, Dataset.model_validate(document("Dataset", {"approval": rule}))).verdict == verdict


@pytest.mark.parametrize("rule", RULES)
def test_what_the_hospital_suspended_waits_and_the_hub_is_told_what_the_hospital_says(rule):
    offered = document("HospitalTask", {"decision": "Suspended", "decisionMessage": "The GPU is needed."})
    dataset = Dataset.model_validate(document("Dataset", {"approval": RULES[rule]}))
    found = judge(HospitalTask.model_validate(offered), dataset)
    assert (found.verdict, found.reason) == ("Undecided", "SuspendedByHospital")
    assert "The GPU is needed." in found.message


ZURICH = {"begin": "20:00", "end": "06:00", "time_zone": "Europe/Zurich"}


@pytest.mark.parametrize(
    ("hours", "at", "wait"),
    [
        ({"begin": "08:00", "end": "10:00"}, "2026-11-22T08:00:00Z", None),
        ({"begin": "08:00", "end": "10:00"}, "2026-11-22T09:59:59Z", None),
        ({"begin": "08:00", "end": "10:00"}, "2026-11-22T10:00:00Z", 22 * 3600),
        ({"begin": "08:00", "end": "10:00"}, "2026-11-22T07:59:00Z", 60),
        (ZURICH, "2026-11-22T19:00:00Z", None),
        (ZURICH, "2026-11-23T04:59:00Z", None),
        (ZURICH, "2026-11-22T18:30:00Z", 1800),
        (ZURICH, "2026-07-22T18:30:00Z", None),
        (ZURICH, "2026-07-22T04:00:00Z", 14 * 3600),
    ],
)
def test_jobs_train_in_the_hospitals_hours_by_its_own_clocks(hours, at, wait):
    found = closed(TrainingHours(**hours), datetime.fromisoformat(at))
    assert (found and found.total_seconds()) == wait


@given(st.times(), st.times(), st.datetimes(timezones=st.just(UTC)))
def test_after_the_wait_it_is_the_hour(begin, end, at):
    begin, end = begin.strftime("%H:%M"), end.strftime("%H:%M")
    assume(begin != end)
    hours = TrainingHours(begin=begin, end=end)
    wait = closed(hours, at)
    assert wait is None or (timedelta() < wait <= timedelta(days=1) and closed(hours, at + wait) is None)


def test_a_time_zone_that_nobody_knows_is_named():
    with pytest.raises(ManifestError, match=r"'Mars/Olympus' is no time zone"):
        closed(TrainingHours(begin="08:00", end="10:00", time_zone="Mars/Olympus"), datetime.now(UTC))
