"""Local training: the same bytes from the same seed, what the spec says, and helpful errors."""

import made_up
import numpy as np
import pytest
import torch
from made_up import Linear, Normalised, training_job
from torch.nn.functional import mse_loss

from consilia.errors import DataError, DivergedError, TaskError
from consilia_workers.learner import make_learner
from consilia_workers.source import DataSource, Split
from consilia_workers.training.schedule import learning_rate_factor
from consilia_workers.training.seeds import seed_for
from consilia_workers.training.torch_learner import TorchLearner

A, B = DataSource(hospital="a"), DataSource(hospital="bb")


def learner(job, *sources: DataSource) -> TorchLearner:
    task = getattr(made_up, job.spec.task.entrypoint.partition(":")[2])
    return TorchLearner.for_task(task, job, sources or [A])


def whole(pieces) -> bytearray:
    return bytearray(b"".join(bytes(piece) for piece in pieces))


def training(**changes: object) -> dict[str, object]:
    return {"batchSize": 8, "optimizer": {"name": "SGD", "learningRate": "0.05"}, "seed": 3, **changes}


def rounds_of(job, *sources: DataSource, count: int = 3) -> bytearray:
    one = learner(job, *sources)
    model = whole(one.initial())
    for number in range(1, count + 1):
        model = whole(one.train(number, model))
    return model


@pytest.mark.parametrize("task", [Linear, Normalised])
def test_a_round_trained_again_gives_the_same_bytes(task):
    job = training_job(task)
    first, again = learner(job), learner(job)
    model = whole(first.initial())
    first.train(1, bytearray(model))
    assert whole(first.train(2, bytearray(model))) == whole(again.train(2, bytearray(model)))


def test_the_initial_model_is_the_same_with_and_without_data():
    job = training_job()
    assert whole(TorchLearner.for_task(Linear, job, []).initial()) == whole(learner(job).initial())


def test_another_seed_gives_another_model_and_another_order():
    assert rounds_of(training_job()) != rounds_of(training_job(training=training(seed=4)))


def test_rounds_at_one_hospital_are_plain_local_training_to_the_bit():
    """The loop that anybody would write, with the same seeds."""
    torch.manual_seed(seed_for(3, "initial"))
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    features, targets = Linear({}).data(A, Split.TRAIN).tensors
    for number in (1, 2, 3):
        generator = torch.Generator().manual_seed(seed_for(3, "a", number, "order"))
        for indices in torch.randperm(len(features), generator=generator).split(8):
            optimizer.zero_grad()
            mse_loss(model(features[indices]).squeeze(1), targets[indices]).backward()
            optimizer.step()
    job = training_job()
    arrays = learner(job).layout.view(rounds_of(job))
    assert np.array_equal(arrays["weight"], model.weight.detach().numpy())
    assert np.array_equal(arrays["bias"], model.bias.detach().numpy())


def test_one_full_batch_step_at_each_of_two_hospitals_averages_to_pooled_gradient_descent():
    job = training_job(training=training(batchSize=0, localSteps=1))
    one, two, pooled = learner(job, A), learner(job, B), learner(job, A, B)
    federated = together = whole(one.initial())
    for number in range(1, 21):
        updates = [(p.samples(), whole(p.train(number, bytearray(federated)))) for p in (one, two)]
        total = sum(samples for samples, _ in updates)
        together = whole(pooled.train(number, bytearray(together)))
        mean = {
            name: sum(n * one.layout.view(m)[name].astype(np.float64) for n, m in updates) / total
            for name in ("weight", "bias")
        }
        for name, array in one.layout.view(federated).items():
            array[...] = mean[name]
    for name, array in one.layout.view(federated).items():
        np.testing.assert_allclose(array, one.layout.view(together)[name], rtol=0, atol=1e-6)


def test_buffers_travel_and_integer_counters_stay():
    layout = learner(training_job(Normalised)).layout
    travelling = {tensor.name: tensor.trainable for tensor in layout.tensors}
    assert travelling["1.running_mean"] is False
    assert travelling["1.weight"] is True
    assert "1.num_batches_tracked" not in travelling


def test_local_steps_count_steps_across_epochs():
    """34 + 1 records in batches of 8 are five steps an epoch; nine steps are most of two epochs."""
    job = training_job(training=training(localSteps=9))
    assert len(list(learner(job)._round_batches(1))) == 9


def test_an_epoch_sees_every_record_once():
    job = training_job(training=training(localEpochs=2))
    seen = torch.cat([features for features, _ in learner(job)._round_batches(1)])
    expected, _ = Linear({}).data(A, Split.TRAIN).tensors
    assert sorted(seen.tolist()) == sorted(expected.tolist() * 2)


def test_any_dataset_trains_like_a_tensor_dataset():
    assert rounds_of(training_job(made_up.Items)) == rounds_of(training_job())


def test_pooled_training_sees_all_records():
    job = training_job()
    assert learner(job, A, B).samples() == learner(job, A).samples() + learner(job, B).samples()


def test_the_proximal_term_holds_training_back():
    """FedProx: the stronger mu, the nearer to the global model."""
    job = training_job()
    start = learner(job).layout.view(whole(learner(job).initial()))["weight"].copy()
    distances = []
    for mu in ("0", "1", "10"):
        fields = training(proximalMu=mu) if mu != "0" else training()
        trained = rounds_of(training_job(training=fields), count=1)
        distances.append(float(np.linalg.norm(learner(job).layout.view(trained)["weight"] - start)))
    assert distances == sorted(distances, reverse=True)
    assert distances[2] < 0.6 * distances[0]


def test_the_proximal_gradient_is_mu_times_the_distance():
    """The first step leaves the anchor as plain SGD would; the second is held back by mu times the way gone."""
    plain = rounds_of(training_job(training=training(batchSize=0, localSteps=1)), count=1)
    proximal = rounds_of(training_job(training=training(batchSize=0, localSteps=1, proximalMu="5")), count=1)
    assert plain == proximal
    two = training_job(training=training(batchSize=0, localSteps=2))
    held = training_job(training=training(batchSize=0, localSteps=2, proximalMu="5"))
    w1 = learner(two).layout.view(plain)["weight"].astype(np.float64)
    w0 = learner(two).layout.view(whole(learner(two).initial()))["weight"].astype(np.float64)
    difference = learner(two).layout.view(rounds_of(two, count=1))["weight"] - learner(two).layout.view(
        rounds_of(held, count=1)
    )["weight"].astype(np.float64)
    np.testing.assert_allclose(difference, 0.05 * 5 * (w1 - w0), atol=1e-6)


@pytest.mark.parametrize("precision", ["BFloat16", "Float16"])
def test_reduced_precision_trains_close_to_full(precision):
    job = training_job()
    full = learner(job).layout.view(rounds_of(job))["weight"]
    reduced = learner(job).layout.view(rounds_of(training_job(training=training(precision=precision))))["weight"]
    assert reduced.dtype == np.float32
    assert not np.array_equal(full, reduced)
    np.testing.assert_allclose(full, reduced, atol=0.05)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_every_optimizer_learns(name):
    job = training_job(training=training(optimizer={"name": name, "learningRate": "0.05"}))
    one = learner(job)
    assert one.evaluate(rounds_of(job))["loss"] < 0.9 * one.evaluate(whole(one.initial()))["loss"]


@pytest.mark.parametrize(
    ("fields", "factors"),
    [
        ({"name": "Constant"}, [1, 1, 1, 1, 1]),
        ({"name": "Constant", "warmupRounds": 2}, [1 / 3, 2 / 3, 1, 1, 1]),
        ({"name": "Cosine"}, [1, 0.8535533905932737, 0.5, 0.14644660940672627, 0]),
        ({"name": "Cosine", "minimumFactor": "0.2"}, [1, 0.8828427124746191, 0.6, 0.317157287525381, 0.2]),
        ({"name": "Step", "gamma": "0.5", "stepRounds": 2}, [1, 1, 0.5, 0.5, 0.25]),
        ({"name": "Exponential", "gamma": "0.5"}, [1, 0.5, 0.25, 0.125, 0.0625]),
        ({"name": "Exponential", "gamma": "0.5", "minimumFactor": "0.2"}, [1, 0.5, 0.25, 0.2, 0.2]),
    ],
)
def test_the_learning_rate_follows_its_schedule(fields, factors):
    job = training_job(rounds=5, training=training(scheduler=fields))
    found = [learning_rate_factor(job.spec.training.scheduler, number, 5) for number in range(1, 6)]
    assert found == pytest.approx(factors, abs=1e-12)


def test_without_a_schedule_the_rate_is_constant():
    assert learning_rate_factor(None, 7, 9) == 1.0


def test_metrics_are_those_of_the_whole_test_split():
    job = training_job()
    one, model = learner(job), rounds_of(training_job())
    features, targets = Linear({}).data(A, Split.TEST).tensors
    arrays = one.layout.view(model)
    predicted = features @ torch.from_numpy(arrays["weight"].ravel()) + torch.from_numpy(arrays["bias"])
    assert one.evaluate(model)["loss"] == pytest.approx(float(mse_loss(predicted, targets)), rel=1e-5)
    assert one.evaluate(model)["auc"] > 0.9


def test_a_metric_that_is_not_defined_is_left_out():
    job = training_job(made_up.OneClass)
    assert set(learner(job).evaluate(rounds_of(job))) == {"loss"}


def test_an_unknown_metric_is_refused_before_the_first_round_with_the_known_ones():
    job = training_job(evaluation={"metrics": ["acuracy"]})
    with pytest.raises(TaskError, match=r"no metric acuracy\. Choose from accuracy, auc"):
        learner(job)


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        (made_up.BrokenLoss, TaskError, r"loss\(\) gave a tensor of shape \(8,\), not one number\. Return the mean"),
        (made_up.BrokenData, TaskError, r"data\(\) for a failed: KeyError"),
        (made_up.Empty, DataError, "a has no records in its train split"),
    ],
)
def test_mistakes_in_a_task_are_named(task, error, words):
    with pytest.raises(error, match=words):
        rounds_of(training_job(task))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (made_up.BrokenLoss, r"loss\(\) gave a tensor of shape \(\d+,\), not one number\. Return the mean"),
        (made_up.Unsqueezed, r"predict\(\) gave scores \(\d+, 1\) and targets \(\d+,\)\. Give shapes"),
    ],
)
def test_mistakes_that_would_give_a_wrong_figure_are_named(task, words):
    one = learner(training_job(task))
    with pytest.raises(TaskError, match=words):
        one.evaluate(bytearray().join(one.initial()))


def test_divergence_is_named_with_its_round_and_step():
    job = training_job(training=training(optimizer={"name": "SGD", "learningRate": "1e30"}))
    with pytest.raises(DivergedError, match=r"loss became (inf|nan) in round 1, step \d"):
        rounds_of(job)


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("no_such_module:Task", "no module named no_such_module"),
        ("made_up:NoSuchTask", "made_up has no NoSuchTask"),
        ("made_up:training_job", "is not a Task class"),
    ],
)
def test_a_wrong_entry_point_is_explained(entrypoint, words):
    with pytest.raises(TaskError, match=words):
        make_learner(training_job(task={"entrypoint": entrypoint}), A)


def test_cuda_is_refused_where_there_is_none():
    if torch.cuda.is_available():
        job = training_job(training=training(device="CUDA"))
        assert rounds_of(job) is not None
        return
    with pytest.raises(TaskError, match="sees no CUDA device"):
        learner(training_job(training=training(device="CUDA")))
