"""How a confined process and its keeper talk: one frame a question, one an answer; JSON, then raw bytes. No pickle.

A frame is the length of its head and of its body (8 bytes each, little-endian), the head as JSON, the body as it is.
What comes from a confined process is not trusted: lengths are bounded before anything is read, and no error quotes it.
"""

import json
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_LENGTHS = struct.Struct("<QQ")
LONGEST_HEAD = 1 << 24
LONGEST_BODY = 1 << 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is said."""

    head: dict[str, Any]
    body: bytearray | memoryview | bytes = field(default=b"", repr=False)


class BrokenFrameError(Exception):
    """The other side ended, or what it said is no frame."""


def send(connection: socket.socket, head: dict[str, Any], body: Sequence[bytes | memoryview] = ()) -> None:
    """Say something."""
    text = json.dumps(head).encode()
    try:
        connection.sendall(_LENGTHS.pack(len(text), sum(len(part) for part in body)) + text)
        for part in body:
            connection.sendall(part)
    except OSError as error:
        raise BrokenFrameError(f"nobody listens any more: {error}") from error


def receive(connection: socket.socket) -> Frame:
    """Hear the next frame.

    Raises:
        BrokenFrameError: there is none, or it is too long or malformed.
    """
    head_length, body_length = _LENGTHS.unpack(_exactly(connection, _LENGTHS.size))
    if head_length > LONGEST_HEAD or body_length > LONGEST_BODY:
        raise BrokenFrameError("a frame is too long")
    try:
        head = json.loads(bytes(_exactly(connection, head_length)))
    except (ValueError, RecursionError):
        raise BrokenFrameError("its head is no JSON") from None
    if not isinstance(head, dict):
        raise BrokenFrameError("its head is no JSON object")
    return Frame(head=head, body=_exactly(connection, body_length))


def _exactly(connection: socket.socket, length: int) -> bytearray:
    """Memory is taken as the bytes come, not as they were announced."""
    found = bytearray()
    while len(found) < length:
        try:
            part = connection.recv(min(length - len(found), 1 << 20))
        except OSError as error:
            raise BrokenFrameError(str(error)) from error
        if not part:
            raise BrokenFrameError("the other side has ended")
        found += part
    return found


def describe_array(array: np.ndarray) -> dict[str, Any]:
    """An array's type and shape; its bytes go into the body."""
    return {"dtype": array.dtype.newbyteorder("<").str, "shape": list(array.shape)}


_PLAIN = frozenset({"<f2", "<f4", "<f8", "|i1", "|u1", "<i2", "<i4", "<i8", "|b1"})


def read_arrays(described: object, body: bytearray | memoryview | bytes) -> list[np.ndarray]:
    """The arrays whose bytes follow one another in the body.

    Raises:
        BrokenFrameError: the description is no list of types and shapes, or does not fit the bytes.
    """
    if not isinstance(described, list):
        raise BrokenFrameError("arrays are not described by a list")
    found, view, start = [], memoryview(body), 0
    for each in described:
        match each:
            case {"dtype": str(name), "shape": list(shape)} if name in _PLAIN and all(
                isinstance(length, int) and 0 <= length < 2**40 for length in shape
            ):
                pass
            case _:
                raise BrokenFrameError("what describes an array is no type and shape")
        dtype = np.dtype(name)
        size = int(np.prod([*shape, 1], dtype=object)) * dtype.itemsize
        if start + size > len(view):
            raise BrokenFrameError("an array is longer than the bytes that came")
        found.append(np.frombuffer(view[start : start + size], dtype=dtype).reshape(shape))
        start += size
    if start != len(view):
        raise BrokenFrameError("bytes came that belong to no array")
    return found
