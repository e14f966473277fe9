"""Programs in an image, as Kubernetes runs them: its user, its environment, a root that is read-only but for /tmp."""

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.images.buildah import Buildah
from scripts.images.making import Image

ENTER = """
set -eu
root=$1; shift
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount -o remount,ro,bind "$root"
exec chroot --userspec="$IMAGE_USER" "$root" env -i "$@"
"""
"""In a mount namespace of its own, which goes with the command."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An image with its files."""

    image: Image
    root: Path

    @property
    def configuration(self) -> dict:
        """What the image says of itself, read from the archive that a cluster would import."""
        with tarfile.open(self.image.archive) as archive:
            return configuration(archive)

    def run(self, *command: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess:
        """Run a command in it; no network is needed."""
        own = self.configuration["config"]
        enter = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", self.root]
        return subprocess.run(
            [*enter, *own["Env"], *command],
            env={**os.environ, "IMAGE_USER": own["User"]},
            input=stdin,
            text=True,
            capture_output=True,
            timeout=120,
            check=check,
        )


def read(archive: tarfile.TarFile, name: str) -> dict:
    return json.load(archive.extractfile(name))


def configuration(archive: tarfile.TarFile) -> dict:
    """By way of index and manifest."""
    (entry,) = read(archive, "index.json")["manifests"]
    manifest = read(archive, f"blobs/{entry['digest'].replace(':', '/')}")
    return read(archive, f"blobs/{manifest['config']['digest'].replace(':', '/')}")


@contextmanager
def unpacked(image: Image, buildah: Buildah) -> Iterator[Unpacked]:
    """The image's files, as long as they are needed."""
    container = buildah("from", "--pull-never", image.tag).strip()
    try:
        yield Unpacked(image, Path(buildah("mount", container).strip()))
    finally:
        buildah("rm", container)
