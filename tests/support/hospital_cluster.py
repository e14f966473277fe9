"""A hospital with a cluster of its own: joined to a hub by the documented commands, Consilia installed by its chart."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installation import RESTRICTED, Federation, our_images
from pages import ROOT
from real_cluster import own_cluster

from tests.cluster import network
from tests.cluster.cluster import Cluster
from tests.cluster.programs import Options

CHART = ROOT / "charts" / "consilia-hospital"
CONSILIA = Path(sys.executable).with_name("consilia")
Document = dict[str, Any]


def consilia(cluster: Cluster, *words: str) -> str:
    """What a command prints, run by somebody who is logged in to that cluster."""
    command, environment = [CONSILIA, *words], cluster.environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class HospitalCluster:
    """One hospital."""

    name: str
    cluster: Cluster
    hub: Cluster
    folder: Path

    def prepare(self) -> None:
        """Its namespace, and our images on its node."""
        self.cluster.load(*(image.archive for image in our_images()))
        metadata = {"name": self.name, "labels": RESTRICTED}
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def join(self, hub_namespace: str) -> None:
        """The three commands, on either side; what people compare is compared here."""
        request, bundle = self.folder / f"{self.name}-request.json", self.folder / f"{self.name}-bundle.json"
        asked = json.loads(consilia(self.cluster, "enroll", "request", "-n", self.name, "-o", str(request), "--json"))
        words = ("enroll", "admit", str(request), "-n", hub_namespace, "-o", str(bundle), "--json")
        admitted = json.loads(consilia(self.hub, *words, "--fingerprint", asked["fingerprint"]))
        words = ("enroll", "accept", str(bundle), "-n", self.name, "--json")
        consilia(self.cluster, *words, "--fingerprint", admitted["fingerprint"])

    def install(self, **values: Document) -> None:
        """By helm, and wait until it is ready."""
        tags = {each.name: {"tag": each.tag.rpartition(":")[2]} for each in our_images() if each.name != "kafka"}
        path = self.folder / f"{self.name}-values.json"
        path.write_text(json.dumps({"images": tags, "admission": {"digestsOnly": False}, **values}))
        self.cluster.helm(
            "install", "consilia-hospital", CHART, "--namespace", self.name, "--values", path, "--wait", "--timeout=3m"
        )

    def upgrade(self, *arguments: str) -> None:
        """`helm upgrade`, and wait until it is ready."""
        where = ("--namespace", self.name, "--wait", "--timeout=3m")
        self.cluster.helm("upgrade", "consilia-hospital", CHART, *where, *arguments)

    def federation(self) -> Federation:
        """For what tests do with one: data, Datasets."""
        return Federation(self.cluster, "", (self.name,))


@contextmanager
def hospital_cluster(name: str, hub: Cluster, folder: Path) -> Iterator[HospitalCluster]:
    """A Kubernetes of its own, with a cable to the hub's; every call towards it is counted."""
    with own_cluster(name, Options(gpus=1)) as cluster:
        one, other = hub.state, cluster.state
        device = network.join(hub.addresses, one.first.pid, cluster.addresses, other.first.pid)
        network.count_calls(other.first.pid, device)
        found = HospitalCluster(name, cluster, hub, folder)
        found.prepare()
        yield found
