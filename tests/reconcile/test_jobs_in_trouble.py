"""Jobs that the API server takes and that cannot run: each becomes a condition that says what to do."""

import pytest
from hub_and_hospitals import HubAndHospitals
from jobs_in_trouble import JOBS_IN_TROUBLE
from running_operator import operating, settings

from consilia_operator.kinds import FEDERATED_JOB

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine


@pytest.fixture(scope="module")
def operator(cluster, thread):
    with operating(thread, settings(workers=4)) as found:
        yield found


@pytest.fixture(scope="module")
def applied(cluster, operator):
    """All of them at once: they do not disturb each other."""
    found = {}
    for number, trouble in enumerate(JOBS_IN_TROUBLE):
        found[trouble.name] = here = HubAndHospitals(cluster, f"trouble-{number}", "ab")
        trouble.prepare(here)
    return found


@pytest.mark.parametrize("trouble", JOBS_IN_TROUBLE, ids=lambda trouble: trouble.name)
def test_a_job_in_trouble_says_so_and_what_to_do(applied, operator, trouble):
    here = applied[trouble.name]
    found = here.until_says(trouble.condition, trouble.reason)
    assert trouble.told in found["message"]
    assert here.job()["status"]["summary"]["state"] not in ("", "Running", "Succeeded")
    assert operator.bugs() == 0


def test_the_table_is_long_and_each_job_is_in_trouble_of_its_own():
    assert len(JOBS_IN_TROUBLE) >= 30
    assert len({trouble.name for trouble in JOBS_IN_TROUBLE}) == len(JOBS_IN_TROUBLE)


def test_two_jobs_that_want_different_kafkas_in_one_namespace_are_told(cluster, operator):
    here = HubAndHospitals(cluster, "differing", "ab")
    here.join()
    here.apply({"transport": {"managed": {"brokers": 1}}})
    here.until_says("TransportReady", "KafkaStarting")
    changes = {".metadata.name": "bigger", "transport": {"managed": {"brokers": 3}}, "hospitals.names": here.hospitals,
               "hospitals.minReady": 2}  # fmt: skip
    cluster.create(here.made("FederatedJob", here.hub, changes))
    found = cluster.until_condition(FEDERATED_JOB, here.hub, "bigger", "TransportReady", "TransportDiffers")
    assert "brokers" in found["message"]
