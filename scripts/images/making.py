"""The images of these sources: which they are, and how they are made."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scripts.images.archive import export, forget
from scripts.images.base import debian
from scripts.images.buildah import Buildah
from scripts.images.cache import Cache
from scripts.images.context import digest, stage
from scripts.images.network import secrets

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("operator", "worker", "kafka")
Accelerator = Literal["cuda", "cpu", "stubs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to build."""

    names: Sequence[str] = NAMES
    base: str | None = None
    """An image with Python 3.11 or newer; without one, a Debian made on this machine."""
    accelerator: Accelerator = "stubs"
    torch_wheel: str = ""
    """For `cpu`: an address, and #sha256=..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image, on this machine."""

    name: str
    tag: str
    archive: Path
    """An OCI image archive."""


def images(request: Request, cache: Cache, root: Path = ROOT) -> list[Image]:
    """The images of the sources as they are now; what is there already is not made again.

    Raises:
        subprocess.CalledProcessError: a build fails.
        OSError: the sources cannot be read, or the cache not be written.
    """
    with cache.alone():
        sources = stage(root, cache.context)
        version = tomllib.loads((cache.context / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        tag = f"{version}-{_key(request, sources)}"
        wanted = [_image(name, tag, cache) for name in request.names]
        if not all(image.archive.exists() for image in wanted):
            _make(request, wanted, Buildah(cache), version)
        return wanted


def _key(request: Request, sources: str) -> str:
    parts = (sources, request.base or "", request.accelerator, request.torch_wheel)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _image(name: str, tag: str, cache: Cache) -> Image:
    archive = cache.archives / f"consilia-{name}-{tag}.tar"
    return Image(name=name, tag=f"localhost/consilia-{name}:{tag}", archive=archive)


def _make(request: Request, wanted: Sequence[Image], buildah: Buildah, version: str) -> None:
    base = request.base or debian(buildah)
    layers: set[str] = set()
    for image in wanted:
        arguments = _arguments(request, base, version, buildah)
        layers |= buildah.build(buildah.cache.context, image.tag, "--target", image.name, *arguments)
        export(buildah, image.name, image.tag, image.archive)
    if set(request.names) == set(NAMES):
        _forget(wanted, base, layers, buildah)


def _arguments(request: Request, base: str, version: str, buildah: Buildah) -> list[str]:
    context = buildah.cache.context
    arguments = {
        "BASE": base,
        "ACCELERATOR": request.accelerator,
        "TORCH_WHEEL": request.torch_wheel,
        "VERSION": version,
        "SCRIPTS": digest(context / "scripts" / "images" / "inside")[:12],
    }
    given = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    return [*given, *secrets(buildah.cache.folder)]


def _forget(wanted: Sequence[Image], base: str, layers: set[str], buildah: Buildah) -> None:
    """Keep what the next build can use, and nothing older: images are large."""
    buildah.forget([base, *(image.tag for image in wanted)], layers)
    forget(buildah.cache.layout)
    kept = {image.archive for image in wanted}
    for image in wanted:
        older = set(buildah.cache.archives.glob(f"consilia-{image.name}-*")) - kept
        # The newest of them may just be on its way into a cluster.
        for path in sorted(older, key=lambda path: path.stat().st_mtime)[:-1]:
            path.unlink()
