"""Learning whose finished update gets the noise: the Gaussian and the Laplace mechanism on a clipped difference.

The task's own code trains, confined, on all of the hospital's data; it may do whatever it likes. What it gives is
clipped to `maxGradNorm` and gets noise for twice that: whatever the data were, no other data would have changed more.
That protects not single patients alone but all of the hospital's data at once, and leaves far less of what was learned
than DP-SGD does.
"""

from contextlib import suppress

import numpy as np

from consilia.api import FederatedJob
from consilia.errors import TaskError
from consilia.privacy.plan import JobPlan, noise_over_clipping_norm
from consilia.wire.layout import Layout
from consilia_workers.learner import LocalLearner, Pieces
from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.privacy.outputs import gaussian_perturbed, laplace_perturbed
from consilia_workers.sandbox.keeper import Confined


class PerturbedLearner(LocalLearner):
    """A confined learner, and the noise on what it learns."""

    def __init__(self, job: FederatedJob, confined: Confined, plan: JobPlan, public: int) -> None:
        """`public` is how many records there are, as far as others may know."""
        self.job = job
        self._confined, self._plan, self._public = confined, plan, public
        self._randomness = SystemRandomness()
        self.layout = _layout(confined.ask({"ask": "open"}).body)

    def samples(self) -> int:
        """Records to train on, as far as others may know."""
        return self._public

    def train(self, round_number: int, model: bytearray) -> Pieces:
        """The model plus what was learned, clipped, with noise on it.

        Raises:
            TaskError: the task's code failed, or gave another model.
        """
        before = self._parameters(model)
        trained = self._confined.ask({"ask": "train", "round": round_number}, [memoryview(model)]).body
        after = self._parameters(trained)
        yield self.layout.header
        changed = before + self._perturbed(after - before)
        start = 0
        for tensor in self.layout.tensors:
            part = changed[start : start + tensor.size]
            yield part.astype(tensor.dtype).tobytes()
            start += tensor.size

    def _parameters(self, model: bytearray | memoryview | bytes) -> np.ndarray:
        if len(model) != self.layout.size:
            message = "the trained model is longer or shorter than its layout says."
            raise TaskError(message, remedy="Let the learner's train() give the whole file.")
        return np.concatenate([array.astype(np.float64).reshape(-1) for array in self.layout.view(model).values()])

    def _perturbed(self, change: np.ndarray) -> np.ndarray:
        privacy = self.job.spec.privacy
        assert privacy is not None, "only private jobs perturb"
        norm = float(privacy.max_grad_norm)
        noise = noise_over_clipping_norm(self._plan.training) * norm
        perturbed = laplace_perturbed if self._plan.training.kind == "Laplace" else gaussian_perturbed
        return perturbed(change, norm, noise, self._randomness)

    def evaluate(self, model: bytearray | memoryview) -> dict[str, float]:
        """What the task's own code says; it stays here."""
        answer = self._confined.ask({"ask": "evaluate"}, [memoryview(model)]).head.get("metrics")
        if not isinstance(answer, dict):
            raise TaskError("the learner's evaluate() gave no metrics.")
        return {str(name)[:63]: float(value) for name, value in answer.items() if isinstance(value, int | float)}


def _layout(told: bytes | bytearray | memoryview) -> Layout:
    """What the learner says of its model.

    Raises:
        TaskError: it is no layout. What it is instead may hold records, and is not quoted.
    """
    with suppress(TaskError):
        return Layout.parse(told)
    raise TaskError("the learner does not say which tensors its model has.", remedy="Give a layout of plain tensors.")
