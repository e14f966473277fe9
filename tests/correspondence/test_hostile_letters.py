"""What a hub, a broker or somebody between them may try: the hospital does nothing of it, and says why to both."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from time import time

import pytest
from hospital_in_memory import APPROVED, NAME, PRIVATE
from hub_by_hand import hub_and_riverside

from consilia.enrolment.keeping import LINK
from consilia.log import topics
from consilia.wire.correspondence import key_of, write
from consilia.wire.identity import MESSAGE, OFFER, Identity, Roster, canonical
from consilia_operator.correspondence.agent import HEARD
from consilia_operator.correspondence.mailbox import Mailbox
from consilia_operator.errors import ApiRefused, HubLeft
from consilia_operator.kinds import CONFIG_MAP, SECRET

JOB = {"task": {"entrypoint": "package.module:Task"}, "dataset": "patients"}
IMAGE = "registry.example/trainer@sha256:" + "1" * 64
OTHER = Identity.generate("other")


@pytest.fixture
def hub(tmp_path):
    with hub_and_riverside(tmp_path) as found:
        yield found


def lay(hub, letter, *, headers=None, key=None, identity=None, purpose=OFFER):
    """A record as somebody with the broker in their hands would lay it."""
    value, signed = write(letter, identity or hub.identity)
    if purpose is not OFFER:
        signed = {"signature": (identity or hub.identity).sign(value, purpose=purpose)}
    return hub.put(value, signed if headers is None else headers, key or key_of(letter))


def forged(hub):
    lay(hub, hub.letter(JOB), identity=OTHER)


def forged_by_the_aggregator(hub):
    lay(hub, hub.letter(JOB), identity=hub.aggregator)


def unsigned(hub):
    lay(hub, hub.letter(JOB), headers={})


def signed_as_a_round(hub):
    lay(hub, hub.letter(JOB), purpose=MESSAGE)


def rubbish(hub):
    hub.put(b"\x80\x04\x95cposix\nsystem\n", {"signature": "AAAA"}, "uid-of-study")


def rubbish_that_the_hub_signed(hub):
    value = canonical({"type": "Offer", "run": "rm -rf /"})
    hub.put(value, {"signature": hub.identity.sign(value, purpose=OFFER)}, "uid-of-study")


def changed_on_its_way(hub):
    value, headers = write(hub.letter(JOB), hub.identity)
    hub.put(value.replace(b"patients", b"everyone"), headers, "uid-of-study")


def for_another_hospital(hub):
    hub.post(hub.letter(JOB, hospital="lakeside"))


def of_another_hub(hub):
    hub.post(hub.letter(JOB, hub="another"))


def expired(hub):
    hub.post(hub.letter(JOB, issued=time() - 9000, expires=time() - 8000))


def from_the_future(hub):
    hub.post(hub.letter(JOB, issued=time() + 4000, expires=time() + 8000))


def under_another_jobs_key(hub):
    lay(hub, hub.letter(JOB), key="uid-of-another")


def another_job_than_it_says(hub):
    hub.post(hub.letter(JOB, uid="uid-of-another"))


def replayed_after_a_recall(hub):
    letter = hub.letter(JOB)
    hub.post(letter, hub.recall())
    lay(hub, letter)


def a_later_operator_is_replayed_to(hub):
    letter = hub.letter(JOB)
    hub.post(letter, hub.recall())
    hub.restart_operator()
    lay(hub, letter)


def no_job_at_all(hub):
    hub.post(hub.letter(job={"metadata": {"uid": "uid-of-study"}}))


def with_fields_that_nobody_knows(hub):
    job = hub.job(JOB)
    job["spec"]["exfiltrate"] = True
    hub.post(hub.letter(job=job))


def without_us_on_the_roster(hub):
    hub.post(hub.letter(JOB, roster=Roster(hub.aggregator.public(), {"lakeside": OTHER.public()}).as_json()))


def with_another_key_for_us(hub):
    hub.post(hub.letter(JOB, roster=Roster(hub.aggregator.public(), {NAME: OTHER.public()}).as_json()))


def without_a_roster(hub):
    hub.post(hub.letter(JOB, roster={}))


def an_image_by_its_tag(hub):
    job = hub.job(JOB)
    job["spec"]["task"]["image"] = "registry.example/trainer:latest"
    hub.post(hub.letter(job=job))


def more_gpus_than_a_job_may_ask_for(hub):
    job = hub.job(JOB)
    job["spec"]["resources"] = {"gpu": 10**9}
    hub.post(hub.letter(job=job))


def what_the_api_server_finds_wrong(hub):
    hub.riverside.api.answers = {"HospitalTask": ApiRefused(422, "spec.dataset: no")}
    hub.post(hub.letter(JOB))
    hub.riverside.api.answers = {}


@pytest.mark.parametrize(
    ("attempt", "objection"),
    [
        (forged, "Forged"),
        (forged_by_the_aggregator, "Forged"),
        (unsigned, "Forged"),
        (signed_as_a_round, "Forged"),
        (rubbish, "Forged"),
        (changed_on_its_way, "Forged"),
        (rubbish_that_the_hub_signed, "Malformed"),
        (for_another_hospital, "OtherHospital"),
        (of_another_hub, "OtherHub"),
        (expired, "Expired"),
        (from_the_future, "FromTheFuture"),
        (under_another_jobs_key, "Malformed"),
        (another_job_than_it_says, "Malformed"),
        (replayed_after_a_recall, "Replayed"),
        (a_later_operator_is_replayed_to, "Replayed"),
        (no_job_at_all, "Malformed"),
        (with_fields_that_nobody_knows, "Malformed"),
        (without_us_on_the_roster, "Malformed"),
        (with_another_key_for_us, "Malformed"),
        (without_a_roster, "Malformed"),
        (an_image_by_its_tag, "Malformed"),
        (more_gpus_than_a_job_may_ask_for, "Malformed"),
        (what_the_api_server_finds_wrong, "Malformed"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_a_letter_that_is_not_to_be_believed_makes_nothing(attempt, objection, hub):
    attempt(hub)
    assert hub.task() is None
    assert hub.trainer() is None
    # The hospital sees why; the hub sees that, and how often.
    (refusal,) = json.loads(hub.riverside.there(CONFIG_MAP, HEARD)["data"]["refused.json"])
    assert refusal["objection"] == objection
    assert refusal["message"]
    assert hub.report().refused == {objection: 1}
    # And the next honest one is heard.
    hub.post(hub.letter(JOB, name="honest"))
    assert hub.trainer("honest")


def an_image_that_nobody_approved(hub):
    hub.riverside.apply({"approval": {"mode": "Automatic", "images": [IMAGE]}})
    return {**JOB, "task": {**JOB["task"], "image": IMAGE.replace("1", "2")}}


def a_task_that_nobody_approved(hub):
    return {**JOB, "task": {"entrypoint": "package.module:Other"}}


def a_data_set_that_is_not_there(hub):
    return {**JOB, "dataset": "staff"}


def a_pod_that_takes_the_node(hub):
    return {**JOB, "resources": {"podTemplate": {"spec": {"hostNetwork": True}}}}


def somebody_elses_log(hub):
    return {**JOB, "transport": {"external": {"bootstrapServers": ["evil.example:9092"]}}}


def more_gpus_than_the_rule_allows(hub):
    hub.riverside.apply({"approval": {**APPROVED["approval"], "maxGpus": 2}})
    return {**JOB, "resources": {"gpu": 3}}


def at_another_hour(hub):
    begin, end = (f"{(datetime.now(UTC) + timedelta(hours=h)):%H}:00" for h in (3, 5))
    hub.riverside.apply({"approval": {**APPROVED["approval"], "hours": {"begin": begin, "end": end}}})
    return JOB


def more_in_one_job_than_the_rule_allows(hub):
    hub.riverside.start_ledger().ready({"privacyBudget": {"epsilon": "3", "delta": "1e-5", "epsilonPerJob": "1"}})
    return {**JOB, **PRIVATE}


def without_privacy_though_there_is_a_budget(hub):
    hub.riverside.start_ledger().ready()
    return JOB


def more_than_the_budget(hub):
    hub.riverside.start_ledger().ready()
    return {**JOB, **PRIVATE, "privacy": {"epsilon": "9", "delta": "1e-5"}}


def another_unit_than_the_data_sets(hub):
    hub.riverside.start_ledger().ready()
    return {**JOB, **PRIVATE, "privacy": {"epsilon": "1", "delta": "1e-5", "unit": "Patient"}}


@pytest.mark.parametrize(
    ("attempt", "kind", "reason"),
    [
        (an_image_that_nobody_approved, "Approved", "NotOnTheList"),
        (a_task_that_nobody_approved, "Approved", "NotOnTheList"),
        (a_data_set_that_is_not_there, "Approved", "DatasetMissing"),
        (a_pod_that_takes_the_node, "Denied", "PodTemplateRefused"),
        (somebody_elses_log, "Denied", "OfferMismatch"),
        (more_gpus_than_the_rule_allows, "Approved", "NotOnTheList"),
        (at_another_hour, "Training", "OutsideHours"),
        (more_in_one_job_than_the_rule_allows, "Denied", "BudgetExceeded"),
        (without_privacy_though_there_is_a_budget, "Denied", "PrivacyRequired"),
        (more_than_the_budget, "Denied", "BudgetExceeded"),
        (another_unit_than_the_data_sets, "Denied", "UnitMismatch"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_an_offer_that_the_hospitals_own_objects_do_not_allow_trains_nothing(attempt, kind, reason, hub):
    hub.post(hub.letter(attempt(hub)))
    assert hub.says(kind)[1] == reason
    assert hub.trainer() is None
    assert hub.told()[kind][1] == reason


def test_what_was_approved_cannot_be_exchanged_for_something_else(hub):
    hub.post(hub.letter(JOB))
    before = hub.task()["spec"]
    hub.post(hub.letter({**JOB, "task": {"entrypoint": "package.module:Other"}}))
    assert hub.task()["spec"] == before
    assert hub.report().refused == {"Changed": 1}


def test_an_older_letter_does_not_resume_what_a_newer_one_suspended(hub):
    letter = hub.letter(JOB)
    hub.post(letter, hub.letter(JOB, suspend=True))
    lay(hub, letter)
    assert hub.task()["spec"]["suspend"] is True
    assert hub.trainer() is None
    assert hub.report().refused == {"Replayed": 1}


def test_a_hub_cannot_decide_for_the_hospital(hub):
    hub.riverside.apply({"approval": {"mode": "Manual"}})
    job = hub.job(JOB)
    job["spec"]["decision"] = "Approved"
    hub.post(hub.letter(job=job), hub.letter(JOB, name="honest"))
    assert hub.task() is None
    assert hub.says("Approved", "honest") == ("False", "WaitingForApproval")


def test_a_letter_of_a_hub_whose_key_was_exchanged_is_not_believed(hub):
    hub.post(hub.letter(JOB, name="before"))
    thief = Mailbox(hub.open(), topics.HUB, OTHER)
    hub.post(hub.letter(JOB), mailbox=thief)
    assert hub.task() is None
    assert hub.report().refused == {"Forged": 1}
    assert hub.trainer("before")


def test_a_hub_cannot_fill_the_hospitals_cluster_with_offers(hub, monkeypatch):
    monkeypatch.setattr("consilia_operator.correspondence.offered.TASKS_AT_MOST", 3)
    hub.post(*(hub.letter(JOB, name=f"study-{number}") for number in range(5)))
    assert [bool(hub.task(f"study-{number}")) for number in range(5)] == [True] * 3 + [False] * 2
    assert hub.report().refused == {"TooMany": 2}
    assert hub.told("study-4")["Denied"] == ("True", "Invalid")
    hub.post(hub.recall("study-0"))
    hub.post(hub.letter(JOB, name="study-4"))
    assert hub.task("study-4")


def test_jobs_that_are_over_take_no_room_but_do_not_pile_up_either(hub, monkeypatch):
    monkeypatch.setattr("consilia_operator.correspondence.offered.TASKS_AT_MOST", 2)
    monkeypatch.setattr("consilia_operator.correspondence.offered.KEPT_AT_MOST", 4)
    for number in range(5):
        name = f"study-{number}"
        hub.post(hub.letter(JOB, name=name))
        if task := hub.task(name):
            hub.riverside.api.put(task | {"spec": task["spec"] | {"decision": "Denied"}})
            hub.turn()
    assert [bool(hub.task(f"study-{number}")) for number in range(5)] == [True] * 4 + [False]
    assert hub.report().refused == {"TooMany": 1}


def test_nothing_new_begins_for_a_hub_that_was_left_a_moment_ago(hub):
    asyncio.run(hub.riverside.api.delete(SECRET, NAME, LINK))
    with pytest.raises(HubLeft, match="riverside has left the hub hub"):
        hub.post(hub.letter(JOB))
    assert hub.task() is None


def test_what_a_quota_forbids_is_told_politely_and_made_when_it_may_be(hub):
    hub.riverside.api.answers = {"HospitalTask": ApiRefused(403, "exceeded quota of ward 7")}
    hub.post(hub.letter(JOB))
    assert hub.told()["Approved"] == ("False", "NotTaken")
    assert hub.report().tasks[0].state == "NotTaken"
    assert "ward 7" not in hub.report().model_dump_json()
    hub.riverside.api.answers = {}
    hub.turn()
    assert hub.trainer()
    assert hub.told()["Approved"] == ("True", "ApprovedByRule")


def test_what_waits_and_is_offered_as_something_else_meanwhile_is_refused_once(hub):
    hub.riverside.api.answers = {"HospitalTask": ApiRefused(403, "quota")}
    hub.post(hub.letter(JOB))
    hub.riverside.api.answers = {"HospitalTask": ApiRefused(422, "wrong")}
    hub.turn().turn()
    assert hub.report().refused == {"Malformed": 1}
    assert hub.told()["Denied"] == ("True", "Invalid")
