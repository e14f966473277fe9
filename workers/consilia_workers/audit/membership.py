"""Membership inference: scores that tell members from other records, and how well they do it.

RMIA is the attack of Zarifzadeh, Liu & Shokri, "Low-Cost High-Power Membership Inference Attacks" (ICML 2024), in its
offline version: no reference model has seen a record that is scored. Its score is the share of a population over which
a record's likelihood ratio wins. That orders records as the ratios themselves do, but for ties, which cost power: so
the ratios are the scores here. Everything is done with logarithms, since an over-fitted model says 0 and 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from consilia.errors import DataError
from consilia_workers.audit.confidence import Proportion, clopper_pearson

Scores = NDArray[np.float64]
"""[records], higher for what looks more like a member."""

LOWEST = math.log(math.ulp(0.0))
"""About -744: what a probability of 0 is taken for, the logarithm of the smallest positive number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelLikelihoods:
    """How likely the models hold the true labels of some records to be; natural logarithms, `LOWEST` to 0."""

    model: NDArray[np.float64]
    """[records], by the audited model."""
    references: NDArray[np.float64]
    """[reference models, records], by models of the same kind that were trained on none of these records."""

    @classmethod
    def from_probabilities(cls, model: ArrayLike, references: ArrayLike) -> "LabelLikelihoods":
        """From probabilities, 0 and 1 included: [records] and [reference models, records].

        Where the model's scores can be had, `from_logarithms` of its log-softmax keeps apart what rounds to 1 here.

        Raises:
            DataError: one is no probability, or the shapes do not fit.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return cls.from_logarithms(np.log(np.asarray(model, float)), np.log(np.asarray(references, float)))

    @classmethod
    def from_logarithms(cls, model: ArrayLike, references: ArrayLike) -> "LabelLikelihoods":
        """From natural logarithms of probabilities, -inf included: [records] and [reference models, records].

        Raises:
            DataError: one is no logarithm of a probability, or the shapes do not fit.
        """
        scored, by_others = np.asarray(model, float), np.asarray(references, float)
        if scored.ndim != 1 or by_others.ndim != 2 or by_others.shape[1] != len(scored) or not len(by_others):
            raise DataError(f"label probabilities of shape {scored.shape} with reference models' of {by_others.shape}")
        if not (np.all(scored <= 0) and np.all(by_others <= 0)):  # NaN is not <= 0 either
            raise DataError("a model's probability of a record's label is NaN or outside 0 to 1")
        return cls(model=np.maximum(scored, LOWEST), references=np.maximum(by_others, LOWEST))


def log_likelihood_ratios(records: LabelLikelihoods, *, offline_a: float = 0.3) -> Scores:
    """By how much the audited model prefers each record, in nats: log p(x | model) - log p(x), RMIA's ingredient.

    p(x) is the mean over models that have seen x and models that have not. Only the latter are at hand, with the mean
    p_out, so the paper's appendix takes the former to be a p_out(x) + (1 - a), somewhere between p_out and 1, and has
    p(x) = ((1 + a) p_out(x) + (1 - a)) / 2. `offline_a`, from 0 to 1, is a: 1 is for models that do not over-fit. The
    authors tune it by attacking a reference model with another; their setting for CIFAR-10 is 0.3.

    Raises:
        ValueError: a is not between 0 and 1.
    """
    if not 0 <= offline_a <= 1:
        raise ValueError(f"a = {offline_a} of offline RMIA is not between 0 and 1")
    references = records.references
    log_out = special.logsumexp(references, axis=0) - math.log(len(references))
    if offline_a == 1:
        return np.asarray(records.model - log_out)
    log_p = np.logaddexp(math.log((1 + offline_a) / 2) + log_out, math.log((1 - offline_a) / 2))
    return np.asarray(records.model - log_p)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackResult:
    """How well scores tell members from other records."""

    auc: float
    """The chance that a member scores higher than another record, ties for half: 0.5 where nothing is given away."""
    tpr_at_0_1_percent: Proportion
    """The members found by the lowest threshold that at most 0.1 % of the others pass."""
    tpr_at_1_percent: Proportion
    """The same at 1 %. With fewer than 100 others, none of them may pass."""
    members: int
    others: int


def attack_result(scores: ArrayLike, member: ArrayLike) -> AttackResult:
    """Judge scores, [records], by who really was a member, [records] of booleans.

    Raises:
        DataError: a score is NaN, the shapes do not fit, or there are no members or nobody else.
    """
    found, truth = np.asarray(scores, float), np.asarray(member, bool)
    if found.ndim != 1 or found.shape != truth.shape or np.isnan(found).any():
        raise DataError(f"scores of shape {found.shape}, members of {truth.shape}, or a score is NaN")
    inside, outside = found[truth], found[~truth]
    if not (len(inside) and len(outside)):
        raise DataError(f"an attack is judged by members and others: there are {len(inside)} and {len(outside)}")
    return AttackResult(
        auc=_auc(inside, outside),
        tpr_at_0_1_percent=true_positive_rate(inside, outside, 0.001),
        tpr_at_1_percent=true_positive_rate(inside, outside, 0.01),
        members=len(inside),
        others=len(outside),
    )


def true_positive_rate(members: Scores, others: Scores, false_positive_rate: float) -> Proportion:
    """The members above the lowest threshold that at most this share of the others passes, with a 95 % interval.

    The interval takes the threshold as given: it is about other members, not about another draw of the others.
    """
    allowed = math.floor(false_positive_rate * len(others) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    if allowed >= len(others):
        return clopper_pearson(len(members), len(members))
    threshold = np.partition(others, -allowed - 1)[-allowed - 1]
    return clopper_pearson(int(np.count_nonzero(members > threshold)), len(members))


def _auc(members: Scores, others: Scores) -> float:
    """Mann & Whitney's U as a share of all pairs."""
    ranks = stats.rankdata(np.concatenate([members, others]))[: len(members)]
    least = len(members) * (len(members) + 1) / 2
    return float((ranks.sum() - least) / (len(members) * len(others)))
