"""A hospital with a cluster of its own: joined to a hub by the documented commands, Consilia installed by its chart."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from installation import RESTRICTED, Federation, our_images
from pages import ROOT
from real_cluster import own_cluster

from tests.cluster import network
from tests.cluster.access import Access
from tests.cluster.cluster import Cluster
from tests.cluster.programs import Options

CHART = ROOT / "charts" / "consilia-hospital"
CONSILIA = Path(sys.executable).with_name("consilia")
Document = dict[str, Any]


def consilia(cluster: Access, *words: str) -> str:
    """What a command prints, run by somebody who is logged in to that cluster."""
    command, environment = [CONSILIA, *words], cluster.environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def in_the_name_of(user: str, cluster: Access, folder: Path) -> Access:
    """The same cluster for somebody who may do there what roles give them, and nothing else."""
    told = yaml.safe_load(cluster.kubeconfig.read_text())
    for each in told["users"]:
        each["user"]["as"] = user
    path = folder / f"{user.partition('@')[0]}.kubeconfig"
    path.write_text(json.dumps(told))
    path.chmod(0o600)
    return Access(kubeconfig=path, kubectl_path=cluster.kubectl_path)


def values_here(**values: Document) -> Document:
    """What a hospital's values are here, whatever else they are: our images, by their tags."""
    tags = {each.name: {"tag": each.tag.rpartition(":")[2]} for each in our_images() if each.name != "kafka"}
    return {"images": {"registry": "localhost", **tags}, "admission": {"digestsOnly": False}, **values}


@dataclass(frozen=True, slots=True)
class HospitalCluster:
    """One hospital."""

    name: str
    cluster: Cluster
    hub: Cluster
    folder: Path
    device: str
    """Its end of the cable to the hub."""

    @property
    def staff(self) -> Access:
        """Whoever looks after the hospital's namespace: `admin` there, and nobody elsewhere."""
        return in_the_name_of(f"it@{self.name}.example", self.cluster, self.folder)

    def prepare(self) -> None:
        """Its namespace."""
        metadata = {"name": self.name, "labels": RESTRICTED}
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def join(self, hub_namespace: str) -> None:
        """The three commands, on either side; what people compare is compared here."""
        request, bundle = self.folder / f"{self.name}-request.json", self.folder / f"{self.name}-bundle.json"
        asked = json.loads(consilia(self.staff, "enroll", "request", "-n", self.name, "-o", str(request), "--json"))
        words = ("enroll", "admit", str(request), "-n", hub_namespace, "-o", str(bundle), "--json")
        admitted = json.loads(consilia(self.hub, *words, "--fingerprint", asked["fingerprint"]))
        words = ("enroll", "accept", str(bundle), "-n", self.name, "--json")
        consilia(self.staff, *words, "--fingerprint", admitted["fingerprint"])

    def upgrade(self, *arguments: str) -> None:
        """`helm upgrade`, and wait until it is ready."""
        where = ("--namespace", self.name, "--wait", "--timeout=3m")
        self.staff.helm("upgrade", "consilia-hospital", CHART, *where, *arguments)

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
        found = HospitalCluster(name, cluster, hub, folder, device)
        cluster.load(*(image.archive for image in our_images()))
        yield found
