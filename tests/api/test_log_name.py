"""What a job is called on the log."""

import uuid

import pytest
from api_documents import document
from hypothesis import given
from hypothesis import strategies as st

from consilia.api import FederatedJob
from consilia.kafka.acls import require_job
from consilia.log import topics


def job(name: str, uid: str | None) -> FederatedJob:
    made = FederatedJob.model_validate(document("FederatedJob"))
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"name": name, "uid": uid})})


@pytest.mark.parametrize(
    ("uid", "name"),
    [(None, "heart"), ("", "heart"), ("3fa9c1d2-0000-4000-8000-000000000000", "heart.3fa9c1d2")],
    ids=["no uid", "empty", "as Kubernetes gives it"],
)
def test_a_job_with_a_uid_has_its_beginning_behind_its_name(uid, name):
    assert job("heart", uid).log_name == name


def test_a_job_made_anew_under_the_same_name_is_another_on_the_log():
    assert job("heart", str(uuid.uuid4())).log_name != job("heart", str(uuid.uuid4())).log_name


@given(uid=st.text(max_size=80), name=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True))
def test_whatever_the_uid_the_name_fits_every_topic_and_rule(uid, name):
    log_name = job(name, uid).log_name
    require_job(log_name)
    for topic in (topics.rounds(log_name), topics.model(log_name), topics.up("h" * 63, log_name)):
        topics.check(topic)
