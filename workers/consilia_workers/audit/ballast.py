"""Made-up patients in every DP-SGD run, by whom the hospital sees whether the noise is there and as large as charged.

The mechanism gets dimensions of its own beside the model's parameters, one for each made-up patient, a canary: its
gradient is as long as clipping allows, in its own dimension, and nothing elsewhere. A fair coin says whether it is in
the data set. Those that are, are sampled as patients are and summed up; what comes out in their dimensions has the
noise of everything else. Neither the model nor a real patient is touched, and data sets that differ by a canary are
what the ledger's epsilon is about: nothing that comes out may tell more of the coins than that.

Coins are the hospital's secret, as is what came out: nobody else is told of either.
"""

import math
import secrets
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from consilia.ledger.journal import write_durably
from consilia.privacy.accounting import composed, epsilon
from consilia.privacy.mechanisms import Mechanism
from consilia.privacy.plan import JobPlan
from consilia_workers.privacy.noise import SystemRandomness

FEWEST, MOST = 1_000, 40_000
_ENOUGH = 10.0
"""A canary that is in need not be sampled oftener to be told from the others."""
_CHEAP = 2_000
"""Where there are more canaries than these, no more steps are watched than it takes."""
_TRIALS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The canaries and what was seen of them so far: what survives a restart."""

    kept: NDArray[np.bool_]
    """[canaries], what the coins said."""
    scores: NDArray[np.float64]
    """[canaries], higher where more looks as if the canary were in: log-likelihood ratios, but for a constant."""
    steps: int = 0
    """How many steps were watched."""
    seconds: float = 0.0
    """What that took, about."""
    training_seconds: float = 0.0
    """What the rounds took in all, that included."""

    @classmethod
    def drawn(cls, canaries: int) -> Self:
        """So many, each with a fair coin of the operating system's."""
        bits = secrets.randbits(canaries).to_bytes(-(-canaries // 8), "little")
        kept = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=canaries, bitorder="little").astype(np.bool_)
        return cls(kept=kept, scores=np.zeros(canaries))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What was kept; None where there is nothing, or nothing whole."""
        try:
            with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
                kept, scores, figures = file["kept"], file["scores"], file["figures"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        whole = kept.dtype == np.bool_ and kept.ndim == 1 and kept.shape == scores.shape and figures.shape == (3,)
        if not (whole and np.isfinite(scores).all() and np.isfinite(figures).all()):
            return None
        steps, seconds, training = (float(figure) for figure in figures)
        return cls(kept=kept, scores=scores, steps=int(steps), seconds=seconds, training_seconds=training)

    def keep(self, path: Path) -> None:
        """Write it, for its owner only; on the disk when this returns."""
        file = BytesIO()
        np.savez(
            file,
            kept=self.kept,
            scores=self.scores,
            figures=np.array([self.steps, self.seconds, self.training_seconds]),
        )
        write_durably(path, file.getvalue())


class Ballast:
    """One job's canaries at one hospital, at work."""

    def __init__(self, plan: JobPlan, max_grad_norm: float, path: Path, randomness: SystemRandomness) -> None:
        """`plan` is what is charged: by it alone canaries are scored. `path` is where they are kept."""
        mechanism, self._path, self._norm = plan.training, path, max_grad_norm
        self._noise, self._rate = float(mechanism.noise_multiplier), float(mechanism.sample_rate)
        self._randomness = randomness
        samples = self._rate * mechanism.steps * plan.rounds
        wanted = canaries_for(plan.releases(plan.rounds), plan.delta, min(samples, _ENOUGH))
        self._share = min(1.0, max(_ENOUGH / samples, _CHEAP / wanted))
        found = Watched.read(path)
        self.watched = found if found and len(found.kept) == wanted else Watched.drawn(wanted)
        self._aboard = np.flatnonzero(self.watched.kept)
        self._each = self._seconds_each()

    @property
    def aboard(self) -> int:
        """How many are in the data set."""
        return len(self._aboard)

    def watches(self) -> bool:
        """Whether the next step is watched: chance decides."""
        return bool(self._randomness.uniform(1)[0] < self._share)

    def loaded(self, sampled: NDArray[np.bool_]) -> Tensor:
        """The sum of the canaries' gradients, [canaries]; `sampled`, [aboard], says who is in the step's sample."""
        total = np.zeros(len(self.watched.kept))
        total[self._aboard[sampled]] = self._norm
        return torch.from_numpy(total)

    def observe(self, noisy: Tensor) -> None:
        """Score what came out of a step with `loaded` in it, [canaries]."""
        seen = self.watched
        scores = seen.scores + self._evidence(noisy.cpu().double() / self._norm).numpy()
        self.watched = replace(seen, scores=scores, steps=seen.steps + 1, seconds=seen.seconds + self._each)

    def _evidence(self, released: Tensor) -> Tensor:
        """log((1 - q) + q exp((x - 1/2) / sigma^2)), of being in against being out, but for a constant."""
        if self._rate >= 1:
            return released / self._noise**2
        odds = math.log(self._rate / (1 - self._rate)) - 0.5 / self._noise**2
        return functional.softplus(released / self._noise**2 + odds)

    def close_round(self, seconds: float) -> None:
        """Keep what was seen in a round that took so long. What is lost before this, in a crash, was not observed."""
        self.watched = replace(self.watched, training_seconds=self.watched.training_seconds + seconds)
        self.watched.keep(self._path)

    def _seconds_each(self) -> float:
        """What watching adds to a step, tried on nothing."""
        trials = []
        for _ in range(_TRIALS):
            start = time.perf_counter()
            mask = self._randomness.poisson_mask(self.aboard, self._rate)
            noisy = self._randomness.plus_normal(self.loaded(mask).numpy(), self._norm)
            self._evidence(torch.from_numpy(noisy) / self._norm)
            trials.append(time.perf_counter() - start)
        return sorted(trials)[_TRIALS // 2]


def canaries_for(job: Sequence[Mechanism], delta: float, samples: float) -> int:
    """So many that a job without noise is found out: told apart without mistake, they refute the job's own epsilon.

    `job` is all that it is charged for, its evaluations too: against that the bound is held.

    Without noise nobody passes for in who is not, and all pass who were in a sample, of which each is in `samples` that
    are watched. Of n that are out, none then tells that fewer than about 4 / n of them would pass: see `independent`.
    """
    found = -math.expm1(-samples)
    needed = math.exp(min(epsilon(composed(job), delta), 20.0)) / found
    return min(max(math.ceil(12 * needed), FEWEST), MOST)
