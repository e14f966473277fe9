"""A learner without a framework, so that whole runs take a second: parameters drift, slowly if asked for."""

import os
import time

import numpy as np

from consilia.api import FederatedJob
from consilia.errors import DataError
from consilia.wire.layout import Layout, Tensor
from consilia_workers.learner import Learner, Pieces
from consilia_workers.source import DataSource


class Drifting(Learner):
    """`task.parameters`: `seconds` a round takes; which hospital is `without_data`, `broken` by a bug, or `dies`.

    With `only_together`, it fails where nobody asks how many records it has: outside a federation.
    """

    layout = Layout.of([Tensor(name="weights", dtype=np.dtype("<f4"), shape=(100,))])

    def __init__(self, job: FederatedJob, source: DataSource | None) -> None:
        super().__init__(job, source)
        self._parameters = job.spec.task.parameters
        self._hospital = source.hospital if source else ""
        self._asked = not self._parameters.get("only_together")
        if source and self._hospital == self._parameters.get("without_data"):
            raise DataError(f"{self._hospital} has no data.", remedy="Mount it.")
        if source and self._hospital == self._parameters.get("dies"):
            os._exit(3)

    def initial(self) -> Pieces:
        yield self.layout.header
        yield np.zeros(100, np.float32).tobytes()

    def samples(self) -> int:
        self._asked = True
        return 10 + len(self._hospital)

    def train(self, round_number: int, model: bytearray) -> Pieces:
        if self._hospital == self._parameters.get("broken") or not self._asked:
            raise KeyError("an ordinary bug, with a patient's name in it: Erika Mustermann")
        time.sleep(float(self._parameters.get("seconds", 0)))
        array = self.layout.view(model)["weights"]
        array += np.float32(round_number / (3 + len(self._hospital)))
        return [memoryview(model)]

    def evaluate(self, model: bytearray | memoryview) -> dict[str, float]:
        return {"loss": float(np.exp(-self.layout.view(model)["weights"].mean()))}


class Short(Drifting):
    """A mistake in a learner: the initial model lacks its numbers."""

    def initial(self) -> Pieces:
        yield b"none"
