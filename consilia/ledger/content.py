"""What a data set is known by, whatever it is called and wherever it lies: keyed digests of its content.

A name can be changed, a resource deleted and made anew, a folder copied. So a ledger knows data by what is in it: a
digest over all files, and a sample of the digests of their pieces, the lines of a text or the files of a folder, by
which data is known again that has grown or was corrected. Digests are keyed with a secret that never leaves the
hospital: nobody can try out whether a certain patient's line is among them.
"""

import hashlib
import hmac
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

from consilia.errors import DataError

PIECES = 1024
"""So many of the pieces' digests are kept: the smallest, which makes them a random sample (Broder 1997)."""
_ENOUGH = 0.05
"""Data that has at least this share of its sampled pieces in common is the same data."""
_SHORTEST = 8
"""Shorter lines, in bytes, stand in many files."""
_LONGEST = 1 << 22
"""A file with a longer line, in bytes, is no text."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """A data set's content, as a ledger knows it."""

    fingerprint: str
    pieces: tuple[str, ...] = ()
    """Sixteen hexadecimal digits each, in increasing order."""


def same_data(content: Content, known: Collection[str]) -> bool:
    """Whether it is the data that the known pieces are of, grown, cut or corrected."""
    if not content.pieces or not known:
        return False
    limit = (
        sorted(known)[PIECES - 1] if len(known) >= PIECES else "~"
    )  # a sample of the smallest tells of no larger ones
    comparable = [piece for piece in content.pieces if piece <= limit]
    common = sum(piece in known for piece in comparable)
    return common >= max(1, _ENOUGH * len(comparable))


def content_of(path: Path, secret: bytes) -> Content:
    """The content of a file, or of a folder with all that is in it.

    Raises:
        DataError: it is missing, empty, or cannot be read.
    """
    try:
        files = list(_files(path))
        if not files:
            raise DataError(f"{path} holds no files.", remedy="Correct the Dataset's spec.source.")
        whole = hmac.new(secret, digestmod=hashlib.sha256)
        pieces: set[str] = set()
        for name, file in files:
            digest, found = _file(file, secret)
            whole.update(len(name).to_bytes(4, "big") + name + digest)
            pieces = set(nsmallest(PIECES, pieces | found))
    except OSError as error:
        message = f"{error.filename or path} cannot be read: {error.strerror}."
        raise DataError(message, remedy="Correct the Dataset's spec.source, or the volume's permissions.") from error
    return Content(f"sha256:{whole.hexdigest()}", tuple(sorted(pieces)))


def content_of_bytes(data: bytes | memoryview, secret: bytes) -> Content:
    """The content of data that lies in no file: what a task generates or brings along."""
    return Content(f"sha256:{hmac.new(secret, data, hashlib.sha256).hexdigest()}")


def _files(path: Path) -> Iterator[tuple[bytes, Path]]:
    """All regular files by their names below `path`, sorted; a file alone has none."""
    if path.is_file():
        yield b"", path
        return
    if not path.exists():
        raise DataError(f"{path} is missing.", remedy="Correct the Dataset's spec.source.")
    found = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    regular = ((os.fsencode(file.relative_to(path)), file) for file in found if file.is_file())
    yield from sorted(regular)


def _file(path: Path, secret: bytes) -> tuple[bytes, set[str]]:
    """The digest of a file, and of its pieces: its lines if it is text, else itself."""
    digest, text, rest = hashlib.sha256(), True, b""
    pieces: set[str] = set()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            text = text and b"\0" not in block and len(rest) <= _LONGEST
            if text:
                *lines, rest = (rest + block).split(b"\n")
                pieces = set(nsmallest(PIECES, pieces | _keyed(lines, secret)))
    if text:
        pieces |= _keyed([rest], secret)
        return digest.digest(), set(nsmallest(PIECES, pieces))
    return digest.digest(), _keyed([digest.digest()], secret)


def _keyed(pieces: list[bytes], secret: bytes) -> set[str]:
    stripped = (piece.strip() for piece in pieces)
    return {hmac.digest(secret, piece, "sha256")[:8].hex() for piece in stripped if len(piece) >= _SHORTEST}
