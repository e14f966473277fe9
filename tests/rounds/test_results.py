"""What comes out of rounds, in numbers worked out by hand."""

import numpy as np
import pytest
from worlds import LAYOUT, World

from consilia.api import StopCondition
from consilia.log import chunks
from consilia.wire.messages import JobFinished, RoundOpened
from consilia_workers.aggregator import run
from consilia_workers.local.export import export_model
from consilia_workers.rounds.metrics import reached


def file_of(weight: float, running_mean: float) -> bytes:
    numbers = {"weight": weight, "running_mean": running_mean}
    return LAYOUT.header + b"".join(np.full(t.shape, numbers[t.name], t.dtype).tobytes() for t in LAYOUT.tensors)


def result(w: World, opened: RoundOpened) -> dict[str, float]:
    """Close the round; each tensor's numbers are all the same."""
    w.aggregator.collect(opened)
    w.aggregator.close_round(opened)
    export_model(w.logs[0], "job", opened.round, w.folder / "model")
    return {name: float(a.ravel()[0]) for name, a in LAYOUT.view((w.folder / "model").read_bytes()).items()}


def test_a_server_optimizers_momentum_goes_from_round_to_round(world):
    optimizer = {"learningRate": "1", "momentum": "0.5"}
    w = world("a", aggregation={"strategy": "FedAvgM", "serverOptimizer": optimizer}, rounds={"count": 3})
    opened = w.begin()
    found = []
    for sent in (1.0, 2.0):
        w.clinics["a"].send(opened, sent)
        found.append(result(w, opened)["weight"])
        opened = w.aggregator.open_round()
    assert found == [1.0, 2.5]  # the step of 1 from 1.0 to 2.0, and half of the one before


def test_krum_looks_at_parameters_not_at_buffers(world):
    names = list("abcde")
    five = {"names": names, "minReady": 5, "minUpdates": 5}
    w = world(*names, hospitals=five, aggregation={"strategy": "Krum", "byzantineHospitals": 1})
    opened = w.begin()
    weights = {"a": 1.0, "b": 1.1, "c": 1.25, "d": 1.5, "e": 9.0}
    means = {"a": 0.0, "b": 1e6, "c": 1.0, "d": 2.0, "e": 3.0}
    for name, clinic in w.clinics.items():
        data = file_of(weights[name], means[name])
        clinic.say(clinic.update(opened, data), *chunks(data))
    assert result(w, opened)["weight"] == np.float32(1.1)


def test_a_server_optimizer_that_diverges_fails_the_job_and_keeps_the_last_model(world):
    wild = {"strategy": "FedAvgM", "serverOptimizer": {"learningRate": "1e30", "momentum": "0"}}
    w = world("a", aggregation=wild)
    opened = w.begin()
    w.clinics["a"].send(opened, 1e-25)
    result(w, opened)
    w.clinics["a"].send(w.aggregator.open_round(), -1e30)
    finished = run(w.aggregator)
    assert (finished.outcome, finished.reason, finished.rounds) == ("Failed", "Diverged", 1)
    assert "the combined model holds NaN or infinity. Lower the server" in finished.message
    assert sum(isinstance(message, JobFinished) for message in w.said()) == 1


@pytest.mark.parametrize(
    ("operator", "value", "stops"),
    [
        ("GreaterOrEqual", 0.79, False),
        ("GreaterOrEqual", 0.8, True),
        ("GreaterOrEqual", 0.81, True),
        ("LessOrEqual", 0.79, True),
        ("LessOrEqual", 0.8, True),
        ("LessOrEqual", 0.81, False),
    ],
)
def test_a_stop_condition_holds_at_its_threshold_too(operator, value, stops):
    condition = StopCondition(metric="auc", operator=operator, value="0.8")
    assert reached({"auc": value}, [condition]) is stops
    assert not reached({"loss": value}, [condition])
