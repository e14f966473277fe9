"""What Prometheus is told of the Datasets' privacy budgets, looked up when it asks: a deleted one leaves no series."""

from collections.abc import Callable, Iterable
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from consilia_operator.store import Document


class Budgets(Collector):
    """One series for each Dataset."""

    def __init__(self, registry: CollectorRegistry, datasets: Callable[[], Iterable[Document]]) -> None:
        """Registers itself; `datasets` gives those that are there."""
        self._datasets = datasets
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metric without series."""
        return [
            GaugeMetricFamily(
                "consilia_privacy_epsilon_budget",
                "The ε that all jobs together may ever spend on a hospital's dataset; +Inf where it sets no limit.",
                labels=["hospital", "dataset"],
            )
        ]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metric as it is now. A hospital's name is its namespace's."""
        (family,) = self.describe()
        for dataset in self._datasets():
            labels = [dataset["metadata"]["namespace"], dataset["metadata"]["name"]]
            family.add_metric(labels, budget_of(dataset))
        return [family]


def budget_of(dataset: Document) -> float:
    """Its ε; infinity if it has none."""
    return float(dataset["spec"].get("privacyBudget", {}).get("epsilon", inf))
