"""A hospital holds what would run against what it was offered."""

import json
from dataclasses import replace

import pytest
from api_documents import DIGEST, KEY
from observed import shown

from consilia.api import HospitalTask
from consilia.wire.identity import PublicKey, Roster
from consilia_operator.manifests.offer import Offer, hospital_task, papers
from consilia_operator.offers import _DECIDED_ON, Incomplete, Papers, differences, parse

LOG = {"kafka.json": b'{"bootstrapServers": ["broker:9093"]}'}
ROSTER = Roster(PublicKey.from_text(KEY), {name: PublicKey.from_text(KEY) for name in "abc"})
JOB = shown("FederatedJob", {"resources": {"gpu": 1}, "training.localEpochs": 2, "runPolicy": {"backoffLimit": 3}})
OFFER = Offer(
    job=JOB, hospital="a", roster=ROSTER.as_json(), roster_digest=ROSTER.digest(), withdrawn=False
)  # fmt: skip


def sent(offer=OFFER):
    """The papers, as they arrive."""
    task = hospital_task(offer) | {}
    task["metadata"]["uid"] = "uid-of-task"
    config, _ = papers(offer, task, LOG)
    return parse(config["data"], LOG)


def offered(**changes):
    """The HospitalTask with another word in its spec."""
    found = hospital_task(OFFER)
    found["spec"] |= changes
    return HospitalTask.model_validate(found)


def test_an_offer_and_its_papers_agree_and_the_papers_hold_the_whole_job():
    assert differences(offered(), sent()) == ""
    assert sent().job.spec.run_policy.backoff_limit == 3


REFERENCE = hospital_task(OFFER)["spec"]["job"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dataset": "others"}, "dataset"),
        ({"task": {"entrypoint": "another.module:Task"}}, "task"),
        ({"rounds": {"count": 9}}, "rounds"),
        ({"training": {"localEpochs": 1}}, "training"),
        ({"evaluation": {"everyRounds": 2}}, "evaluation"),
        ({"personalization": {"localParameters": ["head"]}}, "personalization"),
        ({"privacy": {"epsilon": "1", "delta": "1e-5"}}, "privacy"),
        ({"secureAggregation": {"mode": "Masking"}}, "secure_aggregation"),
        ({"compression": {"codec": "TopK", "ratio": "0.1"}}, "compression"),
        ({"transport": {"external": {"bootstrapServers": ["broker:9093"]}}}, "transport"),
        ({"gpu": 0}, "resources"),
        ({"gpu": 2}, "resources"),
        ({"podTemplate": {"spec": {"nodeSelector": {"zone": "dmz"}}}}, "resources"),
        ({"hospital": "d"}, "hospital"),
        ({"job": REFERENCE | {"uid": "another"}}, "job"),
        ({"job": REFERENCE | {"name": "another"}}, "job"),
        ({"job": REFERENCE | {"configDigest": DIGEST}}, "configDigest"),
        ({"job": REFERENCE | {"rosterDigest": DIGEST}}, "rosterDigest"),
    ],
)
def test_every_difference_is_found_and_named(changes, named):
    told = differences(offered(**changes), sent())
    assert f"{named} differ" in told or f"{named}," in told


@pytest.mark.parametrize(("servers", "told"), [(["broker:9093"], ""), (["other:9093"], "bootstrapServers differ")])
def test_the_way_to_somebody_elses_log_is_the_one_that_was_offered(servers, told):
    job = shown("FederatedJob", {"transport": {"external": {"bootstrapServers": servers}}})
    offer = replace(OFFER, job=job)
    assert told in differences(HospitalTask.model_validate(hospital_task(offer)), sent(offer))


def test_every_part_of_a_job_that_a_hospital_decides_on_is_compared():
    decided_on = set(HospitalTask.model_fields["spec"].annotation.model_fields)
    compared_otherwise = {"hospital", "job", "gpu", "pod_template"}
    assert decided_on - compared_otherwise - set(_DECIDED_ON) == {"decision", "decision_message", "suspend"}


@pytest.mark.parametrize(
    ("data", "log"),
    [
        ({}, LOG),
        ({"job.json": "{}", "roster.json": "{}"}, LOG),
        ({"job.json": "rubbish", "roster.json": "{}"}, LOG),
        ({"roster.json": "[]"}, LOG),
        ({"roster.json": json.dumps({"aggregator": "no key", "hospitals": {}})}, LOG),
        ({}, {}),
        ({}, {"kafka.json": b"rubbish"}),
        ({}, {"kafka.json": b'{"bootstrapServers": ["no port"]}'}),
    ],
)
def test_rubbish_is_an_answer_and_no_crash(data, log):
    task = hospital_task(OFFER)
    task["metadata"]["uid"] = "uid-of-task"
    whole = papers(OFFER, task, LOG)[0]["data"]
    found = parse((whole if log != LOG else {}) | data, log)
    assert isinstance(found, Incomplete)
    assert found.final
    assert isinstance(parse(whole, LOG), Papers)


def test_the_secrets_of_the_log_are_not_in_what_is_printed():
    assert "9093" not in repr(sent())
