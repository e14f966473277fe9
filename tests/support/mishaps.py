"""What happens to a federation of several clusters on a bad day: operators away, cables cut, people who decide anew."""

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hospital_cluster import HospitalCluster
from installation import Federation, round_reached

from tests.cluster import network
from tests.cluster.access import Access

Document = dict[str, Any]


def until(done: Callable[[], object], problem: str, seconds: float = 120) -> None:
    """Ask until the answer is yes."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, problem
        time.sleep(0.5)


def until_round(hub: Federation, job: str, number: int) -> None:
    """Wait until so many rounds of a job are closed."""
    hub.until(job, round_reached(number), 120)


def kill_operator(cluster: Access, namespace: str, deployment: str) -> None:
    """At once, and without a word; its Deployment makes another one."""
    selector = f"app.kubernetes.io/instance={deployment.removesuffix('-operator')},app.kubernetes.io/component=operator"
    cluster.kubectl("delete", "pods", "-l", selector, "-n", namespace, "--grace-period=0", "--force")


@contextmanager
def operator_away(cluster: Access, namespace: str, deployment: str) -> Iterator[None]:
    """Within the block there is none; afterwards there is one that is ready."""
    one = cluster.get("deployment", deployment, "-n", namespace)["spec"]["replicas"]
    cluster.kubectl("scale", f"deployment/{deployment}", "--replicas=0", "-n", namespace)
    kill_operator(cluster, namespace, deployment)
    try:
        yield
    finally:
        cluster.kubectl("scale", f"deployment/{deployment}", f"--replicas={one}", "-n", namespace)
        cluster.kubectl("rollout", "status", f"deployment/{deployment}", "-n", namespace, "--timeout=120s")


@contextmanager
def offline(hospital: HospitalCluster) -> Iterator[None]:
    """Within the block the hospital reaches nobody."""
    with network.cut(hospital.cluster.state.first.pid, hospital.device):
        yield


def knock(hospital: HospitalCluster) -> None:
    """Somebody at the hub calls the hospital's API server."""
    call = f"exec 3<>/dev/tcp/{hospital.cluster.addresses.node(0)}/6443"
    command = [*network.enter(hospital.hub.state.first.pid), "timeout", "5", "bash", "-c", call]
    subprocess.run(command, check=False, capture_output=True, timeout=20)


@contextmanager
def offered(hub: Federation, job: Document, hospitals: Iterable[HospitalCluster]) -> Iterator[str]:
    """Within the block the hub has the job; afterwards nobody has anything of it. The job's name."""
    name = job["metadata"]["name"]
    hub.apply(job)
    try:
        yield name
    finally:
        hub.delete(name)
        for each in hospitals:
            until(lambda each=each: not task_of(each, name), f"{each.name} still has a task of {name}")


def task_of(hospital: HospitalCluster, job: str) -> Document:
    """The hospital's own object of a job; empty while there is none."""
    tasks = hospital.cluster.get("hospitaltasks", "-n", hospital.name)["items"]
    return next((each for each in tasks if each["spec"]["job"]["name"] == job), {})


def round_of(hospital: HospitalCluster, job: str) -> int:
    """The last round that it has sent an update for."""
    return int(task_of(hospital, job).get("status", {}).get("round", 0))


def state_of(hub: Federation, job: str, hospital: HospitalCluster) -> str:
    """What the hub says of a hospital in a job."""
    rows = hub.job(job).get("status", {}).get("hospitals", [])
    return next((str(row["state"]) for row in rows if row["name"] == hospital.name), "")


def decide(hospital: HospitalCluster, job: str, decision: str) -> None:
    """What somebody at the hospital says to a job."""
    patch = json.dumps({"spec": {"decision": decision}})
    name = task_of(hospital, job)["metadata"]["name"]
    hospital.cluster.kubectl("patch", "hospitaltask", name, "-n", hospital.name, "--type=merge", "-p", patch)
