"""Learning under differential privacy by DP-SGD: the task's graph, the hospital's records, and noise between them.

The task's code is not in this process. What this learner gives depends on the records through clipped and noisy sums
alone, and on their number not at all: the sampling rate, the noise and the number of steps follow from what is public.
"""

from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consilia.api import FederatedJob
from consilia.errors import DivergedError
from consilia.privacy.plan import JobPlan
from consilia_workers.audit.ballast import Ballast
from consilia_workers.audit.membership import AttackResult
from consilia_workers.audit.records import RecordAttack
from consilia_workers.learner import LocalLearner, Pieces
from consilia_workers.privacy.cohort import Cohort, largest_told_alike
from consilia_workers.privacy.dpsgd import PrivateSteps, capacity_for, choose_style, random_places
from consilia_workers.privacy.isolation import IsolatedModel
from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.sandbox.records import Records
from consilia_workers.source import Split
from consilia_workers.training.batches import on_device
from consilia_workers.training.device import choose_device
from consilia_workers.training.metrics import BINARY, MULTICLASS, Metric
from consilia_workers.training.optimizers import ProximalTerm, make_optimizer
from consilia_workers.training.schedule import learning_rate_factor
from consilia_workers.training.torch_learner import layout_of, model_pieces, read_model

_MEMORY = 1 << 28
"""What the gradients of the records that are computed at once may take, in bytes."""
_FEWEST_LANES, _MOST_LANES = 16, 2048
_EVALUATED_AT_ONCE = 1024
_TRIALS = 3


class PrivateLearner(LocalLearner):
    """One hospital's records, and a model rebuilt from the task's graph."""

    def __init__(
        self,
        job: FederatedJob,
        model: IsolatedModel,
        records: Mapping[Split, Records],
        plan: JobPlan,
        cohort: Cohort,
        canaries: Path | None = None,
    ) -> None:
        """`plan` is what the ledger was asked for: exactly that is done. `canaries` is where the audit's are kept."""
        self.job = job
        self._model = model.to(choose_device(job.spec.training.device))
        self._records, self._plan, self._cohort = records, plan, cohort
        self._randomness = SystemRandomness()
        self.ballast = self._loaded(canaries) if canaries else None
        """The audit's made-up patients, where the job is audited."""
        self.layout = layout_of(model.module)
        example = on_device(records[Split.TRAIN].example(), self._model.device)
        rate = float(plan.training.sample_rate)
        # Records lie in random places among so many, for a hostile graph could tell a place by its rounding: as many as
        # any cohort needs of which others are told the same, or their number itself would show.
        self._capacity = 0 if cohort.grouped else capacity_for(cohort.most, rate)
        self._lanes = lanes(self._capacity or ceil(rate * cohort.public), self.layout.parameters)
        self.style = choose_style(
            self._model, example, randomness=self._randomness, physical_batch=self._lanes, repeats=_TRIALS
        )

    def _loaded(self, canaries: Path) -> Ballast:
        privacy = self.job.spec.privacy
        assert privacy is not None, "a private job says how private"
        return Ballast(self._plan, float(privacy.max_grad_norm), canaries, self._randomness)

    def samples(self) -> int:
        """Units to train on, as far as others may know."""
        return self._cohort.public

    def train(self, round_number: int, model: bytearray) -> Pieces:
        """The round's noisy steps. Never twice the same: every attempt is a release of its own.

        Raises:
            DivergedError: the parameters left what float32 can hold.
        """
        started = monotonic()
        read_model(self._model.module, self.layout, model)
        spec, training = self.job.spec, self._plan.training
        privacy = spec.privacy
        assert privacy is not None, "a private job says how private"
        factor = learning_rate_factor(spec.training.scheduler, round_number, spec.rounds.count)
        groups = [{"params": [p for p in self._model.module.parameters() if p.requires_grad]}]
        optimizer = make_optimizer(spec.training.optimizer, groups, factor)
        proximal = ProximalTerm(self._model.module, float(spec.training.proximal_mu or 0))
        optimizer.register_step_pre_hook(lambda *_: proximal.add_gradient())  # behind the noise: no record is in it
        steps = PrivateSteps(
            self._model.train(),
            optimizer,
            noise_multiplier=float(training.noise_multiplier),
            max_grad_norm=float(privacy.max_grad_norm),
            expected_batch_size=float(training.sample_rate) * self._cohort.public,
            randomness=self._randomness,
            style=self.style.style,
            physical_batch=self._lanes,
            capacity=self._capacity,
        )
        for _ in range(training.steps):
            self._take(steps, float(training.sample_rate))
        self._refuse_divergence(round_number)
        if self.ballast:
            self.ballast.close_round(monotonic() - started)
        return model_pieces(self._model.module, self.layout)

    def _take(self, steps: PrivateSteps, rate: float) -> None:
        """One step; patients and the audit's canaries are sampled alike, and get the same noise."""
        ballast = self.ballast if self.ballast and self.ballast.watches() else None
        units, aboard = self._cohort.count, ballast.aboard if ballast else 0
        sampled = self._randomness.poisson_mask(units + aboard, rate)
        rows, unit_of = self._cohort.rows(sampled[:units])
        batch = on_device(self._records[Split.TRAIN].take(rows), self._model.device)
        noisy = steps.take(batch, unit_of, ballast.loaded(sampled[units:]) if ballast else None)
        if ballast and noisy is not None:
            ballast.observe(noisy)

    def _refuse_divergence(self, round_number: int) -> None:
        for name, parameter in self._model.module.named_parameters():
            if not torch.isfinite(parameter).all():
                message = f"{name} holds NaN or infinity after round {round_number}."
                raise DivergedError(message, remedy="Lower the learning rate; the records were clipped already.")

    def evaluate(self, model: bytearray | memoryview) -> dict[str, float]:
        """The metrics that Consilia itself knows by the names that the job asks for; they stay here."""
        scores, targets, losses = self.judged(model)
        wanted, known = self.job.spec.evaluation.reported(), BINARY if scores.ndim == 1 else MULTICLASS
        found = {name: _measured(known[name], scores, targets) for name in wanted if name in known}
        if "loss" in wanted:
            found["loss"] = float(np.mean(losses))
        return {name: float(value) for name, value in found.items() if value is not None and np.isfinite(value)}

    def judged(
        self, model: bytearray | memoryview, split: Split = Split.TEST, *, anywhere: bool = False
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.integer[Any]], NDArray[np.floating[Any]]]:
        """Scores, targets and losses of every record of a split, by a model file.

        With `anywhere`, as what leaves the hospital demands, records stand in random places, as in a step of training:
        neither what comes of one of them nor their order tells how many others there are.
        """
        read_model(self._model.module, self.layout, model)
        isolated, records = self._model.eval(), self._records[split]
        scores, targets, losses = [], [], []
        for rows, places in self._scattered(records.count) if anywhere else _in_order(records.count):
            batch = on_device(records.take(rows), isolated.device)
            score, target = isolated.predictions(batch, places)
            scores.append(score.float().cpu().numpy())
            targets.append(target.cpu().numpy())
            losses.append(isolated.losses(batch, places).float().cpu().numpy())
        return np.concatenate(scores), np.concatenate(targets), np.concatenate(losses)

    def _scattered(self, count: int) -> Iterator[tuple[NDArray[np.int64], Tensor | None]]:
        """For each pass its records and their lanes, among as many as the largest split of that public size needs."""
        at_once = self._model.lanes
        passes = ceil(largest_told_alike(count) / at_once)
        places = random_places(count, passes * at_once, self._randomness)
        for number in range(passes):
            rows = torch.nonzero(places // at_once == number).flatten()
            if len(rows):
                yield rows.numpy(), places[rows] % at_once

    def attacked(self, model: bytearray, seconds: float) -> AttackResult | None:
        """How well a model tells its training records from others; reference models may take so many seconds.

        The learner is of no use afterwards until it reads another model, as it does whenever it is asked for anything.
        """
        read_model(self._model.module, self.layout, model)
        train, test = self._records[Split.TRAIN], self._records[Split.TEST]
        attack = RecordAttack(
            model=self._model,
            train=train,
            test=test,
            style=self.style.style,
            physical_batch=self._lanes,
            seconds=seconds,
        )
        return attack.result()


def _in_order(count: int) -> Iterator[tuple[NDArray[np.int64], Tensor | None]]:
    for start in range(0, count, _EVALUATED_AT_ONCE):
        yield np.arange(start, min(start + _EVALUATED_AT_ONCE, count)), None


def _measured(metric: Metric, scores: NDArray[np.floating[Any]], targets: NDArray[np.integer[Any]]) -> float | None:
    """The metric; None where it has no value. Whether it fails depends on patients, and must show nowhere else."""
    try:
        return metric(scores, targets)
    except (ValueError, TypeError, IndexError, ArithmeticError):
        return None


def lanes(records: int, parameters: int) -> int:
    """How many records to compute at once: all, or as many in each pass as memory holds."""
    fits = max(min(_MEMORY // (4 * max(parameters, 1)), _MOST_LANES), 1)
    return max(_FEWEST_LANES, ceil(records / ceil(max(records, 1) / fits)))
