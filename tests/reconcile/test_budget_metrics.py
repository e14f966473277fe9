"""What Prometheus is told of the Datasets: as they are when it asks, and nothing of those that are gone."""

from math import inf

from observed import conditions, shown
from prometheus_client import CollectorRegistry

from consilia_operator.budgets import Budgets

BUDGET = {"publicSize": 100, "privacyBudget": {"epsilon": "3", "delta": "1e-5"}}


def test_each_dataset_has_its_series_and_one_that_is_gone_has_none():
    well, spent, changed = (
        shown("Dataset", {".metadata.name": name, ".metadata.namespace": "a", **spec})
        for name, spec in {"well": {}, "spent": BUDGET, "changed": BUDGET}.items()
    )
    spent["status"] = {"conditions": conditions(Exhausted="True", Tampered="False")}
    changed["status"] = {"conditions": conditions(Exhausted="False", Tampered="True")}
    there, registry = [well, spent, changed], CollectorRegistry()
    Budgets(registry, lambda: there)

    def value(metric, dataset):
        return registry.get_sample_value(f"consilia_privacy_{metric}", {"hospital": "a", "dataset": dataset})

    names = ("epsilon_budget", "budget_exhausted", "ledger_tampered")
    assert [value(name, "well") for name in names] == [inf, 0, 0]
    assert [value(name, "spent") for name in names] == [3, 1, 0]
    assert [value(name, "changed") for name in names] == [3, 0, 1]
    well["status"] = {"budget": "2"}
    spent["status"] |= {"budget": "1.5"}
    assert [value("epsilon_budget", name) for name in ("well", "spent")] == [2, 1.5], "the ledger's, not the spec's"
    there.remove(spent)
    assert value("epsilon_budget", "spent") is None
