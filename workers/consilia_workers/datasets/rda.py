"""Reads a data frame out of an R data file (`.rda`), the form in which the International Stroke Trial is published.

Only what that file needs: serialization version 2 in big-endian XDR, compressed by bzip2, with columns of integers,
doubles or strings. Nothing in it is executed. The format: "R Internals", section 1.8, "Serialization Formats".
"""

import bz2
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilia.errors import DataError

HEADER = b"RDX2\nX\n"
HAS_ATTRIBUTES, HAS_TAG = 0x200, 0x400
REFERENCE, END = 255, 254
MISSING_INTEGER = -(2**31)

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    StopIteration,
    RecursionError,
    struct.error,
)
"""What reading a damaged file may end in."""

Item = Any
"""Whatever was read: numbers, strings, a list, tagged values by name, or a pair of one of these and its attributes."""

Column = NDArray[Any]
"""Doubles, with NaN where a value is missing, or strings, empty where one is missing."""


def read_data_frame(path: Path, columns: Sequence[str]) -> dict[str, Column]:
    """The named columns of the first data frame in the file; no other column leaves this function.

    Raises:
        DataError: the file is not such an R data file, or a column is not in it.
    """
    try:
        frame = _first_frame(_Cursor(bz2.decompress(path.read_bytes())))
        found = {name: _column(frame[name]) for name in columns if name in frame}
    except UNREADABLE as error:
        raise DataError(f"{path} is not an R data file with a data frame of numbers and strings: {error}.") from None
    if absent := [name for name in columns if name not in found]:
        raise DataError(f"{path} has no column {', '.join(absent)}.")
    return found


@dataclass(slots=True)
class _Cursor:
    """Where reading has come to, and the symbols seen so far, which later places refer to by number."""

    content: bytes
    at: int = 0
    symbols: list[Item] = field(default_factory=list)

    def take(self, count: int) -> bytes:
        taken = self.content[self.at : self.at + count]
        if count < 0 or len(taken) != count:
            raise EOFError(f"it breaks off at byte {self.at}")
        self.at += count
        return taken

    def integer(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)


def _first_frame(cursor: _Cursor) -> Mapping[str, Item]:
    if cursor.take(len(HEADER)) != HEADER:
        raise ValueError("it does not start with an RDX2 header")
    cursor.take(12)  # the serialization's version, R's version, the oldest R that can read it
    values, attributes = next(iter(_item(cursor).values()))
    return dict(zip(attributes["names"], values, strict=True))


def _item(cursor: _Cursor) -> Item:
    """Read one object: a vector comes as an array or list, or as (vector, attributes) where it has attributes."""
    flags = cursor.integer()
    kind = flags & 0xFF
    if kind == REFERENCE:
        return cursor.symbols[(flags >> 8) - 1]
    if kind not in _READERS:
        raise ValueError(f"an object of type {kind} at byte {cursor.at} is neither numbers nor strings")
    value = _READERS[kind](cursor)
    return (value, _item(cursor)) if flags & HAS_ATTRIBUTES else value


def _symbol(cursor: _Cursor) -> Item:
    cursor.symbols.append(_item(cursor))
    return cursor.symbols[-1]


def _pairs(cursor: _Cursor) -> dict[str, Item]:
    """Read a list of tagged values: R's way to write saved objects by name, and attributes by name."""
    pairs = {}
    while True:
        name = _item(cursor)
        pairs[name] = _item(cursor)
        flags = cursor.integer()
        if flags & 0xFF == END:
            return pairs
        if not flags & HAS_TAG:
            raise ValueError(f"a value without a name at byte {cursor.at}")


def _string(cursor: _Cursor) -> str:
    length = cursor.integer()
    return "" if length == -1 else cursor.take(length).decode("latin-1")


def _strings(cursor: _Cursor) -> list[str]:
    """Read many strings; over a million of them, so this loop does without the cursor's checked reads."""
    count, at, content, head = cursor.integer(), cursor.at, cursor.content, struct.Struct(">4xi")
    strings = []
    for _ in range(count):
        (length,) = head.unpack_from(content, at)
        at += 8 + max(length, 0)
        strings.append(content[at - max(length, 0) : at].decode("latin-1"))
    cursor.at = at
    return strings


def _numbers(dtype: str) -> Callable[[_Cursor], Column]:
    def read(cursor: _Cursor) -> Column:
        count = cursor.integer()
        return np.frombuffer(cursor.take(count * np.dtype(dtype).itemsize), dtype)

    return read


def _list(cursor: _Cursor) -> list[Item]:
    return [_item(cursor) for _ in range(cursor.integer())]


_READERS: Mapping[int, Callable[[_Cursor], Item]] = {
    1: _symbol,
    2: _pairs,
    9: _string,
    13: _numbers(">i4"),
    14: _numbers(">f8"),
    16: _strings,
    19: _list,
}
"""By R's type numbers."""


def _column(values: Item) -> Column:
    if isinstance(values, list):
        return np.array(values)
    if not isinstance(values, np.ndarray):
        raise TypeError("a column has attributes of its own, as a factor has")
    missing = values == MISSING_INTEGER if values.dtype.kind == "i" else np.isnan(values)
    return np.where(missing, np.nan, values).astype(np.float64)
