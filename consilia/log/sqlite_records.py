"""From rows of the SQLite log to records, large values mapped from their segments."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from consilia.log.interface import Record
from consilia.log.segments import map_range

SELECT_RECORDS = """
SELECT offset, key, headers, timestamp, value, segment, position, coalesce(length, length(value))
FROM record WHERE topic = (SELECT id FROM topic WHERE name = ?) AND offset >= ? ORDER BY offset LIMIT ?
"""
Row = tuple[int, str | None, str | None, float, bytes | None, str | None, int | None, int]


def within(rows: Iterable[Any], limit: int) -> Sequence[Row]:
    """The first rows whose values make up at most `limit` bytes, but at least one."""
    taken: list[Row] = []
    for row in rows:
        limit -= row[7]
        if taken and limit < 0:
            break
        taken.append(row)
    return taken


def to_records(root: Path, topic: str, rows: Sequence[Row]) -> Sequence[Record]:
    """The records of one topic's rows.

    Raises:
        FileNotFoundError: a segment has been deleted since the rows were read.
    """
    views = {name: (start, map_range(root, name, start, end)) for name, (start, end) in segment_ranges(rows).items()}
    return [to_record(topic, row, views) for row in rows]


def segment_ranges(rows: Sequence[Row]) -> dict[str, tuple[int, int]]:
    """The part of each segment that the rows lie in."""
    ranges: dict[str, tuple[int, int]] = {}
    for *_, segment, position, length in rows:
        if segment is not None and position is not None:
            start, end = ranges.get(segment, (position, position))
            ranges[segment] = min(start, position), max(end, position + length)
    return ranges


def to_record(topic: str, row: Row, views: dict[str, tuple[int, memoryview]]) -> Record:
    """One row's record."""
    offset, key, headers, timestamp, value, segment, position, length = row
    if segment is None or position is None:
        data = memoryview(value or b"")
    else:
        start, view = views[segment]
        data = view[position - start : position - start + length]
    return Record(
        topic=topic,
        offset=offset,
        key=key,
        value=data,
        headers=json.loads(headers) if headers else {},
        timestamp=timestamp,
    )
