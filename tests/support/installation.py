"""Consilia installed on the real cluster as a hospital would: images, Helm, namespaces, data on claims."""

import fcntl
import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from needed import missing
from pages import ROOT

from scripts.images.cache import Cache
from scripts.images.making import Image, Request, images
from tests.cluster.access import MADE_BY, Access
from tests.cluster.cluster import Cluster

SYSTEM, HUB = "consilia-system", "hub"
CHART = ROOT / "charts" / "consilia"
ENTRYPOINT = "consilia_workers.tasks.heart_disease:HeartDisease"
QUICK = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}
"""Room for all of a federation on one small machine."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
Document = dict[str, Any]


@cache
def our_images() -> list[Image]:
    """Of the sources as they are when the first test asks. Their base takes minutes, and is not for a test to make."""
    cache = Cache.of_this_user()
    if not shutil.which("buildah") or not any(cache.archives.glob("consilia-worker-*.tar")):
        missing("no images to install: build them with `make images`")
    return images(Request(), cache)


@contextmanager
def installed(cluster: Access, **values: Document) -> Iterator["Installation"]:
    """The operator, from the chart; taken away again with all that it and the tests made.

    One at a time on a cluster: definitions and cluster roles are everybody's.
    """
    made = our_images()
    lock = cluster.kubeconfig.with_suffix(".installation")
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if isinstance(cluster, Cluster):
            cluster.load(*(image.archive for image in made))
        tags = {image.name: {"tag": image.tag.rpartition(":")[2]} for image in made}
        given = {"images": {**tags, "pullPolicy": "IfNotPresent"}, **values}
        installation = Installation(cluster)
        try:
            installation.install(given)
            yield installation
        finally:
            installation.remove()


@dataclass(frozen=True, slots=True)
class Installation:
    """A running operator."""

    cluster: Access

    def install(self, values: Document) -> None:
        """By helm, and wait until it is ready."""
        self.remove()
        self.namespace(SYSTEM)
        self.helm("upgrade", "--install", "consilia", CHART, "--wait", "--timeout=3m", values=values)

    def helm(self, *arguments: str | Path, values: Document) -> None:
        """A command of helm's, in the operator's namespace."""
        path = self.cluster.kubeconfig.with_name("values.json")
        path.write_text(json.dumps(values))
        self.cluster.helm(*arguments, "--namespace", SYSTEM, "--values", path)

    def remove(self) -> None:
        """All of it, custom resources included."""
        kubectl = self.cluster.kubectl
        self.cluster.helm("uninstall", "consilia", "--namespace", SYSTEM, "--ignore-not-found", "--wait")
        kubectl("delete", "crd", "--selector=app.kubernetes.io/part-of=consilia", "--ignore-not-found")
        kubectl("delete", "namespace", SYSTEM, "--ignore-not-found", timeout=180)

    def namespace(self, name: str, labels: Mapping[str, str] = RESTRICTED) -> None:
        """A namespace, as restricted as Kubernetes knows; one that a killed test left is cleared away first."""
        own, _, value = MADE_BY.partition("=")
        selectors = ("--selector", MADE_BY, f"--field-selector=metadata.name={name}")
        self.cluster.kubectl("delete", "namespaces", *selectors, timeout=300)
        metadata = {"name": name, "labels": {own: value, **labels}}
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    @contextmanager
    def federation(self, hospitals: Sequence[str], hub: str = HUB) -> Iterator["Federation"]:
        """A hub, and hospitals in namespaces of their names; afterwards they are gone."""
        with ExitStack() as stack:
            for name in (hub, *hospitals):
                consent = {} if name == hub else {"consilia.dev/hub": hub}
                self.namespace(name, RESTRICTED | consent)
            stack.callback(
                self.cluster.kubectl, "delete", "namespace", hub, *hospitals, "--ignore-not-found", timeout=300
            )
            found = Federation(self.cluster, hub, tuple(hospitals))
            self.cluster.apply(*(hospital(name) for name in hospitals), namespace=hub)
            yield found


def hospital(name: str) -> Document:
    """The hub's Hospital, accepted."""
    return {"apiVersion": "consilia.dev/v1alpha1", "kind": "Hospital", "metadata": {"name": name},
            "spec": {"accepted": True}}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Federation:
    """A hub and its hospitals."""

    cluster: Access
    hub: str
    hospitals: tuple[str, ...]

    def dataset(self, name: str, entrypoint: str, source: Callable[[str], Document]) -> None:
        """Every hospital's Dataset of that name, which approves the task by itself."""
        for each in self.hospitals:
            spec = {"source": source(each), "approval": {"mode": "Automatic", "tasks": [entrypoint]}}
            document = {
                "apiVersion": "consilia.dev/v1alpha1",
                "kind": "Dataset",
                "metadata": {"name": name},
                "spec": spec,
            }
            self.cluster.apply(document, namespace=each)

    def bring(self, hospital: str, claim: str, files: Sequence[Path], image: str) -> None:
        """Put files on a claim of the hospital's, by a pod that takes a tar on its standard input."""
        self.cluster.apply(claim_of(claim), loader(claim, image), namespace=hospital)
        self.cluster.wait("pod/loader", "condition=Ready", hospital, 120)
        command = [self.cluster.kubectl_path, "--kubeconfig", self.cluster.kubeconfig, "-n", hospital, "exec", "-i",
                   "loader", "--", "tar", "-x", "-C", "/data"]  # fmt: skip
        subprocess.run(command, input=packed(files), check=True, timeout=120)
        self.cluster.kubectl("delete", "pod", "loader", "-n", hospital, "--grace-period=0", "--force")

    def apply(self, job: Document) -> None:
        """Apply a FederatedJob in the hub."""
        self.cluster.apply(job, namespace=self.hub)

    def job(self, name: str) -> Document:
        """The FederatedJob as it is now."""
        return self.cluster.get("federatedjob", name, "-n", self.hub)

    def until(self, name: str, reached: Callable[[Document], bool], seconds: float = 300) -> Document:
        """The job's status as soon as it is so."""
        deadline = time.monotonic() + seconds
        while True:
            status: Document = self.job(name).get("status", {})
            if reached(status):
                return status
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is not there after {seconds} s: {json.dumps(status, indent=1)}")
            time.sleep(0.5)

    def model(self, name: str) -> bytes:
        """The model's bytes, by the documented command."""
        command = [self.cluster.kubectl_path, "--kubeconfig", self.cluster.kubeconfig, "-n", self.hub, "exec",
                   f"deploy/{name}-aggregator", "--", "consilia-model"]  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout

    def delete(self, name: str) -> None:
        """Delete the job; what hangs on it goes by itself."""
        self.cluster.kubectl("delete", "federatedjob", name, "-n", self.hub, "--timeout=30s")


def ended(status: Document) -> bool:
    """Whether a job is over."""
    return any(each["type"] in {"Succeeded", "Failed"} and each["status"] == "True" for each in conditions(status))


def round_reached(number: int) -> Callable[[Document], bool]:
    """Whether so many rounds are closed, or the job is over."""
    return lambda status: status.get("roundsCompleted", 0) >= number or ended(status)


def conditions(status: Document) -> list[Document]:
    """The status's conditions."""
    return list(status.get("conditions", ()))


def condition(status: Document, kind: str) -> Document:
    """The condition of that type; empty if there is none."""
    return next((each for each in conditions(status) if each["type"] == kind), {})


def packed(files: Sequence[Path]) -> bytes:
    """A tar of the files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in files:
            archive.add(path, arcname=path.name)
    return buffer.getvalue()


def claim_of(name: str) -> Document:
    """A claim for data."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def loader(claim: str, image: str) -> Document:
    """A pod that waits, with the claim mounted, for as long as loading may take."""
    container = {
        "name": "loader",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "300"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"}}  # fmt: skip
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    spec = {"restartPolicy": "Never", "securityContext": user, "containers": [container], "volumes": volumes,
            "automountServiceAccountToken": False}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loader"}, "spec": spec}
