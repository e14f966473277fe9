"""What a cluster is built of, each from Go modules whose versions and hashes go.mod and go.sum pin."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.places import HERE, home

KUBERNETES = "k8s.io/kubernetes"
CONTAINERD = "github.com/containerd/containerd/v2"
PLUGINS = "github.com/containernetworking/plugins/plugins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One folder below go/: the packages that become programs, and the module that gives it its version."""

    name: str
    module: str
    packages: tuple[str, ...]
    tags: str = ""

    @property
    def sources(self) -> Path:
        """Its go.mod, go.sum and, where it is ours, its code."""
        return HERE / "go" / self.name

    @property
    def version(self) -> str:
        """As go.mod pins it."""
        pinned = (self.sources / "go.mod").read_text()
        found = re.search(rf"^(?:require)?\s*{re.escape(self.module)} (v\S+)", pinned, re.MULTILINE)
        return found[1] if found else "v0"

    @property
    def flags(self) -> list[str]:
        """What the linker is told; the programs tell their version to one another."""
        linker = "-s -w " + " ".join(f"-X {variable}={value}" for variable, value in self.variables().items())
        return ["-trimpath", f"-ldflags={linker}", f"-tags={self.tags}"]

    def variables(self) -> dict[str, str]:
        """Go variables that a release sets: without them Kubernetes says that it is v0.0.0."""
        if self.module == CONTAINERD:
            return {f"{CONTAINERD}/version.Version": self.version}
        if self.module != KUBERNETES:
            return {}
        major, minor, _ = self.version.removeprefix("v").split(".")
        said = {
            "gitVersion": self.version,
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
            "gitCommit": "0" * 40,
            "buildDate": "2026-01-01T00:00:00Z",
        }
        packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        return {f"{package}.{name}": value for package in packages for name, value in said.items()}

    @property
    def digest(self) -> str:
        """Over all that decides what is built."""
        hashed = hashlib.sha256(repr((self.packages, self.flags)).encode())
        for path in sorted(self.sources.rglob("*")):
            if path.is_file():
                hashed.update(f"{path.relative_to(self.sources)}\0".encode() + path.read_bytes() + b"\0")
        return hashed.hexdigest()

    @property
    def folder(self) -> Path:
        """Where its programs lie once they are built."""
        return home() / "built" / f"{self.name}-{self.version}-{self.digest[:12]}"

    @property
    def built(self) -> bool:
        """Whether they do."""
        return self.folder.is_dir()


def last_word(package: str) -> str:
    """What `go build` calls a package's program: the last part that is no major version."""
    *before, last = package.split("/")
    return before[-1] if re.fullmatch(r"v\d+", last) else last


ETCD = Component(name="etcd", module="go.etcd.io/etcd/server/v3", packages=("go.etcd.io/etcd/server/v3",))
RUNTIME = Component(
    name="containerd",
    module=CONTAINERD,
    packages=tuple(f"{CONTAINERD}/cmd/{command}" for command in ("containerd", "containerd-shim-runc-v2", "ctr")),
    tags="no_btrfs,no_zfs,no_devmapper",
)
NETWORK = Component(
    name="cni",
    module="github.com/containernetworking/plugins",
    packages=tuple(f"{PLUGINS}/{path}" for path in ("ipam/host-local", "main/bridge", "main/loopback", "meta/portmap")),
)
DNS = Component(name="coredns", module="github.com/coredns/coredns", packages=("consilia.test/coredns",))
OWN = Component(
    name="own",
    module="k8s.io/kubelet",
    packages=tuple(f"consilia.test/own/{command}" for command in ("gpu", "pause", "probe", "volumes")),
)
CONTROL = Component(
    name="kubernetes",
    module=KUBERNETES,
    packages=tuple(
        f"{KUBERNETES}/cmd/{command}"
        for command in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        )
    ),
)
FAKE_NODES = Component(name="kwok", module="sigs.k8s.io/kwok", packages=("sigs.k8s.io/kwok/cmd/kwok",))

NEEDED = (OWN, NETWORK, ETCD, RUNTIME, DNS, CONTROL)
"""What every cluster runs, the quick ones first."""
