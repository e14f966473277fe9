"""Rewrites a shared library without its code for GPUs, and without what no loader reads.

A library of nvcc's carries that code in one section, `.nv_fatbin`, which only the CUDA driver ever reads: two thirds of
torch's. The segment (ELF's PT_LOAD) that holds it is cut in two around it; addresses stay as they are, so nothing else
has to change. The second half takes the place of the note with the build's id in the table of segments.
Section headers and symbol tables, which only linkers and debuggers read, are left out.
"""

import re
import struct
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
PT_LOAD, PT_NOTE = 1, 4
PAGE = 4096


@dataclass(frozen=True, slots=True)
class Segment:
    """One entry of a program header table, in ELF64's order."""

    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    in_file: int
    in_memory: int
    align: int

    def cut(self, start: int, end: int) -> "Segment":
        """The part of it that holds these bytes of the file."""
        moved, length = start - self.offset, end - start
        return replace(
            self,
            offset=start,
            address=self.address + moved,
            physical=self.physical + moved,
            in_file=length,
            in_memory=length if end < self.offset + self.in_file else self.in_memory - moved,
        )


def hollow(path: Path) -> None:
    """Rewrite the library in its place; one without code for GPUs loses its symbol tables only."""
    content = path.read_bytes()
    header = list(HEADER.unpack_from(content))
    segments = _segments(content, header)
    if hole := _fatbin(path):
        segments = _around(segments, *hole)
    table, body = _repacked(content, segments)
    header[6], header[10], header[12], header[13] = 0, len(segments), 0, 0  # no section headers any more
    start = HEADER.pack(*header) + b"".join(SEGMENT.pack(*_columns(segment)) for segment in table)
    body[: len(start)] = start
    path.write_bytes(body)


def _segments(content: bytes, header: list[int]) -> list[Segment]:
    start, count = header[5], header[10]
    return [Segment(*SEGMENT.unpack_from(content, start + SEGMENT.size * each)) for each in range(count)]


def _columns(segment: Segment) -> tuple[int, ...]:
    return tuple(getattr(segment, name) for name in Segment.__dataclass_fields__)


def _fatbin(path: Path) -> tuple[int, int] | None:
    """The whole pages of the file that hold nothing but code for GPUs."""
    listing = subprocess.run(("readelf", "-SW", path), capture_output=True, text=True, check=True).stdout
    found = re.search(r" \.nv_fatbin +PROGBITS +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)", listing)
    if not found:
        return None
    offset, size = (int(each, 16) for each in found.groups())
    start, end = -(-offset // PAGE) * PAGE, (offset + size) // PAGE * PAGE
    return (start, end) if start < end else None


def _around(segments: list[Segment], start: int, end: int) -> list[Segment]:
    """The segments without these bytes and the note; as they were, if the table has no room for both halves."""
    parts: list[Segment] = []
    for segment in segments:
        last = segment.offset + segment.in_file
        if segment.kind == PT_LOAD and segment.offset <= start and end <= last:
            halves = ((segment.offset, start), (end, last))
            parts += [segment.cut(first, after) for first, after in halves if first < after]
        elif segment.kind != PT_NOTE:
            parts.append(segment)
    return parts if len(parts) <= len(segments) else segments


def _repacked(content: bytes, segments: list[Segment]) -> tuple[list[Segment], bytearray]:
    """What is loaded, moved together; each segment still begins where its address does within a page."""
    body, moved = bytearray(), {}
    for segment in (each for each in segments if each.kind == PT_LOAD):
        body += bytes((segment.address - len(body)) % max(segment.align, PAGE))
        moved[segment] = len(body)
        body += content[segment.offset : segment.offset + segment.in_file]
    return [replace(segment, offset=_place(segment, moved)) for segment in segments], body


def _place(segment: Segment, moved: dict[Segment, int]) -> int:
    """Where a segment, or what it lies in, went."""
    for load, offset in moved.items():
        inside = segment.in_file and load.offset <= segment.offset <= load.offset + load.in_file
        if inside and load.address - load.offset == segment.address - segment.offset:
            return offset + segment.offset - load.offset
    return segment.offset
