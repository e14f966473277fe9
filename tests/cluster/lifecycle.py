"""The life of a cluster: `up`, `add_worker`, `remove_worker` and `down` are the whole story."""

import http.client
import shutil
import ssl
import time
from contextlib import suppress
from pathlib import Path

from tests.cluster import cgroups, credentials, images, machine, network, programs
from tests.cluster.addresses import NODES, Addresses
from tests.cluster.building import Say, build
from tests.cluster.cluster import Cluster, State, attach, open_cluster
from tests.cluster.components import CONTROL, FAKE_NODES, NEEDED
from tests.cluster.machine import until, want
from tests.cluster.places import HERE, ClusterError, Places, home, locked
from tests.cluster.programs import Node, Options


def up(name: str, options: Options, say: Say) -> Cluster:
    """The cluster of this name, started if need be; returns when its node is Ready and names resolve.

    Raises:
        ClusterError: it cannot be built or started; what was begun is taken away again.
    """
    places = Places.of(name)
    build([*NEEDED, FAKE_NODES] if options.fake_nodes else NEEDED, say)
    with locked(home() / "up.lock"):
        running = attach(name)
        if running is not None:
            say(f"{name} is up already")
            return running
        _clear(places)
        try:
            return _start(places, options, say)
        except BaseException:
            _clear(places)
            raise


def down(name: str) -> None:
    """End the cluster: all its processes, mounts, devices and control groups. Its images and the guard routes stay."""
    with locked(home() / "up.lock"):
        _clear(Places.of(name))


def forget_images(name: str) -> None:
    """Delete the images of a cluster that is down.

    Raises:
        ClusterError: it runs.
    """
    with locked(home() / "up.lock"):
        if attach(name) is not None:
            raise ClusterError(f"{name} runs, and its containers are made of its images.", remedy="End it first.")
        for number in range(NODES):
            shutil.rmtree(Places.of(name).images(number), ignore_errors=True)


def names() -> list[str]:
    """The clusters that are written down, running or not."""
    return sorted(path.parent.name for path in (home() / "run").glob("*/state.json"))


def _start(places: Places, options: Options, say: Say) -> Cluster:
    began = time.monotonic()
    addresses = Addresses(network.free_index(_taken()))
    network.guard(addresses)
    credentials.create(places.keys, addresses, NODES)
    shutil.copy(places.keys / "admin.conf", places.kubeconfig)
    places.kubectl.parent.mkdir(exist_ok=True)
    places.kubectl.symlink_to(CONTROL.folder / "kubectl")
    node = Node(places, addresses, options)
    cluster = open_cluster(places, _start_node(node))
    network.plug(addresses, cluster.state.first.pid)
    _want(cluster, node, programs.etcd, programs.apiserver)
    _start_containerd(cluster, node)
    wait_until_ready(cluster)
    say(f"the API server is ready after {time.monotonic() - began:.1f} s")
    _want(cluster, node, programs.controller_manager, programs.scheduler, programs.volume_provider)
    _start_agents(cluster, node)
    _want(cluster, node, *([programs.kwok] if options.fake_nodes else []))
    _apply_addons(cluster)
    cluster.wait_for_node()
    say(f"the node is Ready after {time.monotonic() - began:.1f} s")
    cluster.wait("deployment/coredns", "condition=Available", "kube-system", seconds=120)
    say(f"names resolve after {time.monotonic() - began:.1f} s")
    return cluster


def _taken() -> set[int]:
    """The indices of clusters that run."""
    states = [State.read(Places.of(name).state) for name in names()]
    return {state.index for state in states if state and state.first.lives}


def _start_node(node: Node) -> State:
    """The namespaces of the first node; written down at once, so that whatever happens next it can be ended."""
    cgroups.create(node.cgroup)
    machine.prepare(node.folder, programs.files(node))
    holder = machine.start(node.folder, node.name)
    index, options = node.addresses.index, node.options
    State(index=index, options=options, holder=holder, first=holder).write(node.places.state)
    first = machine.first_process(holder, node.folder)
    state = State(index=index, options=options, holder=holder, first=first)
    state.write(node.places.state)
    return state


def _want(cluster: Cluster, node: Node, *wanted: programs.Program) -> None:
    """Have programs run on a node."""
    commands = [program(node) for program in wanted]
    named = {Path(command[0]).name: command for command in commands}
    want(node.folder, cluster.first_process(node.number), named, programs.environment())


def _start_containerd(cluster: Cluster, node: Node) -> None:
    """First without Kubernetes' side of it, which would take up the containers of the node's life before."""
    first = cluster.first_process(node.number)
    if node.places.images(node.number).exists():
        _want(cluster, node, programs.containerd_alone)
        images.wait_for_containerd(first)
        images.drop_containers(first)
        cluster.stop("containerd", node.number)
    _want(cluster, node, programs.containerd)
    images.wait_for_containerd(first)
    images.load(first, images.core())


def _start_agents(cluster: Cluster, node: Node) -> None:
    """What makes a machine a node of Kubernetes."""
    _want(cluster, node, programs.kubelet, programs.kube_proxy)
    if node.options.gpus:
        _want(cluster, node, programs.gpu_plugin)


def wait_until_ready(cluster: Cluster) -> None:
    """Wait until the API server says that it is ready."""
    until(lambda: _is_ready(cluster.node()), "the API server is not ready", patience=120)


def _is_ready(node: Node) -> bool:
    """Whether the API server says that it is."""
    context = ssl.create_default_context(cafile=node.key("ca.crt"))
    context.load_cert_chain(node.key("admin.crt"), node.key("admin.key"))
    connection = http.client.HTTPSConnection(str(node.addresses.node(0)), 6443, timeout=5, context=context)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _apply_addons(cluster: Cluster) -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    spec = {"clusterIP": str(cluster.addresses.dns), "selector": {"k8s-app": "kube-dns"}, "ports": ports}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns"}, "spec": spec}
    cluster.apply(service, namespace="kube-system")
    cluster.kubectl("apply", "-f", HERE / "addons.yaml")


def add_worker(cluster: Cluster) -> int:
    """Another node, Ready; returns its number.

    Raises:
        ClusterError: there are as many as there can be, or it does not become Ready.
    """
    number = next((number for number in range(1, NODES) if number not in cluster.workers()), None)
    if number is None:
        raise ClusterError(f"{cluster.places.name} has {NODES} nodes already.", remedy="Remove one.")
    node = cluster.node(number)
    cgroups.create(node.cgroup)
    machine.prepare(node.folder, programs.files(node))
    zero = cluster.node().folder
    want(zero, cluster.state.first, {f"worker-{number}": machine.command(node.folder, node.name)}, {})
    until((node.folder / "prepared").exists, f"{node.name} is not prepared", patience=30)
    first = cluster.first_process(number)
    network.plug_worker(cluster.addresses, number, cluster.state.first.pid, first.pid)
    _start_containerd(cluster, node)
    _start_agents(cluster, node)
    cluster.wait_for_node(number)
    return number


def crash_worker(cluster: Cluster, number: int) -> None:
    """Take a node's power away. Kubernetes finds out by itself, after the grace period."""
    (cluster.places.node(0) / "wanted" / f"worker-{number}.json").unlink()
    holder = machine.holder_of(cluster.places.node(number), cluster.state.first)
    holder.kill()
    cgroups.remove(cluster.node(number).cgroup)
    shutil.rmtree(cluster.places.node(number))


def _clear(places: Places) -> None:
    """Take away whatever there is of a cluster; one kill does most of it."""
    state = State.read(places.state)
    if state is not None:
        addresses = Addresses(state.index)
        network.guard(addresses)
        state.holder.kill()
        until(lambda: not state.first.lives, "the node's first process does not end", patience=30, every=0.02)
        if state.index not in _taken():  # one that was killed wrote its index down, and another may have it by now
            network.unplug(addresses)
    for number in range(NODES):
        cgroups.remove(Node(places, Addresses(0), Options(), number).cgroup)
    with suppress(FileNotFoundError):
        shutil.rmtree(places.run)
