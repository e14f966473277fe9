"""This build and the one before it, side by side: each runs in processes that import its own sources."""

import json
import lzma
import os
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from scripts.keep_build import BUILDS, PARTY, ROOT, before, minor

NEW = minor(ROOT)
OLD = before(NEW)
LEAVING = 60.0
"""Seconds within which a party that nobody asks any more is gone."""


def kept():
    """The archive of the build before."""
    return ROOT / BUILDS / f"{OLD}.tar.xz"


@dataclass(frozen=True)
class Build:
    """The sources of one version."""

    version: str
    root: Path

    @contextmanager
    def party(self, folder, role, *arguments):
        """One side; when the block is left, it leaves. What it prints is kept in the folder."""
        places = (".", "operator", "workers", "tests/support")
        path = os.pathsep.join(str(self.root / place) for place in places)
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}  # nothing of the other version
        folder.mkdir()
        with (folder / "output.log").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, PARTY, role, *map(str, arguments)], cwd=self.root, env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True,
            )  # fmt: skip
        try:
            yield Party(self, process, folder / "output.log")
        finally:
            process.stdin.close()
            try:
                process.wait(LEAVING)
            finally:
                process.kill()
                process.wait()
                process.stdout.close()


class Party:
    """One side, which does what the test asks it: `hub.turn()`, `hospital.decide(job="study", decision="Denied")`."""

    def __init__(self, build, process, output):
        self.build, self._process, self._output = build, process, output
        self._begun = False

    def __getattr__(self, name):
        return lambda **given: self._ask(name, given)

    def begun(self):
        """Which sources it has really imported; parties are started together, so nobody waits for this before."""
        if not self._begun:
            version, file = self._answer()
            assert version.rpartition(".")[0] == self.build.version
            assert Path(file).is_relative_to(self.build.root)
            self._begun = True
        return self

    def _ask(self, name, given):
        self.begun()
        print(json.dumps({"do": name, **given}), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        assert line, f"the party of {self.build.version} has ended:\n{self._output.read_text()[-4000:]}"
        answer = json.loads(line)
        assert "failed" not in answer, f"{self.build.version}: {answer['failed']}"
        return answer["gave"]


def this_build():
    """The sources that are tested."""
    return Build(NEW, ROOT)


def earlier_build(folder):
    """The build before, unpacked."""
    return unpacked(kept(), folder, OLD)


def unpacked(archive, folder, version):
    """A build that was kept."""
    with tarfile.open(fileobj=BytesIO(lzma.decompress(archive.read_bytes()))) as packed:
        packed.extractall(folder, filter="data")
    return Build(version, folder)
