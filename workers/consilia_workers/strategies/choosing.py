"""From a job's `spec.aggregation` to its strategy, with the papers' defaults for what the job leaves open."""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial

from consilia.api import AggregationSpec
from consilia_workers.strategies.interface import Combiner, ServerOptimizer, Strategy
from consilia_workers.strategies.krum import Krum, MultiKrum
from consilia_workers.strategies.median import Median
from consilia_workers.strategies.trimmed_mean import TrimmedMean
from consilia_workers.strategies.weighted_mean import WeightedMean

_ADAGRAD = {"learning_rate": "0.1", "tau": "0.001"}
_ADAM = _ADAGRAD | {"beta1": "0.9", "beta2": "0.99"}

SERVER_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "FedAvgM": {"learning_rate": "1", "momentum": "0.9"},
    "FedAdagrad": _ADAGRAD,
    "FedAdam": _ADAM,
    "FedYogi": _ADAM,
}
"""Hsu et al. 2019 and Reddi et al. 2021, who tune the learning rate for each task; `docs/concepts/strategies.md`."""


def choose(spec: AggregationSpec) -> Strategy:
    """The strategy that a job asks for."""
    return Strategy(name=spec.strategy, combiner=_combiner(spec), optimizer=_server_optimizer(spec))


def _combiner(spec: AggregationSpec) -> Combiner:
    match spec.strategy:
        case "Median":
            return Median()
        case "TrimmedMean":
            return TrimmedMean(Fraction(spec.trim_fraction))
        case "Krum":
            return Krum(spec.byzantine_hospitals)
        case "MultiKrum":
            return MultiKrum(spec.byzantine_hospitals, spec.selected_hospitals)
        case "FedAvg" | "FedProx" | "FedAvgM" | "FedAdagrad" | "FedAdam" | "FedYogi":
            return WeightedMean()  # FedProx's proximal term is the trainer's business


def _server_optimizer(spec: AggregationSpec) -> ServerOptimizer | None:
    if spec.strategy not in SERVER_DEFAULTS:
        return None
    # Here, because it imports torch: seconds and half a gigabyte that the other strategies do without.
    from consilia_workers.strategies import server_optimizers as server  # noqa: PLC0415

    given = spec.server_optimizer.model_dump(exclude_none=True) if spec.server_optimizer else {}
    options = {name: float(given.get(name, default)) for name, default in SERVER_DEFAULTS[spec.strategy].items()}
    kinds = {kind.__name__: kind for kind in (server.FedAvgM, server.FedAdagrad, server.FedAdam, server.FedYogi)}
    kind = kinds[spec.strategy]
    return server.BlockOptimizer(kind.SLOTS, partial(kind, **options))
