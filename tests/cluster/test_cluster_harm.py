"""What can be done to a cluster of our own, and that nothing of it is left behind or leaves the machine."""

import dataclasses
import errno
import os
import socket
import time
from pathlib import Path

import pytest
from needed import missing
from real_cluster import own_cluster, shared_cluster

from tests.cluster import archives, cgroups, lifecycle, network
from tests.cluster.commands import output
from tests.cluster.components import OWN
from tests.cluster.images import PROBE
from tests.cluster.places import ClusterError, Places
from tests.cluster.programs import Options

pytestmark = [pytest.mark.slow, pytest.mark.long]

NAME = "apart"
OPTIONS = Options(gpus=1, grace_s=8)


@pytest.fixture(scope="module")
def apart():
    """A cluster of this file's own, where a silent node is lost after eight seconds."""
    if "CONSILIA_KUBECONFIG" in os.environ:
        missing("the cluster is one named by CONSILIA_KUBECONFIG: none is made, and none harmed")
    with own_cluster(NAME, OPTIONS) as cluster:
        yield cluster


@pytest.fixture
def worker(apart):
    """A second node, and with it one more GPU."""
    number = lifecycle.add_worker(apart)
    yield number
    if number in apart.workers():
        lifecycle.crash_worker(apart, number)
    apart.kubectl("delete", "node", apart.node(number).name, "--ignore-not-found")


def await_ready(cluster, number, status):
    cluster.wait(f"node/{cluster.node(number).name}", f"condition=Ready={status}", "default", seconds=60)


def await_another(cluster, program, earlier):
    """The process that a program runs as, now that the earlier one is gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        process = cluster.node_processes().get(program)
        if process and process != earlier:
            return process
        time.sleep(0.1)
    raise AssertionError(f"{program} does not come back")


def test_who_starts_it_again_gets_the_one_that_runs(apart):
    assert lifecycle.up(NAME, OPTIONS, lambda line: None).state == apart.state


def test_it_is_beside_the_shared_one_and_has_addresses_of_its_own(apart, real_cluster):
    servers = {
        cluster.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
        for cluster in (apart, real_cluster)
    }
    assert len(servers) == 2


def test_clearing_away_one_that_was_killed_leaves_its_addresses_to_who_has_them_now(apart):
    gone, places = dataclasses.replace(apart.state.first, started=1), Places.of("killed")
    places.run.mkdir(parents=True)
    dataclasses.replace(apart.state, holder=gone, first=gone).write(places.state)
    lifecycle.down("killed")
    assert not places.run.exists()
    assert network.is_plugged(apart.addresses)
    lifecycle.wait_until_ready(apart)


@pytest.mark.parametrize("program", ["kubelet", "kube-apiserver", "containerd"])
def test_a_program_that_is_killed_comes_back(apart, program):
    another = await_another(apart, program, apart.kill(program))
    assert another.lives
    lifecycle.wait_until_ready(apart)
    await_ready(apart, 0, "true")


@pytest.mark.parametrize("beyond", ["203.0.113.1", "8.8.8.8"])
def test_from_a_node_no_way_leads_beyond_this_machine(apart, beyond):
    with pytest.raises(ClusterError, match="unreachable"):
        output(*network.enter(apart.first_process().pid), "ip", "route", "get", beyond)


def test_a_pod_on_another_node_reaches_the_first_and_its_gpu(apart, worker):
    container = {"name": "probe", "image": PROBE, "args": ["lookup", "kubernetes.default.svc.cluster.local"]}
    container["resources"] = {"limits": {"nvidia.com/gpu": 1}}
    spec = {"restartPolicy": "Never", "containers": [container], "nodeName": apart.node(worker).name}
    with apart.namespace() as name:
        apart.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "away"}, "spec": spec}, namespace=name)
        apart.wait("pod/away", "jsonpath={.status.phase}=Succeeded", name)
        assert apart.kubectl("logs", "away", "--namespace", name).strip() == str(apart.addresses.services[1])


def test_silent_nodes_are_lost_and_one_comes_back(apart, worker):
    apart.stop("kubelet")
    lifecycle.crash_worker(apart, worker)
    await_ready(apart, worker, "Unknown")
    await_ready(apart, 0, "Unknown")
    apart.start("kubelet")
    await_ready(apart, 0, "true")
    assert "kubelet" in apart.node_processes()


def image(folder, content):
    (folder / "program").write_bytes(content)
    archives.write(
        folder / "image.tar",
        "localhost/consilia-test-image:1",
        folder / "program",
        architecture=archives.architecture(),
    )
    return folder / "image.tar"


def test_an_image_is_imported_once_until_it_changes(apart, tmp_path):
    one = image(tmp_path, os.urandom(16))
    assert apart.load(one) == ["localhost/consilia-test-image:1"]
    assert apart.load(one) == []
    assert apart.load(image(tmp_path, os.urandom(16))) == ["localhost/consilia-test-image:1"]


def traces(cluster):
    """What a running cluster leaves on this machine, and one that is down must not."""
    run, pods = str(cluster.places.run), str(cluster.places.images(0))
    running = [command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    found = [f"process {line}" for line in running if run in line or pods in line]
    found += [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if run in line]
    found += [f"group {path}" for path in cgroups.leftover(cluster.node().cgroup)]
    found += [f"device {cluster.addresses.device}"] if network.is_plugged(cluster.addresses) else []
    return found + ([f"folder {run}"] if Path(run).exists() else [])


def command_line(path):
    try:
        return path.read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_when_it_is_down_nothing_is_left_and_its_addresses_are_unreachable(apart):
    assert traces(apart)
    lifecycle.down(NAME)
    assert traces(apart) == []
    assert network.is_guarded(apart.addresses)
    for address in (apart.addresses.node(0), apart.addresses.services[1], apart.addresses.pods[5]):
        began = time.monotonic()
        with pytest.raises(OSError, match="No route") as refused:
            socket.create_connection((str(address), 6443), timeout=10)
        assert refused.value.errno == errno.EHOSTUNREACH
        assert time.monotonic() - began < 1


def test_up_again_it_has_its_images_and_none_of_its_pods_until_the_last_user_goes(apart, tmp_path):
    probe = tmp_path / "probe.tar"
    archives.write(probe, PROBE, OWN.folder / "probe", architecture=archives.architecture())
    with shared_cluster(NAME, OPTIONS) as one:
        with shared_cluster(NAME, OPTIONS) as other:
            assert other.state == one.state
        assert one.load(probe) == []
        assert {pod["metadata"]["namespace"] for pod in one.get("pods", "--all-namespaces")["items"]} == {"kube-system"}
    assert traces(one) == []
