from itertools import product

import pytest
from api_documents import IMAGE, document

from consilia.api import Dataset, HospitalTask
from consilia_operator.approval import judge

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
