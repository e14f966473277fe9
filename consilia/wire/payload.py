"""Payloads piece by piece: checked while they arrive, never trusted before the last byte."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np

from consilia.errors import Refusal, RefusedMessage
from consilia.log import CHUNK_BYTES, chunks
from consilia.wire.layout import Layout
from consilia.wire.messages import Payload


class PayloadCheck:
    """Follows one payload, chunk after chunk, and refuses it at the first byte that breaks a rule."""

    def __init__(self, sender: str, payload: Payload, layout: Layout) -> None:
        """`sender` is named in refusals.

        Raises:
            RefusedMessage: the announced size is not that of the layout.
        """
        if payload.size != layout.size or payload.chunks != layout.chunks:
            reason = Refusal.OVERSIZED if payload.size > layout.size else Refusal.WRONG_LAYOUT
            raise RefusedMessage(reason, f"{sender} announces {payload.size} bytes where the model takes {layout.size}")
        self._sender, self._payload, self._layout = sender, payload, layout
        self._hash = sha256()
        self._seen = 0

    @property
    def complete(self) -> bool:
        """Whether all chunks were there."""
        return self._seen == self._layout.chunks

    def feed(self, chunk: memoryview) -> None:
        """The next chunk.

        Raises:
            RefusedMessage: wrong length, wrong header, NaN or infinity, or, at the last one, the wrong digest.
        """
        index = self._seen
        self._check_length(index, len(chunk))
        self._check_header(index * CHUNK_BYTES, chunk)
        self._check_finite(index, chunk)
        self._hash.update(chunk)
        self._seen += 1
        if self.complete and f"sha256:{self._hash.hexdigest()}" != self._payload.sha256:
            raise RefusedMessage(Refusal.WRONG_DIGEST, f"the bytes from {self._sender} are not the ones that it signed")

    def _check_length(self, index: int, length: int) -> None:
        expected = min(CHUNK_BYTES, self._layout.size - index * CHUNK_BYTES)
        if length != expected:
            reason = Refusal.TRUNCATED if length < expected else Refusal.OVERSIZED
            raise RefusedMessage(reason, f"chunk {index} from {self._sender} has {length} bytes instead of {expected}")

    def _check_header(self, start: int, chunk: memoryview) -> None:
        expected = self._layout.header[start : start + CHUNK_BYTES]
        if expected and chunk[: len(expected)] != expected:
            message = f"the tensors from {self._sender} differ from the model's in name, dtype, shape or order"
            raise RefusedMessage(Refusal.WRONG_LAYOUT, message, remedy="Run the same task code everywhere.")

    def _check_finite(self, index: int, chunk: memoryview) -> None:
        if not all(np.isfinite(span.of(chunk)).all() for span in self._layout.spans[index]):
            raise RefusedMessage(Refusal.NOT_FINITE, f"the parameters from {self._sender} hold NaN or infinity")


def describe(pieces: Iterable[bytes | bytearray | memoryview]) -> Payload:
    """The digest, size and number of chunks of the bytes in `pieces`."""
    hash_, size = sha256(), 0
    for piece in pieces:
        hash_.update(piece)
        size += len(piece)
    return Payload(sha256=f"sha256:{hash_.hexdigest()}", size=size, chunks=-(-size // CHUNK_BYTES))


def write(file: BinaryIO, pieces: Iterable[bytes | bytearray | memoryview]) -> Payload:
    """Write the bytes in `pieces` to `file`, and describe them; digested while they are warm in the cache."""
    return describe(_written(file, pieces))


def _written(file: BinaryIO, pieces: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
    for piece in pieces:
        for chunk in chunks(piece):
            file.write(chunk)
            yield chunk


def read_file(path: Path) -> Iterator[bytes]:
    """A file's bytes in chunks."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
