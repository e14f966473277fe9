"""What runs confined says what it should, and what is no answer is refused."""

import json
import random
import socket
import struct

import numpy as np
import pytest
import torch
from made_up import Linear
from safetensors.torch import load
from torch.utils.data import Dataset, TensorDataset
from worlds import make_job

from consilia.errors import DataError, TaskError
from consilia_workers.privacy.graph import GraphDescription
from consilia_workers.privacy.perturbed_learner import PerturbedLearner
from consilia_workers.sandbox import roles
from consilia_workers.sandbox.frames import BrokenFrameError, receive
from consilia_workers.sandbox.keeper import Confined, Confinement
from consilia_workers.sandbox.records import Records
from consilia_workers.source import DataSource, Split
from consilia_workers.training.torch_learner import TorchLearner

PRIVACY = {"epsilon": "1"}
ANYWHERE = Confinement(required=False)


class Dicts(Linear):
    class Rows(Dataset):
        def __len__(self):
            return 7

        def __getitem__(self, row):
            return {"age": torch.tensor([float(row)]), "ill": torch.tensor(row % 2)}

    def data(self, source, split):
        return self.Rows()

    def patients(self, source, split):
        return [f"patient {row // 2}" for row in range(7)]


class Single(Linear):
    def data(self, source, split):
        return TensorDataset(torch.arange(5.0))


class Texts(Linear):
    class Rows(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, row):
            return "text"

    def data(self, source, split):
        return self.Rows()


class Empty(Linear):
    def data(self, source, split):
        return TensorDataset(torch.zeros(0, 4), torch.zeros(0))


class Uneven(Linear):
    def patients(self, source, split):
        return ["one"]


@pytest.fixture
def reader():
    running = []

    def start(task):
        job = make_job(["a", "b"], task={"entrypoint": f"{__name__}:{task}"}, privacy=PRIVACY)
        source = DataSource(hospital="a")
        found = {Dicts, Single, Texts, Empty, Uneven, Linear}
        kind = next(each for each in found if each.__name__ == task)
        running.append(Confined("reads", lambda: _reading(job, source, kind), ANYWHERE))
        return running[-1]

    yield start
    for each in running:
        each.end()


def _reading(job, source, kind):
    roles.load_entrypoint = lambda _entrypoint: kind  # the test's own module cannot be imported by its name
    return roles.reader(job, source)


def test_a_table_comes_over_whole_and_rows_are_taken_from_it(reader):
    records = Records(reader("Linear"), Split.TRAIN)
    features, targets = records.take(np.array([3, 0]))

    assert records.count == 35
    assert (tuple(features.shape), tuple(targets.shape)) == ((2, 4), (2,))
    assert torch.equal(features[1], records.take(np.array([0]))[0][0])
    assert tuple(records.example()[0].shape) == (1, 4)


def test_items_are_collated_and_keep_their_names(reader):
    records = Records(reader("Dicts"), Split.TRAIN)
    batch = records.take(np.array([5, 2]))

    assert batch["age"].tolist() == [[5.0], [2.0]]
    assert batch["ill"].tolist() == [1, 0]
    assert records.patients.tolist() == [0, 0, 1, 1, 2, 2, 3]


def test_a_sample_of_nobody_has_the_shapes_of_others(reader, monkeypatch):
    monkeypatch.setattr(roles, "AT_ONCE", 1)
    batch = Records(reader("Dicts"), Split.TRAIN).take(np.array([], dtype=np.int64))

    assert {name: tuple(leaf.shape) for name, leaf in batch.items()} == {"age": (0, 1), "ill": (0,)}


def test_a_large_split_comes_over_batch_by_batch(reader, monkeypatch):
    monkeypatch.setattr(roles, "AT_ONCE", 1)
    records = Records(reader("Linear"), Split.TRAIN)

    assert records._whole is None
    assert tuple(records.take(np.array([3, 0, 3]))[0].shape) == (3, 4)
    assert len(records.take(np.array([], dtype=np.int64))[0]) == 0


def test_one_tensor_is_a_batch_too(reader):
    assert [leaf.tolist() for leaf in Records(reader("Single"), Split.TEST).take(np.array([4]))] == [[4.0]]


def test_whoever_does_not_say_whose_records_they_are_is_asked_in_vain(reader):
    assert Records(reader("Linear"), Split.TRAIN).patients is None


@pytest.mark.parametrize(
    ("task", "kind", "words"), [("Texts", DataError, "more than tensors"), ("Empty", TaskError, "no records")]
)
def test_records_that_are_none_are_refused(reader, task, kind, words):
    with pytest.raises(kind, match=words):
        Records(reader(task), Split.TRAIN)


def test_patients_must_be_as_many_as_records(reader):
    with pytest.raises(DataError, match="names 1 patients for 35 records"):
        _ = Records(reader("Uneven"), Split.TRAIN).patients


def test_the_describer_needs_no_data_and_gives_a_graph():
    job = make_job(["a"], task={"entrypoint": "consilia_workers.tasks.breast_cancer:BreastCancer"}, privacy=PRIVACY)
    with Confined("describes", lambda: roles.describer(job), ANYWHERE) as describer:
        graph = GraphDescription.from_json(bytes(describer.ask({}).body))

    assert [entry.name for entry in graph.state if entry.role == "trainable"] == ["weight", "bias"]


class Drawn(Linear):
    def model(self):
        made = super().model()
        made.register_buffer("projection", torch.randn(4, 4), persistent=False)
        made.register_buffer("shift", torch.tensor([random.gauss(0, 1) for _ in range(4)]), persistent=False)
        return made

    def loss(self, model, batch):
        return super().loss(model, [batch[0] @ model.projection + model.shift, batch[1]])


def test_every_hospital_is_told_the_random_numbers_of_the_initial_model(monkeypatch):
    job = make_job(["a"], task={"entrypoint": f"{__name__}:Drawn"}, privacy=PRIVACY)
    monkeypatch.setattr(roles, "load_entrypoint", lambda _entrypoint: Drawn)
    told = []
    for _hospital in range(2):
        torch.randn(3)  # each comes from a state of its own
        with Confined("describes", lambda: roles.describer(job), ANYWHERE) as describer:
            told.append(load(GraphDescription.from_json(bytes(describer.ask({}).body)).values))
    initial = dict(TorchLearner.for_task(Drawn, job, [])._model.named_buffers())

    assert told[0].keys() == told[1].keys() == {"projection", "shift"}
    assert all(torch.equal(told[0][name], told[1][name]) for name in told[0])
    assert all(torch.equal(told[0][name], initial[name]) for name in told[0])


def test_what_is_no_task_is_refused_with_the_way_out():
    job = make_job(["a"], task={"entrypoint": "collections:OrderedDict"}, privacy=PRIVACY)
    with (
        Confined("describes", lambda: roles.describer(job), ANYWHERE) as describer,
        pytest.raises(TaskError) as refused,
    ):
        describer.ask({})
    assert "is not a Task class" in str(refused.value)


SECRET = "Mrs-Smith"
ANSWERS = {
    "a count": ({"records": SECRET}, b""),
    "a type": ({"records": 1, "whole": True, "arrays": [{"dtype": SECRET, "shape": [1]}]}, b""),
    "a description": ({"records": 1, "whole": True, "arrays": [{SECRET: 1}]}, b""),
    "no description": ({"records": 1, "whole": True, "arrays": SECRET}, b""),
    "bytes": ({"records": 1, "whole": True, "arrays": []}, SECRET.encode()),
    "a key": ({"records": 1, "whole": True, "keys": [f"{SECRET}?"], "table": True, "arrays": []}, b""),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_a_reader_says_instead_of_records_is_not_quoted(answer):
    head, body = answer
    with (
        Confined("reads", lambda: lambda *_: (head, [body]), ANYWHERE) as reader,
        pytest.raises(TaskError) as refused,
    ):
        Records(reader, Split.TRAIN)
    assert_unsaid(refused.value)


def assert_unsaid(error):
    while error is not None:
        assert SECRET not in f"{error!r} {error}"
        assert not any(digit in str(error) for digit in "0123456789")
        error = error.__cause__


@pytest.mark.parametrize(
    "said",
    [
        struct.pack("<QQ", 2**60 + 7, 3),
        struct.pack("<QQ", 9, 0) + SECRET.encode(),
        struct.pack("<QQ", 11, 0) + json.dumps(SECRET).encode(),
    ],
    ids=["too long", "no JSON", "no object"],
)
def test_nor_is_a_frame_that_is_none(said):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        with pytest.raises(BrokenFrameError) as broken:
            receive(ours)
    assert_unsaid(broken.value)


def test_nor_is_a_layout_that_is_none():
    job = make_job(["a"], privacy={**PRIVACY, "mechanism": "Gaussian"})
    told = json.dumps({SECRET: {"dtype": SECRET, "shape": [1], "data_offsets": [0, 4]}}).encode()
    header = struct.pack("<Q", len(told)) + told
    with (
        Confined("learns", lambda: lambda *_: ({}, [header]), ANYWHERE) as learner,
        pytest.raises(TaskError) as refused,
    ):
        PerturbedLearner(job, learner, None, 10)
    assert_unsaid(refused.value)
