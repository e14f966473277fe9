"""From buildah's storage to one file an image: an OCI image archive, which containerd, podman and skopeo read.

Layers are kept in an OCI image layout that all images share; an archive is one image of the layout in a tar file.
buildah would compress all layers of an image each time that it is pushed, which takes longer than building it. It takes
a layer that lies in the layout under its own digest as it is. So all but the last layer, our own files, are put there
beforehand, uncompressed: a directory is the one place into which buildah pushes them so.
"""

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.images.buildah import Buildah

INDEX = "index.json"


def export(buildah: Buildah, name: str, tag: str, archive: Path) -> None:
    """Write the image with this tag; `name` is its place in the layout."""
    layout = buildah.cache.layout
    if not all(_path(layout, digest).exists() for digest in buildah.layers(tag)[:-1]):
        _seed(buildah, tag)
    buildah("push", "--quiet", "--format", "oci", tag, f"oci:{layout}:{name}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    incomplete = archive.with_suffix(".incomplete")
    with tarfile.open(incomplete, "w") as content:
        _write(content, layout, _manifest(layout, name), tag)
    incomplete.replace(archive)


def _seed(buildah: Buildah, tag: str) -> None:
    folder, blobs = buildah.cache.scratch / "layers", buildah.cache.layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    buildah("push", "--quiet", "--disable-compression", tag, f"dir:{folder}")
    for layer in buildah.layers(tag)[:-1]:
        digest = layer.removeprefix("sha256:")
        (folder / digest).replace(blobs / digest)
    shutil.rmtree(folder)


def forget(layout: Path) -> None:
    """Take away what has no name any more, and the layers that no image of the layout has."""
    index = _index(layout)
    index["manifests"] = [each for each in index["manifests"] if _name(each)]
    (layout / INDEX).write_text(json.dumps(index), encoding="utf-8")
    used = {digest for manifest in index["manifests"] for digest in _blobs(layout, manifest)}
    for path in (layout / "blobs" / "sha256").iterdir():
        if f"sha256:{path.name}" not in used:
            path.unlink()


def _write(archive: tarfile.TarFile, layout: Path, manifest: dict[str, Any], tag: str) -> None:
    """The name twice: containerd takes it from the first annotation, others from the second."""
    names = {"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag}
    index = {**_index(layout), "manifests": [{**manifest, "annotations": names}]}
    _add(archive, "oci-layout", (layout / "oci-layout").read_bytes())
    _add(archive, INDEX, json.dumps(index).encode())
    for digest in _blobs(layout, manifest):
        path = _path(layout, digest)
        with path.open("rb") as content:
            archive.addfile(_entry(str(path.relative_to(layout)), path.stat().st_size), content)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_entry(name, len(content)), io.BytesIO(content))


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


def _index(layout: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((layout / INDEX).read_bytes())
    return index


def _manifest(layout: Path, name: str) -> dict[str, Any]:
    """The entry of one image."""
    entry: dict[str, Any]
    (entry,) = (each for each in _index(layout)["manifests"] if _name(each) == name)
    return entry


def _name(manifest: dict[str, Any]) -> str | None:
    """What an image of the layout is called; one that another took the name from has none."""
    found: str | None = manifest.get("annotations", {}).get("org.opencontainers.image.ref.name")
    return found


def _blobs(layout: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """The digests of an image's parts: its manifest, its configuration, its layers."""
    yield manifest["digest"]
    content = json.loads(_path(layout, manifest["digest"]).read_bytes())
    yield content["config"]["digest"]
    yield from dict.fromkeys(layer["digest"] for layer in content["layers"])


def _path(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")
