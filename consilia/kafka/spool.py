"""What was fetched once and will be needed again, on the local disk: a file that vanishes with the process."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from consilia.errors import LogError
from consilia.log.interface import CHUNK_BYTES, Record

_SLOT = 2 * CHUNK_BYTES
"""Every record gets so much of the file, which is sparse: what is not written takes no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record in the spool: all of it but its offset, which a record being written does not have yet."""

    slot: int
    length: int
    key: str | None
    headers: Mapping[str, str]
    timestamp: float


@dataclass(slots=True)
class _Topic:
    kept: dict[int, Kept] = field(default_factory=dict)
    """By offset, in the order of their coming."""


class Spool:
    """Records by topic and offset. Not shared between threads or processes."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is where the file lies; none is the system's temporary folder. It is made when it is needed."""
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._free: list[int] = []
        self._slots = 0
        self._topics: dict[str, _Topic] = {}

    def stage(
        self, value: bytes | memoryview, *, key: str | None, headers: Mapping[str, str], timestamp: float
    ) -> Kept:
        """Write a record down whose offset is not known yet; `admit` or `release` it later.

        Raises:
            LogError: the disk does not take it.
        """
        slot = self._free.pop() if self._free else self._slots
        self._slots = max(self._slots, slot + 1)
        try:
            self._write(value, slot * _SLOT)
        except OSError as error:
            where = self._folder or tempfile.gettempdir()
            message = f"cannot keep fetched records in {where}: {error.strerror}."
            raise LogError(message, remedy="Make room there, or set spool in the Kafka settings.") from error
        return Kept(slot=slot, length=len(value), key=key, headers=headers, timestamp=timestamp)

    def admit(self, kept: Kept, topic: str, offset: int) -> None:
        """From now on it is found by topic and offset."""
        known = self._topics.setdefault(topic, _Topic()).kept
        if offset in known:
            self.release(known[offset])
        known[offset] = kept

    def keep(self, record: Record) -> None:
        """Write a record down, unless it is there."""
        if not self.holds(record.topic, record.offset):
            kept = self.stage(record.value, key=record.key, headers=record.headers, timestamp=record.timestamp)
            self.admit(kept, record.topic, record.offset)

    def holds(self, topic: str, offset: int) -> bool:
        """Whether the record is there."""
        return topic in self._topics and offset in self._topics[topic].kept

    def get(self, topic: str, offset: int) -> Record | None:
        """The record, if it is there."""
        if not self.holds(topic, offset):
            return None
        kept = self._topics[topic].kept[offset]
        value = memoryview(self._read(kept.slot * _SLOT, kept.length))
        return Record(
            topic=topic, offset=offset, key=kept.key, value=value, headers=kept.headers, timestamp=kept.timestamp
        )

    def release(self, kept: Kept) -> None:
        """It is not needed any more; its place in the file is used again."""
        self._free.append(kept.slot)

    def drop(self, topic: str, before: int | None = None) -> None:
        """The topic's records below offset `before`, or all of them, are not needed any more."""
        known = self._topics.get(topic, _Topic()).kept
        for offset in [offset for offset in known if before is None or offset < before]:
            self.release(known.pop(offset))

    def close(self) -> None:
        """Give the disk back."""
        if self._file is not None:
            self._file.close()
        self._file, self._topics, self._free, self._slots = None, {}, [], 0

    def _write(self, value: bytes | memoryview, position: int) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="consilia-", dir=self._folder)  # noqa: SIM115 (closed by `close`)
        rest = memoryview(value).cast("B")
        while rest:
            written = os.pwrite(self._file.fileno(), rest, position)
            rest, position = rest[written:], position + written

    def _read(self, position: int, length: int) -> bytes:
        assert self._file is not None
        data = os.pread(self._file.fileno(), length, position)
        if len(data) != length:
            raise LogError("the file with the fetched records was cut short.", remedy="Start again; the log has them.")
        return data
