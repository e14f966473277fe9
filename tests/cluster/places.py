"""Where the test cluster's things lie: what is built once, and what each cluster has of its own."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from consilia.errors import PermanentError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class ClusterError(PermanentError):
    """The test cluster cannot be built, started or used as asked."""


def home() -> Path:
    """CONSILIA_CLUSTER_HOME, by default consilia/cluster in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    chosen = Path(os.environ.get("CONSILIA_CLUSTER_HOME") or cache / "consilia" / "cluster").absolute()
    if re.search(r"\s", str(chosen)):
        message = f"the cluster's folder {chosen} has a blank in its name, which Go's tools do not take."
        raise ClusterError(message, remedy="Set CONSILIA_CLUSTER_HOME to another folder.")
    return chosen


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one cluster, by its name."""

    name: str
    home: Path

    @classmethod
    def of(cls, name: str) -> "Places":
        """The places of a cluster; names are short, as they become part of others.

        Raises:
            ClusterError: it cannot be a name.
        """
        if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", name):
            message = f"{name!r} cannot be a cluster's name."
            raise ClusterError(message, remedy="Use at most 12 lower-case letters and digits, a letter first.")
        return cls(name, home())

    @property
    def run(self) -> Path:
        """What lasts as long as the cluster runs."""
        return self.home / "run" / self.name

    @property
    def state(self) -> Path:
        """Who holds the cluster: its process, its index, its options."""
        return self.run / "state.json"

    @property
    def keys(self) -> Path:
        """Certificates, keys and kubeconfigs."""
        return self.run / "keys"

    @property
    def kubeconfig(self) -> Path:
        """How its administrator reaches it."""
        return self.run / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        """The command to reach it with, of its own version."""
        return self.run / "bin" / "kubectl"

    @property
    def kept(self) -> Path:
        """Exists while the cluster is to outlive the tests that use it."""
        return self.run / "kept"

    def node(self, number: int) -> Path:
        """A node's logs, sockets and volumes."""
        return self.run / f"node-{number}"

    def images(self, number: int) -> Path:
        """A node's images; they stay when the cluster goes, so that none is unpacked twice."""
        return self.home / "images" / f"{self.name}-{number}"


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Within the block this process holds the file's lock; the kernel gives it up for whoever is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
