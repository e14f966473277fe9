"""What the benchmarks' command lines have in common."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def positive(text: str) -> int:
    """A number from 1 on."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """A number from 0 on."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
    return int(text)


def progress(text: str) -> None:
    """One line on standard error: standard output is for the figures."""
    print(text, file=sys.stderr, flush=True)


def as_text(said: Mapping[str, object]) -> str:
    """Figures for a person: a block for each thing that was measured."""
    blocks = [each for value in said.values() if isinstance(value, list) for each in value]
    rest = {name: value for name, value in said.items() if not isinstance(value, list)}
    return "\n\n".join("\n".join(f"{n:36} {value}" for n, value in block.items()) for block in (rest, *blocks) if block)


@contextmanager
def work_folder(wanted: Path | None) -> Iterator[Path]:
    """The folder asked for, kept; else a temporary one, kept only if something goes wrong, to go on from there."""
    if wanted:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    folder = Path(tempfile.mkdtemp(prefix="consilia-bench-"))
    try:
        yield folder
    except BaseException:
        progress(f"what is finished lies in {folder}; go on with --work {folder}")
        raise
    shutil.rmtree(folder)
