"""A real API server with etcd for all tests that ask for one, and a person's view of it."""

import pytest


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory):
    """The way to a real API server with our definitions and nothing beside it: no node, no controller."""
    from bare_api_server import bare_api_server

    folder = tmp_path_factory.mktemp("api-server")
    with bare_api_server(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        yield folder / "kubeconfig"


@pytest.fixture(scope="session")
def thread(kubeconfig):
    """An event loop beside the tests."""
    from running_operator import LoopInThread

    found = LoopInThread()
    yield found
    found.close()


@pytest.fixture(scope="session")
def cluster(thread):
    """The API server, as a person with kubectl sees it."""
    from running_operator import Cluster

    found = Cluster(thread)
    found.namespace("consilia")
    yield found
    found.close()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A hospital over an API server in memory."""
    from hospital_in_memory import Riverside

    from consilia_operator import admitting, datasets

    monkeypatch.setattr(datasets, "_CALM", 0.0)
    monkeypatch.setattr(admitting, "_CALM", 0.0)
    made = Riverside(tmp_path)
    yield made
    made.stop_ledger()


@pytest.fixture
def ready(here):
    """With a Dataset that has a budget of ε = 3 and was inspected."""
    return here.start_ledger().ready()
