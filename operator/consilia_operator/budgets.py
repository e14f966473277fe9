"""What Prometheus is told of the Datasets' privacy budgets, looked up when it asks: a deleted one leaves no series."""

from collections.abc import Callable, Iterable
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from consilia_operator.conditions import holds
from consilia_operator.store import Document

_METRICS = (
    (
        "consilia_privacy_epsilon_budget",
        "The ε that all jobs together may ever spend on a hospital's dataset; +Inf where it sets no limit.",
    ),
    ("consilia_privacy_budget_exhausted", "1 if the dataset's budget does not afford what was asked last, else 0."),
    ("consilia_privacy_ledger_tampered", "1 if the hospital's ledger was changed, replaced or rolled back, else 0."),
)


class Budgets(Collector):
    """One series of each metric for each Dataset."""

    def __init__(self, registry: CollectorRegistry, datasets: Callable[[], Iterable[Document]]) -> None:
        """Registers itself; `datasets` gives those that are there."""
        self._datasets = datasets
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metrics without series."""
        return [GaugeMetricFamily(name, meaning, labels=["hospital", "dataset"]) for name, meaning in _METRICS]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics as they are now. A hospital's name is its namespace's."""
        families = budgets, exhausted, tampered = tuple(self.describe())
        for dataset in self._datasets():
            labels = [dataset["metadata"]["namespace"], dataset["metadata"]["name"]]
            conditions = dataset.get("status", {}).get("conditions", ())
            budgets.add_metric(labels, budget_of(dataset))
            exhausted.add_metric(labels, holds(conditions, "Exhausted"))
            tampered.add_metric(labels, holds(conditions, "Tampered"))
        return families


def budget_of(dataset: Document) -> float:
    """Its ε by the ledger, which may know of one that the spec does not name, or else by the spec; infinity if none."""
    asked = dataset["spec"].get("privacyBudget", {}).get("epsilon", inf)
    return float(dataset.get("status", {}).get("budget", asked))
