"""The operator on the real cluster, and four hospitals with their patients."""

import pytest
import yaml
from installation import ENTRYPOINT, QUICK, installed, our_images
from local_runs import run_here
from needed import real_data
from pages import ROOT

HEART = ROOT / "examples" / "heart-disease.yaml"
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")


@pytest.fixture(scope="module")
def installation(real_cluster):
    """Anew for each file: the demonstration installs its own."""
    sizes = {"aggregator": QUICK, "trainer": QUICK, "ledger": QUICK, "kafka": QUICK | {"limits": {"memory": "1Gi"}}}
    storage = {"trainer": "200Mi", "ledger": "100Mi"}
    with installed(real_cluster, operator={"sizes": sizes, "storage": storage, "resyncSeconds": 30}) as found:
        yield found


@pytest.fixture(scope="module")
def hearts(installation):
    """A hub and the four hospitals, each with its own patients on a claim of its own."""
    folder = real_data("heart_disease")
    image = next(each.tag for each in our_images() if each.name == "operator")
    with installation.federation(HOSPITALS) as federation:
        for name in HOSPITALS:
            federation.bring(name, "patients", [folder / f"processed.{name}.data"], image)
        federation.dataset("heart-disease", ENTRYPOINT, lambda _: {"persistentVolumeClaim": {"claimName": "patients"}})
        yield federation


@pytest.fixture(scope="session")
def heart_job():
    """The example's job, with another name and parts of its spec changed: a GPU for each hospital, nobody left out."""

    def make(name, **changes):
        job = yaml.safe_load(HEART.read_text())
        job["metadata"]["name"] = name
        job["spec"]["hospitals"]["minUpdates"] = 4
        job["spec"]["rounds"]["deadlineSeconds"] = 600
        job["spec"] |= {"resources": {"gpu": 1}} | changes
        return job

    return make


@pytest.fixture(scope="session")
def local_model(tmp_path_factory, heart_job):
    """The bytes of the model that the example comes to on this machine, without Kubernetes or Kafka."""
    real_data("heart_disease")
    return run_here(tmp_path_factory.mktemp("local"), heart_job("heart-disease"))


@pytest.fixture(scope="session")
def long_job(heart_job):
    """A job of many more rounds: long enough to have everything killed once."""
    return lambda name: heart_job(name, rounds={"count": 300, "deadlineSeconds": 600})


@pytest.fixture(scope="session")
def long_local_model(tmp_path_factory, long_job):
    """What that one comes to here."""
    real_data("heart_disease")
    return run_here(tmp_path_factory.mktemp("long"), long_job("heart-disease"))
