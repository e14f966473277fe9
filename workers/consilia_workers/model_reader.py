"""Reads the global model off the model topic, checked before it is used."""

from hashlib import sha256
from time import monotonic

from consilia.errors import RecordGoneError, Refusal, RefusedMessage
from consilia.log import CHUNK_BYTES, Log, Record, follow
from consilia.wire.layout import Layout
from consilia.wire.messages import Payload

VERSION = "version"
"""The record header with the number of the round whose result the model is; 0 is the initial model."""

_PATIENCE = 120.0
"""How long a model that was announced may take to come, in seconds. It is there before it is announced; but a broker
that was killed meanwhile may show it only once its writer has looked after it."""


class ModelReader:
    """Goes forward through the model topic; remembers where it is."""

    def __init__(self, log: Log, topic: str, layout: Layout, *, patience: float = _PATIENCE) -> None:
        """`layout` is what every model of the job must look like; `patience` is in seconds."""
        self._log, self._topic, self._layout, self._patience = log, topic, layout, patience
        self._offset = 0
        self._last = (-1, 0)
        """The version read last, and where it began: the final model is trained from and evaluated, so read twice."""
        self._model = bytearray()
        """Used again for every model: making room for a large one anew costs as much as fetching it."""

    def read(self, payload: Payload, version: int) -> bytearray:
        """The model file that `payload` describes; the same buffer each time, so that the next call overwrites it.

        Raises:
            RecordGoneError: a newer model has already replaced it, or it never came.
            RefusedMessage: its size, layout or digest is wrong.
        """
        if payload.size != self._layout.size:
            message = f"the model on {self._topic} has {payload.size} bytes, this hospital's task {self._layout.size}."
            raise RefusedMessage(Refusal.WRONG_LAYOUT, message, remedy="Run the same task code everywhere.")
        if len(self._model) != payload.size:
            self._model = bytearray(payload.size)
        if missing := self._gather(version, payload.chunks):
            message = f"model {version} on {self._topic} is gone: {missing} chunks were replaced, or never came."
            raise RecordGoneError(message)
        self._check(payload)
        return self._model

    def _gather(self, version: int, missing: int) -> int:
        """Take in that many chunks, waiting for those that were announced; how many will not come any more."""
        view, deadline = memoryview(self._model), monotonic() + self._patience
        start = self._last[1] if version == self._last[0] else self._offset
        while True:
            for record in follow(self._log, self._topic, start):
                if record.headers.get(VERSION) == str(version):
                    self._place(record, view)
                    missing -= 1
                    if version != self._last[0]:
                        self._last = (version, record.offset)
                elif self._newer(record, version):
                    return missing
                self._offset = start = record.offset + 1
                if not missing:
                    return 0
            if not self._log.wait({self._topic: start}, max(deadline - monotonic(), 0.0)):
                return missing

    def _place(self, record: Record, view: memoryview) -> None:
        start = chunk_index(record) * CHUNK_BYTES
        target = view[start : start + CHUNK_BYTES]
        if len(target) != len(record.value):
            message = f"offset {record.offset} of {self._topic} is no chunk of the model"
            raise RefusedMessage(Refusal.MALFORMED, message)
        target[:] = record.value

    @staticmethod
    def _newer(record: Record, version: int) -> bool:
        text = record.headers.get(VERSION, "")
        return text.isdecimal() and int(text) > version

    def _check(self, payload: Payload) -> None:
        if f"sha256:{sha256(self._model).hexdigest()}" != payload.sha256:
            raise RefusedMessage(Refusal.WRONG_DIGEST, f"the bytes on {self._topic} are not the announced model")
        if memoryview(self._model)[: len(self._layout.header)] != self._layout.header:
            message = f"the model on {self._topic} differs from this hospital's task in names, dtypes or shapes."
            raise RefusedMessage(Refusal.WRONG_LAYOUT, message, remedy="Run the same task code everywhere.")


def chunk_index(record: Record) -> int:
    """Which chunk of a payload a keyed record holds: the number behind the last slash of its key.

    Raises:
        RefusedMessage: the key has another form.
    """
    text = (record.key or "").rpartition("/")[2]
    if not text.isdecimal():
        raise RefusedMessage(Refusal.MALFORMED, f"offset {record.offset} of {record.topic} has no chunk number")
    return int(text)
