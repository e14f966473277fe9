"""For tests without a GPU: torch's CUDA build made to load without CUDA: `python cuda_stubs.py SITE_PACKAGES`.

The only torch on PyPI for Linux is the CUDA build, and it does not load without the libraries that it is linked with:
four gigabytes, unused on a machine without a GPU. Each of them is replaced by a small library with the same name,
versions and symbols, whose functions say "no device" (100, cudaErrorNoDevice); torch's own libraries lose their code
for GPUs. Then torch.cuda.is_available() is False, and everything on the CPU is torch's own code, unchanged.

Needs readelf and gcc. Not for production: take a wheel of torch's that was built without CUDA (TORCH_WHEEL).
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hollow import hollow

OF_THE_SYSTEM = re.compile(r"lib(c|m|dl|rt|z|pthread|stdc\+\+|gcc_s)\.so|ld-linux")
OF_NVIDIA = re.compile(r"(__)?(cu|nv|nccl)[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """One line of a library's dynamic symbol table."""

    name: str
    version: str
    bound: str
    defined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What a shared library offers, and what it wants of others."""

    path: Path
    needs: frozenset[str]
    versions: frozenset[tuple[str, str]]
    """Of its symbols from elsewhere: the library, and the version."""
    symbols: tuple[Symbol, ...]


def _readelf(*arguments: str | Path) -> str:
    return subprocess.run(("readelf", "-W", *arguments), capture_output=True, text=True, check=True).stdout


def read(path: Path) -> Library:
    """The dynamic section and symbols of one file."""
    needs = frozenset(re.findall(r"\(NEEDED\).*\[(.*)\]", _readelf("--dynamic", path)))
    lines = (line.split() for line in _readelf("--dyn-syms", path).splitlines())
    symbols = tuple(_symbol(line) for line in lines if len(line) >= 8)
    return Library(path=path, needs=needs, versions=frozenset(_versions(path)), symbols=symbols)


def _versions(path: Path) -> Iterator[tuple[str, str]]:
    file = ""
    for kind, name in re.findall(r"(File|Name): (\S+)", _readelf("--version-info", path).partition("Version needs")[2]):
        if kind == "File":
            file = name
        else:
            yield file, name


def _symbol(columns: list[str]) -> Symbol:
    name, _, version = columns[7].partition("@")
    return Symbol(name=name, version=version.strip("@"), bound=columns[4], defined=columns[6] != "UND")


def shared_libraries(package: Path) -> Iterator[Path]:
    """Every library of an installed package."""
    return (path for path in sorted(package.rglob("*.so*")) if re.search(r"\.so(\.\d+)*$", path.name))


def missing_libraries(libraries: Iterable[Library]) -> list[str]:
    """The names that these libraries are linked with, and that neither they nor the system bring."""
    libraries = list(libraries)
    present = {library.path.name for library in libraries}
    needed = {name for library in libraries for name in library.needs}
    return sorted(name for name in needed - present if not OF_THE_SYSTEM.match(name))


def missing_symbols(libraries: Iterable[Library]) -> dict[str, set[str]]:
    """What these libraries want and none of them offers, by version; the version of what has none is empty."""
    libraries = list(libraries)
    offered = {symbol.name for library in libraries for symbol in library.symbols if symbol.defined}
    wanted: dict[str, set[str]] = defaultdict(set)
    for symbol in (each for library in libraries for each in library.symbols):
        if not symbol.defined and symbol.bound == "GLOBAL" and symbol.name not in offered:
            wanted[symbol.version].add(symbol.name)
    return wanted


def source(names: Iterable[str]) -> str:
    """C that defines the names as functions that know of no device."""
    return "static char nothing[4096];\n" + "".join(map(_definition, sorted(names)))


def _definition(name: str) -> str:
    if name == "__cudaRegisterFatBinary":  # called when a library is loaded; what it leads to is written to
        return f"void *{name}(void) {{ return nothing; }}\n"
    return f"long {name}(void) {{ return 100; }}\n"


def compile_stub(path: Path, names: Mapping[str, set[str]]) -> None:
    """Write one library with these names, by version."""
    with tempfile.TemporaryDirectory() as folder:
        code, script = Path(folder, "stub.c"), Path(folder, "stub.map")
        code.write_text(source({name for each in names.values() for name in each}), encoding="utf-8")
        nodes = (
            f"{version} {{ global: {'; '.join(sorted(names[version]))}; }};" for version in sorted(names) if version
        )
        script.write_text("\n".join(nodes), encoding="utf-8")
        versions = [f"-Wl,--version-script={script}"] if any(names) else []
        linking = ["-shared", "-fPIC", "-Wl,--build-id=none", f"-Wl,-soname,{path.name}", *versions]
        subprocess.run(["gcc", "-w", "-O1", "-fno-builtin", *linking, "-o", path, code], check=True)


def main(site_packages: Path) -> None:
    """Replace all libraries for CUDA of the torch that is installed there."""
    lib = site_packages / "torch" / "lib"
    libraries = [read(path) for path in shared_libraries(site_packages / "torch")]
    symbols = missing_symbols(libraries)
    plain = {name for name in symbols[""] if OF_NVIDIA.match(name)}
    versions = {each for library in libraries for each in library.versions}
    for name in missing_libraries(libraries):
        own = {version: symbols[version] for file, version in versions if file == name and symbols[version]}
        compile_stub(lib / name, own or {"": plain})
    for library in libraries:
        hollow(library.path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
