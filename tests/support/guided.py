"""Somebody who follows a guide on a real cluster: saves its files, types its commands, answers what they ask."""

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pages import ROOT, Block, Step, blocks_under, steps_of
from walking import compare

_LOOKS = re.compile(r"kubectl .*\b(get|describe|logs)\b")
"""Commands that change nothing: who does not see yet what the page shows looks again."""
_PATIENCE = 90.0
_QUESTION = b"[y/N]: "


@dataclass(slots=True, kw_only=True)
class Reader:
    """One person: a folder, a kubeconfig, and what is otherwise here than on the page."""

    folder: Path
    environment: Mapping[str, str]
    instead: dict[str, str] = field(default_factory=dict)
    """What is written here for what the page has: longest first, in files, commands and outputs alike."""
    reads_out: Callable[[str], bool] = lambda shown: False
    """Whether what a command shows before it asks is what the other side reads out."""
    typed: list[tuple[str, str]] = field(default_factory=list)
    """Page and command, as the page has it."""

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        for name in ("charts", "crds"):
            (self.folder / name).symlink_to(ROOT / name)

    def follow(self, page: Path, heading: str, commands: str = ".") -> str:
        """Go through one section, or those of its commands that match; all that was printed."""
        printed = ""
        for block in blocks_under(page, heading):
            if block.title:
                (self.folder / block.title).write_text(self.here(block.text), encoding="utf-8")
            elif block.language == "console":
                printed += self._type(page, block, commands)
        return printed

    def here(self, text: str) -> str:
        """A text of the page, as it must be here."""
        for shown in sorted(self.instead, key=len, reverse=True):
            text = text.replace(shown, self.instead[shown])
        return text

    def _type(self, page: Path, block: Block, commands: str) -> str:
        all_printed = ""
        for step in steps_of(block):
            if not re.search(commands, step.command):
                continue
            meant = Step(command=self.here(step.command), output=tuple(map(self.here, step.output)))
            all_printed += self._run(meant, f"{page.name}:{block.line}")
            self.typed.append((page.name, step.command))
        return all_printed

    def _run(self, step: Step, where: str) -> str:
        deadline = time.monotonic() + _PATIENCE
        while True:
            code, printed = self._at_a_terminal(step.command)
            with (self.folder / "terminal.txt").open("a", encoding="utf-8") as terminal:
                terminal.write(f"$ {step.command}\n{printed}")
            try:
                compare(step, code, printed, where)
            except AssertionError:
                if not _LOOKS.search(step.command) or time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return printed

    def _at_a_terminal(self, command: str) -> tuple[int, str]:
        """Run it where it can ask; the answer is yes where the other side reads out the same, and else no."""
        ours, theirs = os.openpty()
        path = f"{Path(sys.executable).parent}:{self.environment['PATH']}"
        environment = {**self.environment, "PATH": path, "COLUMNS": "200", "TERM": "dumb"}
        with subprocess.Popen(
            ["bash", "-c", command], cwd=self.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        ) as process:  # fmt: skip
            os.close(theirs)
            try:
                printed = self._listen(ours, process)
            finally:
                process.kill()
                os.close(ours)
        return process.returncode, printed.decode(errors="replace").replace("\r\n", "\n")

    def _listen(self, terminal: int, process: subprocess.Popen[bytes], seconds: float = 300) -> bytes:
        printed, deadline = b"", time.monotonic() + seconds
        while True:
            assert time.monotonic() < deadline, printed.decode(errors="replace")
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    more = os.read(terminal, 1 << 16)
                except OSError:  # nobody has the other end any more
                    process.wait(30)
                    return printed
                printed += more
                if printed.endswith(_QUESTION):
                    os.write(terminal, b"y\n" if self.reads_out(printed.decode()) else b"n\n")
            elif process.poll() is not None:
                return printed
