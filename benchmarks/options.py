"""What the benchmarks' command lines have in common."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def positive(text: str) -> int:
    """A number from 1 on."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def progress(text: str) -> None:
    """One line on standard error: standard output is for the figures."""
    print(text, file=sys.stderr, flush=True)


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
