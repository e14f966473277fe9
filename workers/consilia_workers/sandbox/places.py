"""Where a confined process may read code: Python, its libraries, and wherever modules come from, but nothing hidden.

A task often lies in the folder in which a local run keeps its keys and ledgers. Such a folder is opened entry by entry,
without those that hold something hidden. Nor can it be listed then, for Landlock's leave to list a folder counts for
all below it, and names of files may be a patient's; modules are found through links in the scratch folder instead.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

_ALWAYS = (
    *("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/certs", "/proc/cpuinfo"),
    *("/sys/devices/system/cpu", "/dev/urandom", "/dev/random", "/dev/zero"),
)


def open_code(hidden: Sequence[Path], scratch: Path) -> list[Path]:
    """What may be read of all that; `sys.path` is changed to where modules can be found from now on."""
    secrets = [path.resolve() for path in hidden]
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, *_ALWAYS}
    opened = [part for place in sorted(python) for part in _parts(Path(place), secrets)]
    for number, place in enumerate(sys.path):
        folder = Path(place or ".")
        parts = _parts(folder, secrets)
        opened += parts
        if parts != [folder]:
            sys.path[number] = str(_linked(parts, scratch / f"code-{number}"))
    return opened


def _parts(place: Path, secrets: Sequence[Path]) -> list[Path]:
    """The place itself, or those of its entries that neither hold a secret nor lie in one."""
    if not _holds(place, secrets):
        return [place]
    if not place.is_dir():
        return []
    return [entry for entry in sorted(place.iterdir()) if not _holds(entry, secrets) and not _lies_in(entry, secrets)]


def _holds(place: Path, secrets: Sequence[Path]) -> bool:
    real = place.resolve()
    return any(path.is_relative_to(real) for path in secrets)


def _lies_in(place: Path, secrets: Sequence[Path]) -> bool:
    """Also by a link."""
    real = place.resolve()
    return any(real.is_relative_to(path) for path in secrets)


def _linked(parts: Sequence[Path], folder: Path) -> Path:
    folder.mkdir()
    for part in parts:
        (folder / part.name).symlink_to(part.absolute())
    return folder
