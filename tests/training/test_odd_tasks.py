"""What is legal PyTorch works, and the same round gives the same bytes; what is a mistake is named."""

import sys

import numpy as np
import odd_tasks
import pytest
import torch
from made_up import Linear, Normalised, training_job
from torch import nn
from torch.utils.data import TensorDataset

from consilia.api import FederatedJob
from consilia.errors import TaskError
from consilia_workers.source import DataSource
from consilia_workers.training.torch_learner import TorchLearner

A = DataSource(hospital="a")


def learner(task: type[Linear], job: FederatedJob | None = None) -> TorchLearner:
    return TorchLearner.for_task(task, job or training_job(), [A])


def whole(pieces) -> bytearray:
    return bytearray(b"".join(bytes(piece) for piece in pieces))


ODD_MODELS = [odd_tasks.Scalar, odd_tasks.Tied, odd_tasks.Strided, odd_tasks.Extra, odd_tasks.Counting]


@pytest.mark.parametrize("model", [*ODD_MODELS, odd_tasks.Remembering])
def test_a_round_does_not_depend_on_the_rounds_before(model):
    task = odd_tasks.with_model(model)
    first, again = learner(task), learner(task)
    start = whole(first.initial())
    first.train(1, bytearray(start))
    assert whole(first.train(2, bytearray(start))) == whole(again.train(2, bytearray(start)))


@pytest.mark.parametrize("model", ODD_MODELS)
def test_a_model_comes_back_as_it_left(model):
    """Loaded from its file and written again, without a step between."""
    one = learner(odd_tasks.with_model(model))
    trained = whole(one.train(1, whole(one.initial())))
    other = learner(odd_tasks.with_model(model))
    other.evaluate(trained)
    assert whole(other._file(other._model)) == trained
    assert trained != whole(one.initial())


def test_a_tied_parameter_travels_once_under_its_first_name():
    """Under two names, the one that a server optimizer did not move would overwrite the one that it did."""
    layout = learner(odd_tasks.with_model(odd_tasks.Tied)).layout
    assert {tensor.name: tensor.trainable for tensor in layout.tensors} == {"linear.weight": True, "linear.bias": True}


@pytest.mark.parametrize("steps", [{"localEpochs": 2}, {"localSteps": 9}])
def test_whatever_people_draw_random_numbers_from_a_round_can_be_repeated(steps):
    fields = {"batchSize": 8, "optimizer": {"name": "SGD", "learningRate": "0.05"}, "seed": 3, **steps}
    job = training_job(training=fields)
    one = learner(odd_tasks.Noisy, job)
    start = whole(one.initial())
    assert whole(one.train(4, bytearray(start))) == whole(one.train(4, bytearray(start)))


def test_random_layers_draw_anew_for_every_round_and_hospital():
    task, job = odd_tasks.Dropping, training_job()
    one, other = (TorchLearner.for_task(task, job, [DataSource(hospital=name)]) for name in ("a", "b"))
    start = whole(one.initial())
    trained = [whole(who.train(number, bytearray(start))) for who, number in ((one, 1), (one, 2), (other, 1))]
    numbers = [one.layout.view(model)["2.weight"] for model in trained]
    assert not np.allclose(numbers[0], numbers[1], rtol=1e-4)
    assert not np.allclose(numbers[0], numbers[2], rtol=1e-4)


def test_evaluating_between_rounds_changes_nothing():
    one, other = learner(Normalised), learner(Normalised)
    start = whole(one.initial())
    other.evaluate(start)
    assert whole(one.train(1, bytearray(start))) == whole(other.train(1, bytearray(start)))


def test_half_precision_does_not_weaken_the_proximal_term():
    """Gradients are scaled up in half precision; the term is added to them at their own scale."""
    weights = []
    for precision in ("Float32", "Float16"):
        optimizer = {"name": "SGD", "learningRate": "0.05"}
        fields = {"batchSize": 8, "optimizer": optimizer, "proximalMu": "10", "precision": precision}
        one = learner(Linear, training_job(training=fields))
        weights.append(one.layout.view(whole(one.train(1, whole(one.initial()))))["weight"])
    np.testing.assert_allclose(*weights, atol=0.01)


def test_a_lone_last_record_joins_the_batch_before_where_there_is_batch_normalisation():
    """35 records in batches of 17 leave one, from which batch normalisation cannot learn; no hospital is to stumble."""
    fields = {"batchSize": 17, "optimizer": {"name": "SGD", "learningRate": "0.05"}}
    job = training_job(training=fields)
    normalised, plain = learner(odd_tasks.with_model(odd_tasks.Counting), job), learner(Linear, job)
    assert [len(features) for features, _ in normalised._round_batches(1)] == [17, 18]
    assert [len(features) for features, _ in plain._round_batches(1)] == [17, 17, 1]
    assert normalised.train(1, whole(normalised.initial()))


def test_named_tuples_stay_named():
    one = learner(odd_tasks.Named)
    assert one.train(1, whole(one.initial()))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (odd_tasks.Lazy, r"weight has no shape yet.*Give the layer its input size"),
        (odd_tasks.Complex, r"phase is complex64, which does not travel"),
        (odd_tasks.Eight, r"linear.weight is float8_e5m2, which does not travel"),
        (lambda: [nn.Linear(4, 1)], r"model\(\) gave a list, not a module"),
        (nn.ReLU, r"no parameter to train"),
    ],
    ids=["lazy", "complex", "float8", "no module", "nothing to train"],
)
def test_a_model_that_cannot_travel_is_named(model, words):
    with pytest.raises(TaskError, match=words):
        learner(odd_tasks.with_model(model))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (odd_tasks.Stream(), r"data\(\) for a gave a Stream, which has no length.*Read the records into a map-style"),
        (odd_tasks.Unsized(), r"data\(\) for a gave a Unsized, which has no length"),
        ((torch.zeros(9, 4), torch.zeros(9)), r"data\(\) for a gave a tuple.*TensorDataset\(features, targets\)"),
        (torch.zeros(9, 4), r"data\(\) for a gave a Tensor"),
        (None, r"data\(\) for a gave a NoneType"),
    ],
    ids=["stream", "unsized", "tuple", "tensor", "nothing"],
)
def test_data_that_is_no_dataset_is_named(made, words):
    with pytest.raises(TaskError, match=words):
        learner(odd_tasks.with_data(made))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (odd_tasks.Torn(), r"the task's dataset failed: KeyError"),
        ([("a", object())] * 9, r"the task's dataset failed: TypeError"),
        (TensorDataset(torch.zeros(9, 3), torch.zeros(9)), r"the task's loss\(\) failed: RuntimeError"),
    ],
    ids=["a record missing", "no tensors", "another width"],
)
def test_records_that_cannot_be_used_are_named(made, words):
    one = learner(odd_tasks.with_data(made))
    with pytest.raises(TaskError, match=words):
        one.train(1, whole(one.initial()))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda scores, targets: scores, r"predict\(\) gave a Tensor, not scores and targets"),
        (lambda scores, targets: (scores, targets, targets), r"predict\(\) gave a tuple, not scores and targets"),
        (lambda scores, targets: (scores.numpy(), targets), r"predict\(\) gave a tuple, not scores and targets"),
        (lambda scores, targets: (scores[:-1], targets), r"predict\(\) gave scores \(\d+,\) and targets \(\d+,\)"),
    ],
    ids=["scores only", "three", "numpy", "too few"],
)
def test_predictions_of_another_form_are_named(answer, words):
    one = learner(odd_tasks.with_predictions(answer))
    with pytest.raises(TaskError, match=words):
        one.evaluate(whole(one.initial()))


def value_of(metric) -> dict[str, float]:
    one = learner(odd_tasks.with_metric(metric), training_job(evaluation={"metrics": ["odd"]}))
    return one.evaluate(whole(one.initial()))


@pytest.mark.parametrize("number", [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5)])
def test_a_metric_may_give_any_kind_of_number(number):
    value = value_of(lambda scores, targets: number)["odd"]
    assert value == 0.5
    assert type(value) is float


@pytest.mark.parametrize("undefined", [None, float("nan"), np.inf])
def test_a_metric_that_is_no_number_is_left_out(undefined):
    assert value_of(lambda scores, targets: undefined) == {}


@pytest.mark.parametrize("wrong", ["much", np.zeros(3), {"auc": 0.5}])
def test_a_metric_that_gives_something_else_is_named(wrong):
    with pytest.raises(TaskError, match="the task's metric odd failed"):
        value_of(lambda scores, targets: wrong)


def test_the_loss_is_the_mean_over_the_records_not_over_the_batches():
    """1030 records are evaluated in two batches, of 1024 and of 6."""
    targets = torch.arange(1030.0)
    one = learner(odd_tasks.with_data(TensorDataset(torch.zeros(1030, 4), targets)))
    model = whole(one.initial())
    bias = one.layout.view(model)["bias"]
    assert one.evaluate(model)["loss"] == pytest.approx(float(((targets - float(bias[0])) ** 2).mean()), rel=1e-5)


def test_a_stop_condition_on_the_loss_makes_hospitals_report_it():
    stop = [{"metric": "loss", "operator": "LessOrEqual", "value": "0.1"}]
    one = learner(Linear, training_job(evaluation={"metrics": ["auc"], "stopWhen": stop}))
    assert set(one.evaluate(whole(one.initial()))) == {"auc", "loss"}


def test_a_task_that_ends_the_process_is_named():
    with pytest.raises(TaskError, match=r"metric odd failed: SystemExit"):
        value_of(lambda scores, targets: sys.exit(3))


def test_parameter_groups_that_no_optimizer_takes_are_named():
    class Grouped(Linear):
        def parameter_groups(self, model):
            return [{"parameters": list(model.parameters())}]

    one = learner(Grouped)
    with pytest.raises(TaskError, match=r"parameter_groups\(\) failed: KeyError"):
        one.train(1, whole(one.initial()))
