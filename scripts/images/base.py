"""A base image without a registry: Debian with its own Python, made of packages by mmdebstrap."""

import hashlib
import os
import subprocess
from pathlib import Path

from scripts.images.buildah import Buildah
from scripts.images.context import EPOCH

SUITE = "trixie"
PACKAGES = ("python3", "python3-venv", "ca-certificates", "tzdata")
RECIPE = (
    "mmdebstrap",
    "--variant=minbase",
    "--format=tar",
    f"--include={','.join(PACKAGES)}",
    '--aptopt=Acquire::Languages "none"',
    *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("man", "doc", "locale", "info")),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    # Lists and logs differ from day to day; name servers and host names are the building machine's.
    '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/cache/ldconfig "$1"/var/log/*',
    '--customize-hook=for each in hostname hosts resolv.conf; do : > "$1/etc/$each"; done',
    SUITE,
)
DOCKERFILE = 'FROM scratch\nADD rootfs.tar /\nENV LANG=C.UTF-8\nCMD ["python3"]\n'


def debian(buildah: Buildah) -> str:
    """The tag of the image, made now unless this recipe has been followed before.

    The packages come from Debian's own mirrors, or from the one that DEBIAN_MIRROR names.
    """
    tag = f"localhost/consilia-base:{SUITE}-{_digest()}"
    if tag not in buildah.tags():
        _make(buildah, tag, buildah.cache.base)
    return tag


def _digest() -> str:
    return hashlib.sha256("\0".join((*RECIPE, DOCKERFILE)).encode()).hexdigest()[:12]


def _make(buildah: Buildah, tag: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "rootfs.tar"
    mirror = [os.environ["DEBIAN_MIRROR"]] if os.environ.get("DEBIAN_MIRROR") else []
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    subprocess.run((*RECIPE, archive, *mirror), env=environment, check=True)
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    buildah.build(folder, tag)
    archive.unlink()
