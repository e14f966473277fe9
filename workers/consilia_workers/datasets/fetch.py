"""Gets a data set's files from their public addresses. What the catalog does not vouch for by checksum is not kept."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.request import urlopen

from consilia.errors import DataError
from consilia_workers.datasets.catalog import DataFile, DataSet

SILENCE_SECONDS = 10.0
"""A server that says nothing for so long is given up."""
DEADLINE_SECONDS = 300.0
"""For one file, however steadily it trickles."""
PIECE_BYTES = 1 << 16


class State(StrEnum):
    """What one file of a data set is found to be."""

    VERIFIED = "verified"
    MISSING = "missing"
    DIFFERENT = "different"  # the checksum is not the catalog's


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One file of a data set, where it lies or should lie, and its state."""

    path: Path
    state: State


def inspect(entry: DataSet, folder: Path) -> list[Finding]:
    """Compare every file of the set with its checksum.

    Raises:
        DataError: a file is there but cannot be read.
    """
    return [Finding(path=folder / file.name, state=_state(folder / file.name, file)) for file in entry.files]


def fetch(entry: DataSet, folder: Path) -> list[Path]:
    """Download the files that are missing or different, verify each, and return those that were written.

    A file appears under its name only when its checksum is right; until then, whatever lay there stays.

    Raises:
        DataError: a file cannot be downloaded or written, or is not what the catalog expects. Nothing of it is kept.
    """
    _make(folder)
    wanted = [file for file in entry.files if _state(folder / file.name, file) is not State.VERIFIED]
    for file in wanted:
        try:
            _download(file, folder)
        except (OSError, EOFError, HTTPException) as error:
            raise DataError(
                f"{file.url} cannot be downloaded: {error}.", remedy=_by_hand(entry, file, folder)
            ) from None
    return [folder / file.name for file in wanted]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror}.", remedy="Choose another folder.") from None


def _state(path: Path, file: DataFile) -> State:
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        return State.MISSING
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", remedy="Check what it is and who may read it."
        ) from None
    return State.VERIFIED if digest == file.sha256 else State.DIFFERENT


def _download(file: DataFile, folder: Path) -> None:
    with _scratch_file(folder) as scratch:
        with urlopen(file.url, timeout=SILENCE_SECONDS) as answer:  # noqa: S310 (addresses are the catalog's own)
            digest = _copy(answer, scratch, size=file.size)
        if digest != file.sha256:
            raise DataError(
                f"{file.url} does not serve the expected file: its sha256 is {digest}, expected is {file.sha256}.",
                remedy="Nothing of it was kept. The publisher changed it, or something on the way did; do not use it.",
            )
        Path(scratch.name).replace(folder / file.name)


@contextmanager
def _scratch_file(folder: Path) -> Iterator[IO[bytes]]:
    """A file beside the final one, so that renaming is atomic; gone afterwards if nobody renamed it."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".incomplete-", delete=False) as scratch:
        try:
            os.fchmod(scratch.fileno(), 0o644)
            yield scratch
        finally:
            Path(scratch.name).unlink(missing_ok=True)


def _copy(answer: IO[bytes], scratch: IO[bytes], *, size: int) -> str:
    """Copy until the end, or one byte past the expected size, and return the sha256 of what was copied."""
    digest, left, deadline = hashlib.sha256(), size + 1, time.monotonic() + DEADLINE_SECONDS
    while left and (piece := answer.read(min(PIECE_BYTES, left))):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not complete after {DEADLINE_SECONDS:.0f} s")
        digest.update(piece)
        scratch.write(piece)
        left -= len(piece)
    if left > 1:
        raise EOFError(f"it ended after {size + 1 - left:,} of {size:,} bytes")
    scratch.flush()
    return digest.hexdigest()


def _by_hand(entry: DataSet, file: DataFile, folder: Path) -> str:
    return (
        f"Check the network and try again; or get {file.name} on another machine, put it into {folder} "
        f"and check it with `consilia data verify {entry.name} --at {folder}`."
    )
