"""What the machine must have for a cluster: root, Linux on x86-64 or arm64, Go, and some Debian packages."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.cluster.commands import PATH, output
from tests.cluster.places import HERE, ClusterError

PACKAGES = {
    "runc": "runc",
    "nft": "nftables",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
}
"""The commands that a node runs, and the Debian packages that they come from."""
INSTALL_GO = "Install Go {version} or newer from https://go.dev/dl/ and put it on PATH."


def check_machine() -> None:
    """That this machine can have a cluster at all.

    Raises:
        ClusterError: it is not Linux, or we are not root with the rights to make namespaces and devices.
    """
    if platform.system() != "Linux":
        message = f"the test cluster runs on Linux, not on {platform.system()}."
        raise ClusterError(message, remedy="Set CONSILIA_KUBECONFIG to a cluster of your own.")
    if os.geteuid() != 0:
        message = "the test cluster makes namespaces and network devices, which takes root."
        raise ClusterError(message, remedy="Run it as root, or set CONSILIA_KUBECONFIG to a cluster of your own.")
    made = subprocess.run(
        ["unshare", "--mount", "--net", "--uts", "--pid", "--fork", "true"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        message = f"this machine lets root make no namespaces: {made.stderr.strip()}."
        raise ClusterError(message, remedy="Run in a virtual machine or a privileged container.")


def install_packages(say: Callable[[str], None]) -> None:
    """Install the Debian packages whose commands are missing.

    Raises:
        ClusterError: there is no apt-get, or it failed.
    """
    lacking = sorted({package for command, package in PACKAGES.items() if not shutil.which(command, path=PATH)})
    if not lacking:
        return
    if not shutil.which("apt-get"):
        message = f"this machine lacks {', '.join(lacking)}, and has no apt-get."
        raise ClusterError(message, remedy="Install them with its own package manager.")
    say(f"installing {', '.join(lacking)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    output("apt-get", "update", "--quiet", timeout=600, env=quiet)
    output("apt-get", "install", "--yes", "--no-install-recommends", *lacking, timeout=900, env=quiet)


def go_wanted() -> tuple[int, ...]:
    """The newest Go that any of our modules asks for."""
    found = [re.search(r"^go ([\d.]+)$", path.read_text(), re.MULTILINE) for path in HERE.glob("go/*/go.mod")]
    return max(tuple(map(int, match[1].split("."))) for match in found if match)


def find_go() -> Path:
    """Go's command, new enough.

    Raises:
        ClusterError: there is none, or only an older one.
    """
    wanted = go_wanted()
    remedy = INSTALL_GO.format(version=".".join(map(str, wanted)))
    path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not path:
        raise ClusterError("there is no Go to build Kubernetes with.", remedy=remedy)
    said = output(path, "env", "GOVERSION", env={**os.environ, "GOTOOLCHAIN": "local"}).strip()
    have = tuple(map(int, re.findall(r"\d+", said)[:3]))
    if have < wanted:
        raise ClusterError(f"{path} is {said}, too old to build Kubernetes.", remedy=remedy)
    return Path(path)
