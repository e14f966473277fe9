"""What tests of several subjects ask for: worlds of a job, real Kafka brokers, a real cluster; made in tests/support.

Imported only when asked for: the other tests need not wait for a Kafka client.
"""

import signal
import sys
import time

import pytest
from kafka_threads import io_threads


def pytest_configure():
    """Let Ctrl-C be tried also where tests run in a shell's background: there it is ignored, by all children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Files that take minutes come first; `--no-loadscope-reorder` has xdist keep to that."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Each file by one process, and all federations by the same one: there can be one installation on a cluster."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileAndFederation(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "tests/federation" if file.startswith("tests/federation/") else file

    return ByFileAndFederation(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def no_client_of_kafka_left_behind():
    """Fails a test whose client goes on: it would try to reach its broker under all tests that come after."""
    before = io_threads()
    yield
    deadline = time.monotonic() + 10
    while (left := io_threads() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, "a client of Kafka was not closed"


@pytest.fixture
def world(tmp_path):
    """Makes worlds: `world("a", "b", rounds={...})`."""
    from worlds import World, make_job

    made = []

    def make(*names, **spec):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(folder, make_job(list(names), **spec)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def landlock():
    """A kernel that can confine; without it the test is skipped, in CI it fails."""
    from needed import missing

    from consilia_workers.sandbox import kernel

    if sys.platform != "linux" or kernel.landlock_version() < 1:
        missing("this kernel has no Landlock, which Linux has from 5.13 on, where it is switched on")


@pytest.fixture(scope="session")
def kafka_runtime():
    """Java and Kafka's jars; without them the test is skipped, in CI it fails."""
    from kafka_brokers import runtime_or_skip

    return runtime_or_skip()


@pytest.fixture(scope="session")
def kafka_broker(kafka_runtime, tmp_path_factory):
    """One secured broker for the whole session: topics, users and ACLs stay, so give them names of your own."""
    from kafka_brokers import secured_broker

    with secured_broker(tmp_path_factory.mktemp("kafka"), kafka_runtime) as broker:
        yield broker


@pytest.fixture
def kafka_settings(kafka_broker):
    """The session broker's plain listener: who comes in there may do everything."""
    return kafka_broker.settings


@pytest.fixture
def kafka_user(kafka_broker):
    """By name: how a SCRAM user with a random password reaches the session broker; ACLs say what it may do."""
    return kafka_broker.user


@pytest.fixture
def kafka_certificate(kafka_broker):
    """By name: how the holder of a fresh client certificate reaches the session broker."""
    return kafka_broker.certificate


@pytest.fixture
def killable_broker(kafka_runtime, tmp_path):
    """Makes a running broker of this test's own, without security, to kill() and start() again."""
    from kafka_brokers import brokers_to_kill

    with brokers_to_kill(tmp_path, kafka_runtime) as make:
        yield make


@pytest.fixture
def kafka_cluster(kafka_runtime, tmp_path):
    """Makes three running brokers of this test's own; with secured=True, they and their clients use TLS."""
    from kafka_brokers import clusters_to_kill

    with clusters_to_kill(tmp_path, kafka_runtime) as make:
        yield make


@pytest.fixture(scope="session")
def real_cluster():
    """A real Kubernetes, shared by all tests: `kubectl`, `helm`, `namespace`; see tests/cluster/access.py."""
    from real_cluster import SHARED, shared_cluster

    from tests.cluster.programs import Options

    with shared_cluster(SHARED, Options()) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def killable_cluster(real_cluster):
    """The same, where its programs are ours to kill; see tests/cluster/cluster.py. Leave it as you found it."""
    from real_cluster import ours_or_skip

    return ours_or_skip(real_cluster)


@pytest.fixture
def namespace(real_cluster):
    """A namespace of this test's own, on the real cluster."""
    with real_cluster.namespace() as name:
        yield name
