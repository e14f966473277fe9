"""Walks a page as its reader would: saves the files it shows, types its commands, and looks at what they print."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pages import Step, blocks_of, steps_of

ANYTHING = "…"
"""In what a page says a command prints: some lines are left out, or some words of a line."""

TOLERANCE = 0.02
"""How far a decimal number may be from the page's: arithmetic differs between processors in its last digits."""

_MINUS = "\N{MINUS SIGN}"
_NUMBER = re.compile(rf"[+{_MINUS}-]?\d+(?:\.\d+)?")
_STAMP = re.compile(r"\d{8}-\d{6}")
_DURATION = re.compile(r"\d+(?:\.\d+)? (?:ms|s|min|h)\b")


def walk(page: Path, folder: Path, *, commands: str = ".") -> list[str]:
    """Save all files of a page and run those of its commands that match `commands`; gives what was run."""
    done = []
    for block in blocks_of(page):
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for step in steps_of(block):
                if re.search(commands, step.command):
                    take(step, folder, f"{page.name}:{block.line}")
                    done.append(step.command)
    return done


def take(step: Step, folder: Path, where: str) -> None:
    """Run one command and compare."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(
        ["bash", "-c", step.command], cwd=folder, env=environment, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    compare(step, done.returncode, done.stdout + done.stderr, where)


def compare(step: Step, code: int, printed: str, where: str) -> None:
    """See that a command did its work, and printed what the page shows, if it shows anything."""
    assert code == 0, f"{where}: {step.command}\n{printed}"
    if step.output:
        assert says(step.output, printed.splitlines()), f"{where}: {step.command} prints\n{printed}"


def says(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether the printed lines are the expected ones, in order."""
    if not expected:
        return not printed
    if expected[0] == ANYTHING:
        return any(says(expected[1:], printed[start:]) for start in range(len(printed) + 1))
    return bool(printed) and alike(expected[0], printed[0]) and says(expected[1:], printed[1:])


def alike(expected: str, printed: str) -> bool:
    """Whether two lines say the same: any time, whole numbers exactly, decimals nearly."""
    ours, theirs = _plain(expected), _plain(printed)
    words = re.escape(_NUMBER.sub("#", ours)).replace(re.escape(ANYTHING), ".*")
    if not re.fullmatch(words, _NUMBER.sub("#", theirs)):
        return False
    if ANYTHING in ours:
        return True
    pairs = zip(_NUMBER.findall(ours), _NUMBER.findall(theirs), strict=True)
    return all(_near(one, other) for one, other in pairs)


def _plain(line: str) -> str:
    return " ".join(_DURATION.sub("DURATION", _STAMP.sub("STAMP", line)).split())


def _near(one: str, other: str) -> bool:
    if "." not in one:
        return one == other
    return abs(_value(one) - _value(other)) <= TOLERANCE


def _value(number: str) -> float:
    return float(number.replace(_MINUS, "-"))
