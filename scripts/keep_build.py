"""Keep the sources of this minor version, for the next one to be tried against: `python -m scripts.keep_build`.

Run it before the version is raised (CONTRIBUTING.md, "Raise the minor version"). It writes
tests/skew/builds/MINOR.tar.xz: the three packages, tests/skew/party.py and the support modules that it needs. The same
tree gives the same archive, byte for byte but for what another liblzma may do. Builds of other minors are removed: hub
and hospital may be one apart. Why: docs/decisions/0026-the-previous-build-is-kept.md.
"""

import ast
import io
import lzma
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILDS = Path("tests/skew/builds")
PACKAGES = ("consilia", "operator/consilia_operator", "workers/consilia_workers")
PARTY, SUPPORT = Path("tests/skew/party.py"), Path("tests/support")
SUFFIXES = frozenset({".py", ".json", ".yaml"})


def minor(root: Path) -> str:
    """The minor version of the sources there."""
    text = (root / "consilia" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(\d+\.\d+)\.', text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{root}/consilia/__init__.py says no version")
    return found[1]


def before(version: str) -> str:
    """The minor version before that one."""
    major, number = map(int, version.split("."))
    if number == 0:
        raise SystemExit(f"which minor came before {version}.0? Say so in {__file__}")
    return f"{major}.{number - 1}"


def files(root: Path) -> list[Path]:
    """What a build holds, from the root, sorted."""
    packages = (path for package in PACKAGES for path in (root / package).rglob("*") if path.suffix in SUFFIXES)
    found = {path.relative_to(root) for path in packages if "__pycache__" not in path.parts}
    return sorted(found | set(needed(root, PARTY)), key=lambda path: path.as_posix())


def needed(root: Path, path: Path) -> Iterator[Path]:
    """A program of the tests, and the support modules that it imports, and they."""
    waiting, known = [path], {path}
    while waiting:
        one = waiting.pop()
        yield one
        names = imported((root / one).read_text(encoding="utf-8"))
        found = {SUPPORT / f"{name}.py" for name in names if (root / SUPPORT / f"{name}.py").is_file()} - known
        known |= found
        waiting += found


def imported(source: str) -> Iterator[str]:
    """The top-level modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def tar(root: Path) -> bytes:
    """The build there, packed: nothing of who packed it, where or when is in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in files(root):
            content = (root / path).read_bytes()
            entry = tarfile.TarInfo(path.as_posix())
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def compressed(archive: bytes) -> bytes:
    """As small as xz makes it."""
    return lzma.compress(archive, preset=9 | lzma.PRESET_EXTREME)


def keep(folder: Path) -> Path:
    """Write the build of these sources, and remove those of other minors."""
    target = folder / f"{minor(ROOT)}.tar.xz"
    target.write_bytes(compressed(tar(ROOT)))
    for other in set(folder.glob("*.tar.xz")) - {target}:
        other.unlink()
    return target


def main() -> int:
    """Keep it where the tests look for it."""
    kept = keep(ROOT / BUILDS)
    print(f"wrote {kept.relative_to(ROOT)}, {kept.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
