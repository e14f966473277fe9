"""What a federation must equal, through all its processes: plain training at one hospital, pooled descent at many."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from chaos import federate, final_digest
from made_up import Linear, training_job
from torch.nn.functional import mse_loss

from consilia.log.opening import open_log
from consilia.wire.payload import describe
from consilia_workers.local.export import export_model
from consilia_workers.local.folder import SeedFolder
from consilia_workers.source import DataSource, Split
from consilia_workers.training.torch_learner import TorchLearner


def whole(pieces) -> bytearray:
    return bytearray(b"".join(bytes(piece) for piece in pieces))


@pytest.mark.slow
def test_a_federation_of_one_hospital_is_plain_local_training_to_the_bit(tmp_path):
    job = training_job(Linear, rounds=5)
    alone = TorchLearner.for_task(Linear, job, [DataSource(hospital="a")])
    model = whole(alone.initial())
    for number in range(1, 6):
        model = whole(alone.train(number, model))
    assert final_digest(federate(job, tmp_path / "run")) == describe([model]).sha256


@pytest.mark.slow
def test_one_full_batch_step_a_round_is_pooled_gradient_descent(tmp_path):
    names = ("a", "bb", "cccccccc")
    training = {"batchSize": 0, "localSteps": 1, "optimizer": {"name": "SGD", "learningRate": "0.1"}, "seed": 3}
    job = training_job(Linear, rounds=20, names=names, training=training)
    federate(job, tmp_path / "run")
    layout = TorchLearner.for_task(Linear, job, []).layout
    found = layout.view(final_model(tmp_path / "run"))
    expected = pooled_descent(job, names)
    np.testing.assert_allclose(found["weight"], expected.weight.detach().numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["bias"], expected.bias.detach().numpy(), rtol=0, atol=1e-6)


def final_model(folder: Path) -> bytes:
    with closing(open_log(SeedFolder(folder).log)) as log:
        export_model(log, "job", 20, folder / "model")
    return (folder / "model").read_bytes()


def pooled_descent(job, names: tuple[str, ...]) -> torch.nn.Linear:
    """Twenty steps down the mean loss over everybody's records, by hand."""
    start = TorchLearner.for_task(Linear, job, [])
    arrays = start.layout.view(whole(start.initial()))
    model = torch.nn.Linear(4, 1)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
    parts = [Linear({}).data(DataSource(hospital=name), Split.TRAIN).tensors for name in names]
    features, targets = (torch.cat(column) for column in zip(*parts, strict=True))
    for _ in range(20):
        gradients = torch.autograd.grad(mse_loss(model(features).squeeze(1), targets), list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(0.1 * gradient)
    return model
