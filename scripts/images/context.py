"""The build context: a copy of what goes into the images, and its digest, by which a build is known again."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

FILES = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "requirements.lock",
    "requirements-uv.lock",
)
FOLDERS = ("consilia", "operator", "workers", "scripts/images/inside")
EPOCH = 315532800
"""1 January 1980, the oldest time that a wheel can hold: all files of the images are of that day."""


def stage(root: Path, context: Path) -> str:
    """Copy the sources, so that an editor may go on, and tell their digest.

    Raises:
        OSError: a file cannot be read or written.
    """
    shutil.rmtree(context, ignore_errors=True)
    for source in _sources(root):
        target = context / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    for path in (context, *context.rglob("*")):
        os.utime(path, (EPOCH, EPOCH))
    return digest(context)


def _sources(root: Path) -> Iterator[Path]:
    yield from (root / name for name in FILES)
    for folder in FOLDERS:
        yield from (path for path in (root / folder).rglob("*") if path.is_file() and not _is_litter(path, root))


def _is_litter(path: Path, root: Path) -> bool:
    """What Python, mypy and editors leave beside sources."""
    return any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(root).parts)


def digest(folder: Path) -> str:
    """Over names, modes and contents of all files below the folder, in hex."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(folder)} {path.stat().st_mode & 0o777:o} {content}\n".encode())
    return total.hexdigest()
