"""Membership inference on a finished model: can it tell a hospital's training records from its test records?

An attack after RMIA (see `membership`) with what a hospital has. Members are training records. Half of the test records
are the others; the other half trains the reference models, without privacy: they have seen neither. Nothing of it
leaves the hospital.
"""

import math
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from consilia_workers.audit.membership import AttackResult, LabelLikelihoods, attack_result, log_likelihood_ratios
from consilia_workers.privacy.dpsgd import PrivateSteps, Style
from consilia_workers.privacy.isolation import IsolatedModel
from consilia_workers.privacy.noise import SystemRandomness
from consilia_workers.sandbox.records import Records
from consilia_workers.training.batches import on_device

MOST = 2_000
"""No more records a side."""
_REFERENCES = 2
_EPOCHS, _BATCH, _LEARNING_RATE = 20, 64, 0.01
_WHOLE = 1e9
"""A clipping norm that clips nothing."""
_JUDGED_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAttack:
    """What the attack is made with. The model's parameters are of no use afterwards."""

    model: IsolatedModel
    """With the audited parameters."""
    train: Records
    test: Records
    style: Style
    physical_batch: int
    seconds: float
    """How long reference models may be trained, all together."""

    def result(self) -> AttackResult | None:
        """How well it does; None with fewer than four test records, or where no record's loss is a number."""
        if self.test.count < 4:
            return None
        shuffled = secrets.SystemRandom().sample(range(self.test.count), self.test.count)
        others, population = np.array(shuffled[0::2][:MOST]), np.array(shuffled[1::2])
        members = np.array(secrets.SystemRandom().sample(range(self.train.count), min(MOST, self.train.count)))
        judged = [self._log_likelihoods(members, others)]
        for _ in range(_REFERENCES):
            self._train_reference(population)
            judged.append(self._log_likelihoods(members, others))
        return _attacked(np.stack(judged), members=len(members))

    def _log_likelihoods(self, members: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        """Minus each record's loss, members first: what the model takes the label's probability for."""
        return np.concatenate([-self._losses(self.train, members), -self._losses(self.test, others)])

    def _losses(self, records: Records, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        isolated, found = self.model.eval(), []
        for start in range(0, len(rows), _JUDGED_AT_ONCE):
            batch = on_device(records.take(rows[start : start + _JUDGED_AT_ONCE]), isolated.device)
            found.append(isolated.losses(batch).double().cpu().numpy())
        return np.concatenate(found)

    def _train_reference(self, population: NDArray[np.int64]) -> None:
        """Another model of this kind, in place of the one that was there, until its epochs are done or time is up."""
        begin_anew(self.model.module)
        end, size = time.monotonic() + self.seconds / _REFERENCES, min(_BATCH, len(population))
        steps = self._steps(size)
        for rows in _batches(np.random.default_rng().choice(population, len(population)), size):
            steps.take(on_device(self.test.take(rows), self.model.device))
            if time.monotonic() > end:
                return

    def _steps(self, expected: int) -> PrivateSteps:
        parameters = [p for p in self.model.module.parameters() if p.requires_grad]
        return PrivateSteps(
            self.model.train(),
            torch.optim.Adam(parameters, lr=_LEARNING_RATE),
            noise_multiplier=0,
            max_grad_norm=_WHOLE,
            expected_batch_size=expected,
            randomness=SystemRandomness(),
            style=self.style,
            physical_batch=self.physical_batch,
        )


def _batches(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Whole batches, epoch after epoch."""
    for _ in range(_EPOCHS):
        order = np.random.default_rng().permutation(rows)
        yield from (order[start : start + size] for start in range(0, len(rows) - size + 1, size))


def _attacked(judged: NDArray[np.float64], *, members: int) -> AttackResult | None:
    """Of [models, records] log-likelihoods, the audited model's first; records without a number are left out."""
    usable = ~np.isnan(judged).any(axis=0)
    member = (np.arange(judged.shape[1]) < members)[usable]
    if member.all() or not member.any():
        return None
    known = np.minimum(judged[:, usable], 0.0)
    scores = log_likelihood_ratios(LabelLikelihoods.from_logarithms(known[0], known[1:]))
    return attack_result(scores, member)


@torch.no_grad()
def begin_anew(module: nn.Module) -> None:
    """Fill what is trained with fresh values: matrices as PyTorch's layers do, biases with 0, other vectors with 1."""
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim > 1:
            nn.init.kaiming_uniform_(parameter, a=math.sqrt(5))
        else:
            parameter.fill_(0.0 if "bias" in name else 1.0)
