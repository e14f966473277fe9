"""OCI image archives: written from single files, and read for what they hold."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.places import ClusterError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def architecture() -> str:
    """This machine's, as images call it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def write(archive: Path, name: str, program: Path, *, architecture: str) -> None:
    """An image of one static program, which it starts; the same bytes each time."""
    layer, content = _layer(program)
    settings = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65532:65532", "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(content)]},
    }
    config = _json(settings)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor(LAYER, layer)],
        }
    )
    named = {**_descriptor(MANIFEST, manifest), "annotations": {"io.containerd.image.name": name}}
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"})}
    files["index.json"] = _json({"schemaVersion": 2, "manifests": [named]})
    files |= {f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in (layer, config, manifest)}
    incomplete = archive.with_name(f".{archive.name}.incomplete")
    _write_tar(incomplete, files)
    incomplete.replace(archive)


def contents(archive: Path) -> dict[str, str]:
    """The images of an archive: name to digest.

    Raises:
        ClusterError: it is no OCI archive, or its images have no names.
    """
    try:
        with tarfile.open(archive) as tar:
            index = tar.extractfile("index.json")
            manifests = json.load(index)["manifests"] if index else []
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        message = f"{archive} is no OCI image archive: {error}."
        raise ClusterError(message, remedy="Write one with `buildah push NAME oci-archive:FILE:NAME`.") from None
    found = {_name(manifest.get("annotations", {})): str(manifest["digest"]) for manifest in manifests}
    if not found or not all("/" in name for name in found):
        message = f"{archive} does not say its images' full names, but {sorted(found)}."
        raise ClusterError(message, remedy="Write it with `buildah push NAME oci-archive:FILE:NAME`.")
    return found


def _name(annotations: Mapping[str, str]) -> str:
    full = annotations.get("io.containerd.image.name")
    return str(full or annotations.get("org.opencontainers.image.ref.name", ""))


def _layer(program: Path) -> tuple[bytes, bytes]:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo(program.name)
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as file:
            tar.addfile(entry, file)
    return gzip.compress(content.getvalue(), 1, mtime=0), content.getvalue()


def _write_tar(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def _descriptor(media: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
