"""From a round's updates to the next global model, chunk by chunk.

All files of a job are cut at the same places, so chunk i of the result needs chunk i of every update and nothing else:
memory is a few chunks a hospital, whatever the size of the model. Updates are taken in the order of the hospitals'
names.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilia.errors import DivergedError, TaskError
from consilia.log import Log
from consilia.wire.layout import Layout, Span
from consilia_workers.rounds.inbox import Arrived
from consilia_workers.strategies.interface import Block, Cohort, ServerOptimizer, Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where a file's chunks lie on the log."""

    topic: str
    offsets: Sequence[int]

    def chunk(self, log: Log, index: int) -> memoryview:
        """One chunk's bytes."""
        return log.record(self.topic, self.offsets[index]).value


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedChunk:
    """One chunk of the new model, and what the server optimizer keeps of it, by slot."""

    model: bytearray
    state: Mapping[str, bytes]


class Combining:
    """One round's combination."""

    def __init__(self, log: Log, layout: Layout, strategy: Strategy, base: Stored, arrived: Sequence[Arrived]) -> None:
        """`base` is the round's global model, `arrived` the updates that count.

        Raises:
            TaskError: the strategy's server optimizer cannot serve this model.
        """
        ordered = sorted(arrived, key=lambda item: item.update.hospital)
        self._log, self._layout, self._strategy, self._base = log, layout, strategy, base
        self._updates = [Stored(topic=item.topic, offsets=item.offsets) for item in ordered]
        self._cohort = Cohort(
            hospitals=tuple(item.update.hospital for item in ordered),
            samples=tuple(item.update.samples for item in ordered),
        )
        refuse_half_precision(strategy, layout)

    def chunks(self, state: Mapping[str, Stored] | None) -> Iterator[CombinedChunk]:
        """The result, chunk after chunk; `state` is what the server optimizer kept in the last round.

        Raises:
            DivergedError: the result is not finite.
        """
        self._strategy.combiner.examine(self._cohort, self._all_blocks())
        for index in range(self._layout.chunks):
            kept = {slot: stored.chunk(self._log, index) for slot, stored in state.items()} if state else None
            yield self._chunk(index, kept)

    def _all_blocks(self) -> Iterator[list[Block]]:
        """Buffers are left out: running variances would outweigh all parameters in a distance between updates."""
        for index, spans in enumerate(self._layout.spans):
            values = self._values(index)
            for span in spans:
                if span.trainable:
                    yield [span.of(value) for value in values]

    def _values(self, index: int) -> list[memoryview]:
        return [update.chunk(self._log, index) for update in self._updates]

    def _chunk(self, index: int, kept: Mapping[str, memoryview] | None) -> CombinedChunk:
        values = self._values(index)
        # Without a server optimizer the last model is not asked for: where there is no parameter, all files are alike.
        base = self._base.chunk(self._log, index) if self._strategy.optimizer else values[0]
        result = bytearray(base)
        server = _ServerStep(self._strategy.optimizer, kept)
        for span in self._layout.spans[index]:
            block = self._strategy.combiner.combine(self._cohort, [span.of(value) for value in values])
            if span.trainable:
                block = server.take(span.of(base), block)
            _store(block, span, result)
        return CombinedChunk(model=result, state=server.state())


@dataclass(slots=True)
class _ServerStep:
    """The server optimizer on one chunk, span by span; its arrays lie end to end in one record a slot."""

    optimizer: ServerOptimizer | None
    kept: Mapping[str, memoryview] | None
    _position: int = 0
    _new: list[Mapping[str, Block]] = field(default_factory=list)

    def take(self, base: Block, combined: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.optimizer is None:
            return combined
        start, self._position = self._position, self._position + len(base)
        before = None
        if self.kept:
            before = {slot: np.frombuffer(value, "<f4")[start : self._position] for slot, value in self.kept.items()}
        result, after = self.optimizer.step(base, combined, before)
        self._new.append(after)
        return result

    def state(self) -> dict[str, bytes]:
        slots = self.optimizer.slots if self.optimizer else ()
        return {slot: b"".join(part[slot].astype("<f4").tobytes() for part in self._new) for slot in slots}


def _store(block: NDArray[np.float64], span: Span, result: bytearray) -> None:
    target: NDArray[Any] = span.of(result)
    with np.errstate(over="ignore"):  # an overflow to infinity is what the next line looks for
        target[:] = block
    if not np.isfinite(target).all():
        remedy = "Lower the server optimizer's or the local learning rate."
        raise DivergedError("the combined model holds NaN or infinity.", remedy=remedy)


def refuse_half_precision(strategy: Strategy, layout: Layout) -> None:
    """A server optimizer keeps float32 arrays, which would not fit beside float16 parameters in a chunk.

    Raises:
        TaskError: the job asks for both.
    """
    if strategy.optimizer and any(t.trainable and t.dtype.itemsize < 4 for t in layout.tensors):
        message = f"{strategy.name} cannot serve a model with float16 parameters."
        raise TaskError(message, remedy="Keep parameters in float32 and set training.precision to Float16.")
