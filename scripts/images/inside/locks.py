"""Cut requirements.lock into what each image installs: `python locks.py FOLDER`, with uv on the PATH.

uv says which packages a list of requirements leads to, under the lock's versions; the lines, with their hashes, are the
lock's own. So nothing is ever installed whose sha256 does not stand in requirements.lock.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LOCK = Path("requirements.lock")
CUDA = re.compile(r"(nvidia|cuda)-.+|triton")
"""The packages of torch's that are of use with a GPU only."""


def entries(lock: str) -> dict[str, str]:
    """Each line of a lock with its hashes; two lines of one package, for two Pythons, stay together."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        name = re.split(r"[=\[ ]", entry, maxsplit=1)[0]
        found[name] = f"{found.get(name, '')}{entry}\n"
    return found


def closure(requirements: Iterable[str]) -> frozenset[str]:
    """The names of everything that these requirements lead to on this machine's Python."""
    command = ["uv", "pip", "compile", "-", "--constraints", str(LOCK), "--no-header", "--no-annotate", "--quiet"]
    done = subprocess.run(command, input="\n".join(requirements), text=True, stdout=subprocess.PIPE, check=True)
    return frozenset(re.split(r"[=\[ ]", line, maxsplit=1)[0] for line in done.stdout.splitlines())


def wanted(project: Mapping[str, object], build: Sequence[str]) -> dict[str, frozenset[str]]:
    """The packages of each list. Torch has its own, and its own layer: it is large, and seldom another."""
    base, extras = project["dependencies"], project["optional-dependencies"]
    assert isinstance(base, list)
    assert isinstance(extras, dict)
    torch = closure(line for line in extras["workers"] if line.startswith("torch>"))
    without_cuda = frozenset(name for name in torch if not CUDA.fullmatch(name))
    return {
        "operator": closure([*base, *extras["operator"]]),
        "torch-cuda": torch,
        "torch-stubs": without_cuda,
        "torch-beside": without_cuda - {"torch"},
        "worker": closure([*base, *extras["workers"]]) - torch,
        "kafka": closure([*base, *(line for line in extras["broker"] if not line.startswith("jgo>"))]),
        "jars": closure(line for line in extras["broker"] if line.startswith("jgo>")),
        "build": closure(build),
    }


def main(folder: Path) -> None:
    """Write every list."""
    pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    locked = entries(LOCK.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, packages in wanted(pyproject["project"], pyproject["build-system"]["requires"]).items():
        (folder / f"{name}.txt").write_text("".join(locked[package] for package in sorted(packages)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
