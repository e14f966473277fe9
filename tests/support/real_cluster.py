"""The real Kubernetes that tests use: started by the first that needs it, shared by all, ended after the last.

A cluster of your own (CONSILIA_KUBECONFIG, with kubectl on PATH) is used as it is: nothing of it is killed, and only
namespaces that the tests made are touched.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from needed import missing

from consilia.errors import ConsiliaError
from tests.cluster import lifecycle
from tests.cluster.access import Access
from tests.cluster.cluster import Cluster
from tests.cluster.components import FAKE_NODES, NEEDED
from tests.cluster.places import Places, locked
from tests.cluster.programs import Options

SHARED = "consilia"
"""The cluster that `make cluster` starts, too: one that runs is used, and left running."""


@contextmanager
def shared_cluster(name: str, options: Options) -> Iterator[Access]:
    """A cluster that many tests share, whatever process they run in.

    Every process holds a shared lock while it uses the cluster; who can have the lock alone afterwards was the last.
    """
    if given := os.environ.get("CONSILIA_KUBECONFIG"):
        yield given_cluster(Path(given))
        return
    places = Places.of(name)
    places.run.parent.mkdir(parents=True, exist_ok=True)
    with places.run.with_suffix(".users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        cluster = started_or_skip(name, options)
        try:
            yield cluster
        finally:
            with suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not places.kept.exists():
                    lifecycle.down(name)


def given_cluster(kubeconfig: Path) -> Access:
    """A cluster that somebody else runs."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        missing("CONSILIA_KUBECONFIG names a cluster, but there is no kubectl on PATH to talk to it")
    if not kubeconfig.is_file():
        missing(f"CONSILIA_KUBECONFIG names {kubeconfig}, which is no file")
    return Access(kubeconfig=kubeconfig.absolute(), kubectl_path=Path(kubectl))


@contextmanager
def own_cluster(name: str, options: Options) -> Iterator[Cluster]:
    """A cluster of one test's own, to do harm to; it ends with the test. Another test that wants it waits."""
    with locked(Places.of(name).run.with_suffix(".owner")):
        try:
            yield started_or_skip(name, options)
        finally:
            lifecycle.down(name)


def started_or_skip(name: str, options: Options) -> Cluster:
    """A running cluster. What takes minutes, building it, is not for a test to do."""
    needed = [*NEEDED, FAKE_NODES] if options.fake_nodes else NEEDED
    if not all(component.built for component in needed):
        missing("no cluster to test on: build it with `make cluster`, or name one by CONSILIA_KUBECONFIG")
    try:
        return lifecycle.up(name, options, lambda line: None)
    except ConsiliaError as error:
        missing(f"no cluster to test on: {error}")


def ours_or_skip(cluster: Access) -> Cluster:
    """The shared cluster, where it is one that we may kill programs of."""
    if not isinstance(cluster, Cluster):
        missing("the cluster is one named by CONSILIA_KUBECONFIG: its programs are not ours to kill")
    return cluster
