"""A learner that learns nothing: it adds a little noise to the model. What is left is the cost of the round itself.

No framework, as with the peers' benchmarks beside us, so that frameworks are not what is compared.
"""

import numpy as np

from consilia.api import FederatedJob
from consilia.wire.layout import Layout, Tensor
from consilia_workers.learner import Learner, Pieces
from consilia_workers.source import DataSource
from consilia_workers.training.seeds import seed_for

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "small": [(128, 128), (128,), (128, 24), (24,)],  # 19,608 parameters, 78 KB
    "large": [(2500, 1000)] * 10,  # 25 million parameters, 100 MB
    "huge": [(2500, 1000)] * 100,  # 250 million parameters, 1 GB
}

_BLOCK = 1 << 18
"""Parameters made at a time, so that the process stays small."""


class Noise(Learner):
    """`task.parameters: {model: small|large|huge}`."""

    def __init__(self, job: FederatedJob, source: DataSource | None) -> None:
        """Data is not needed."""
        super().__init__(job, source)
        shapes = SHAPES[job.spec.task.parameters["model"]]
        tensors = [Tensor(name=f"layer{i:03}", dtype=np.dtype("<f4"), shape=shape) for i, shape in enumerate(shapes)]
        self.layout = Layout.of(tensors)

    def initial(self) -> Pieces:
        """Standard normal numbers, the same from the same seed."""
        yield self.layout.header
        random = np.random.default_rng(seed_for(self.job.spec.training.seed, "initial"))
        for start in range(0, self.layout.parameters, _BLOCK):
            count = min(_BLOCK, self.layout.parameters - start)
            yield random.standard_normal(count, dtype=np.float32).tobytes()

    def samples(self) -> int:
        """All hospitals weigh the same."""
        return 100

    def train(self, round_number: int, model: bytearray) -> Pieces:
        """One random number added to each tensor, as the peers' clients do."""
        hospital = self.source.hospital if self.source else ""
        random = np.random.default_rng(seed_for(self.job.spec.training.seed, hospital, round_number))
        for array in self.layout.view(model).values():
            np.add(array, np.float32(random.normal() * 1e-3), out=array)
        return [memoryview(model)]

    def evaluate(self, model: bytearray | memoryview) -> dict[str, float]:
        """Nothing to measure."""
        return {}
