"""A node's images: which it has, and how it gets others; they stay on disk when the node goes."""

from collections.abc import Iterable
from pathlib import Path

from tests.cluster import archives
from tests.cluster.components import DNS, OWN, RUNTIME
from tests.cluster.machine import Process, inside, until
from tests.cluster.places import ClusterError, home
from tests.cluster.programs import PAUSE

COREDNS = "localhost/consilia-test-coredns:1"
PROBE = "localhost/consilia-test-probe:1"
"""What tests run in pods: see go/own/probe."""


def core() -> list[Path]:
    """The archives of the images that every node has: the pause container, CoreDNS, and the probe."""
    images = {PAUSE: OWN.folder / "pause", PROBE: OWN.folder / "probe", COREDNS: DNS.folder / "coredns"}
    made = []
    for name, program in images.items():
        archive = home() / "archives" / f"{program.parent.name}-{program.name}.tar"
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            archives.write(archive, name, program, architecture=archives.architecture())
        made.append(archive)
    return made


def ctr(first: Process, *arguments: str | Path, timeout: float = 120) -> str:
    """What containerd's own client says in a node."""
    return inside(first, RUNTIME.folder / "ctr", "--namespace=k8s.io", *arguments, timeout=timeout)


def wait_for_containerd(first: Process) -> None:
    """Wait until containerd answers."""

    def answers() -> bool:
        try:
            return bool(ctr(first, "version", timeout=10))
        except ClusterError:
            return False

    until(answers, "containerd does not answer", patience=60)


def present(first: Process) -> dict[str, str]:
    """The node's images: name to digest."""
    rows = [line.split() for line in ctr(first, "images", "list").splitlines()[1:]]
    return {row[0]: row[2] for row in rows if len(row) > 2}


def load(first: Process, paths: Iterable[Path]) -> list[str]:
    """Import archives whose images the node lacks or has otherwise; returns their names. Layers it has are kept."""
    have = present(first)
    imported: list[str] = []
    for path in paths:
        holds = archives.contents(path)
        if any(have.get(name) != digest for name, digest in holds.items()):
            ctr(first, "images", "import", "--local", path.resolve(), timeout=600)
            imported += holds
    return imported


def drop_containers(first: Process) -> None:
    """Forget the containers of the node's life before: their pods are unknown to the new cluster."""
    for name in ctr(first, "containers", "list", "--quiet").split():
        ctr(first, "containers", "delete", name)
    for name in ctr(first, "sandboxes", "list").splitlines()[1:]:
        ctr(first, "sandboxes", "remove", "--force", name.split()[0])
