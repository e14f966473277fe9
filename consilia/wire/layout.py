"""How a model lies in bytes: the safetensors format, cut in chunks at the same places for everybody.

Every party knows the one layout of the job's model. An update is checked by comparing its safetensors header with the
layout's own, byte by byte: another name, dtype, shape, order or offset cannot hide. No foreign header is ever parsed.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from consilia.errors import TaskError
from consilia.log import CHUNK_BYTES

DTYPES: Mapping[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
"""The dtypes that travel, by their safetensors names; integer buffers stay where they are."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_METADATA = "__metadata__"
_BUFFERS = "consilia.buffers"
_MAX_HEADER = 16 * CHUNK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One named tensor of a model."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    trainable: bool = True
    """False for buffers (running statistics): averaged, but no concern of a server optimizer."""

    @property
    def size(self) -> int:
        """In elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """In bytes."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Parameters of one kind that lie side by side within one chunk."""

    start: int
    """First byte, counted from the start of the chunk."""
    stop: int
    dtype: np.dtype[Any]
    trainable: bool

    def of(self, chunk: bytes | bytearray | memoryview) -> NDArray[Any]:
        """These parameters as a flat array over the chunk's own memory."""
        return np.frombuffer(chunk, self.dtype, (self.stop - self.start) // self.dtype.itemsize, self.start)


@dataclass(frozen=True)
class Layout:
    """The tensors of a model in the order in which they lie: wide dtypes first, then by name, as safetensors does."""

    tensors: tuple[Tensor, ...]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> Self:
        """Put in order.

        Raises:
            TaskError: there is nothing to train, two tensors share a name, or a dtype cannot travel.
        """
        for tensor in tensors:
            if tensor.dtype not in _NAMES:
                raise TaskError(
                    f"the model's tensor {tensor.name} is {tensor.dtype}: only float64, float32 and float16 travel.",
                    remedy="Keep parameters in float32 and set training.precision for the arithmetic.",
                )
        names = [tensor.name for tensor in tensors]
        if not any(tensor.trainable for tensor in tensors):
            raise TaskError("the model has no parameter to train.", remedy="Let some of its parameters require_grad.")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise TaskError(f"two of the model's tensors have the same name: {', '.join(twice)}.")
        if _METADATA in names:
            raise TaskError(f"one of the model's tensors is named {_METADATA}, which safetensors keeps for itself.")
        return cls(tuple(sorted(tensors, key=lambda t: (-t.dtype.itemsize, t.name))))

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> Self:
        """From the first bytes of a safetensors file of our own making: the length, then the JSON.

        Raises:
            TaskError: it is not the beginning of a safetensors file that `header` could have written.
        """
        try:
            length = int.from_bytes(bytes(data[:8]), "little")
            fields: dict[str, Any] = json.loads(bytes(data[8 : 8 + min(length, _MAX_HEADER)]))
            buffers = json.loads(fields.pop(_METADATA, {}).get(_BUFFERS, "[]"))
            layout = cls.of([
                Tensor(name=name, dtype=DTYPES[f["dtype"]], shape=tuple(f["shape"]), trainable=name not in buffers)
                for name, f in fields.items()
            ])  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TaskError(f"the model file does not begin as a safetensors file: {error}") from error
        if bytes(data[: len(layout.header)]) != layout.header:
            raise TaskError("the model file's safetensors header is not in the canonical form")
        return layout

    @cached_property
    def header(self) -> bytes:
        """The beginning of every file with this layout, padded so that the data starts at a multiple of eight."""
        fields: dict[str, Any] = {}
        buffers = [tensor.name for tensor in self.tensors if not tensor.trainable]
        if buffers:
            fields[_METADATA] = {_BUFFERS: json.dumps(buffers)}
        start = 0
        for tensor in self.tensors:
            offsets = [start, start := start + tensor.nbytes]
            fields[tensor.name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    @cached_property
    def size(self) -> int:
        """The whole file, in bytes."""
        return len(self.header) + sum(tensor.nbytes for tensor in self.tensors)

    @property
    def parameters(self) -> int:
        """How many numbers travel."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def chunks(self) -> int:
        """How many records the file takes on the log."""
        return -(-self.size // CHUNK_BYTES)

    def offsets(self) -> Iterator[tuple[Tensor, int, int]]:
        """Each tensor with its first and last byte, counted from the start of the file."""
        start = len(self.header)
        for tensor in self.tensors:
            yield tensor, start, start + tensor.nbytes
            start += tensor.nbytes

    @cached_property
    def spans(self) -> tuple[tuple[Span, ...], ...]:
        """For each chunk, what lies in it: neighbours of one kind are one span; no element straddles a chunk's end."""
        runs = []
        for _, group in groupby(self.offsets(), key=lambda item: (item[0].dtype, item[0].trainable)):
            items = list(group)
            runs.append((items[0][0], items[0][1], items[-1][2]))
        return tuple(tuple(_cut(runs, start)) for start in range(0, self.size, CHUNK_BYTES))

    def view(self, data: bytes | bytearray | memoryview) -> dict[str, NDArray[Any]]:
        """The tensors by name, as arrays over the file's own memory."""
        return {
            tensor.name: np.frombuffer(data, tensor.dtype, tensor.size, start).reshape(tensor.shape)
            for tensor, start, _ in self.offsets()
        }


def _cut(runs: Sequence[tuple[Tensor, int, int]], start: int) -> Iterator[Span]:
    """The parts of `runs` inside the chunk that begins at byte `start` of the file."""
    for tensor, first, last in runs:
        low, high = max(first, start), min(last, start + CHUNK_BYTES)
        if low < high:
            yield Span(start=low - start, stop=high - start, dtype=tensor.dtype, trainable=tensor.trainable)
