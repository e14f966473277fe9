"""What was applied is remembered as long as its owner is there."""

import pytest
from api_documents import KEY
from api_server_in_memory import ApiServerInMemory
from event_loop import in_event_loop
from observed import shown
from running_operator import settings

from consilia.api import Dataset, HospitalTask
from consilia.wire.identity import PublicKey, Roster
from consilia_operator.applying import Applying
from consilia_operator.manifests import aggregator, offer, trainer
from consilia_operator.manifests.network import LogAddress
from consilia_operator.names import JOB, JOB_NAMESPACE, TASK
from consilia_operator.store import Store

LONG = "4" + 62 * "x"
"""So long that the names of what belongs to it are shortened; and a Service's begins with a letter."""
ROSTER = Roster(PublicKey.from_text(KEY), {name: PublicKey.from_text(KEY) for name in "abc"}).as_json()


def of_job(name, uid):
    """All that is applied for it on the hub."""
    job = shown("FederatedJob", {".metadata.name": name}, uid=uid)
    parts = aggregator.AggregatorParts(
        job=job, roster=ROSTER, log={}, log_address=LogAddress("hub"), running=True, operator_namespace="consilia"
    )
    made = offer.Offer(job=job, hospital="a", roster=ROSTER, roster_digest="sha256:" + 64 * "1", withdrawn=False)
    task = offer.hospital_task(made)
    papers = offer.papers(made, {**task, "metadata": {**task["metadata"], "uid": f"task-of-{uid}"}}, {})
    return [*aggregator.documents(parts, settings()), task, *papers]


def of_task(name, namespace):
    """All that is applied for it in the hospital."""
    task, data = shown("HospitalTask", {".metadata.name": name}, namespace=namespace), shown("Dataset")
    parts = trainer.TrainerParts(
        task=HospitalTask.model_validate(task), document=task, dataset=Dataset.model_validate(data),
        log_address=LogAddress("hub"), operator_namespace="consilia", backoff_limit=4,
    )  # fmt: skip
    return trainer.documents(parts, settings())


async def applied(*documents):
    applying = Applying(ApiServerInMemory(), Store())
    for each in documents:
        assert await applying.apply(each)
    return applying


async def known(applying, documents):
    """Those that the API server would not be asked about again."""
    return [each for each in documents if not await applying.apply(each)]


@pytest.mark.parametrize("name", ["study", LONG])
@in_event_loop
async def test_all_of_a_job_that_is_no_more_is_forgotten_and_nothing_of_another(name):
    gone, other = of_job(name, "1"), of_job("study-2", "2")
    applying = await applied(*gone, *other)
    own = {label: gone[0]["metadata"]["labels"][label] for label in (JOB, JOB_NAMESPACE)}
    applying.forget_labelled(None, own)
    assert len(applying._known) == len(other)
    assert await known(applying, other) == other
    assert await known(applying, gone) == []


@in_event_loop
async def test_what_is_of_the_job_that_has_the_name_now_is_not_forgotten():
    gone, living = of_job("study", "1"), of_job("study", "2")
    applying = await applied(*gone, *living)
    own = {label: living[0]["metadata"]["labels"][label] for label in (JOB, JOB_NAMESPACE)}
    applying.forget_labelled(None, own, living="2")
    assert await known(applying, living) == living


@pytest.mark.parametrize("name", ["study", LONG])
@in_event_loop
async def test_all_of_an_offer_that_is_no_more_is_forgotten_and_nothing_of_another_hospitals(name):
    gone, other = of_task(name, "a"), of_task(name, "b")
    applying = await applied(*gone, *other)
    applying.forget_labelled("a", {TASK: name})
    assert len(applying._known) == len(other)
    assert await known(applying, other) == other
    assert await known(applying, gone) == []
