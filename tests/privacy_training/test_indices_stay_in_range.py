"""Whatever one record looks something up by, no bit of another depends on it, and no kernel sees what is wrong."""

import re

import pytest
import torch
from private_tasks import Private, isolated
from torch import nn
from torch.nn import functional

from consilia.errors import TaskError
from consilia_workers.privacy.graph import Node
from consilia_workers.privacy.indices import GUARDS
from consilia_workers.privacy.islands import operation
from consilia_workers.privacy.isolation import IsolatedModel
from consilia_workers.privacy.operations import FUNCTIONS, METHODS
from consilia_workers.privacy.tracing import describe

COUNT, CLASSES, BAD = 6, 4, 3
OTHERS = torch.tensor([k for k in range(COUNT) if k != BAD])

LOOKUPS = {
    "gather": lambda t, i: t.gather(1, i),
    "torch.gather": lambda t, i: torch.gather(t, dim=-1, index=i),
    "index_select": lambda t, i: t.index_select(1, i[0]),
    "torch.index_select": lambda t, i: torch.index_select(t, 1, i[0]),
    "index_add": lambda t, i: t.index_add(1, i[0], t[:, :2], alpha=2),
    "index_copy": lambda t, i: t.index_copy(1, i[0, :1], t[:, 1:2]),
    "scatter": lambda t, i: t.scatter(1, i[:, :1], t[:, 2:3]),
    "torch.scatter": lambda t, i: torch.scatter(t, 1, i, 9.0),
    "scatter_add": lambda t, i: t.scatter_add(1, i, t[:, :2] * 2),
    "torch.scatter_add": lambda t, i: torch.scatter_add(t, 1, i, t[:, :2] * 2),
    "take_along_dim": lambda t, i: t.take_along_dim(i, 1),
    "torch.take_along_dim": lambda t, i: torch.take_along_dim(t, i[0]),
    "operator.getitem": lambda t, i: t[:, i[0]],
    "operator.getitem of a number": lambda t, i: t[0, i[0, 0]],
    "operator.getitem of two": lambda t, i: t[i[:, 0] * 0, i[:, 1]],
    "operator.getitem after dots": lambda t, i: t[None, ..., i],
    "torch.nn.functional.one_hot": lambda t, i: t * functional.one_hot(i[0, 0], CLASSES),
    "torch.nn.functional.cross_entropy": lambda t, i: functional.cross_entropy(t, i[:, 0]),
    "torch.nn.functional.nll_loss": lambda t, i: functional.nll_loss(torch.log_softmax(t, 1), i[:, 0]),
    "torch.nn.functional.nll_loss of steps": lambda t, i: functional.nll_loss(t[:, :, None].expand(-1, -1, 2), i),
    "torch.nn.functional.multi_margin_loss": lambda t, i: functional.multi_margin_loss(t, i[:, 0]),
    "torch.nn.functional.multilabel_margin_loss": lambda t, i: functional.multilabel_margin_loss(
        t, torch.cat([i, i * 0 - 1], dim=1)
    ),
    "torch.quantile": lambda t, i: torch.quantile(t, i[0, 0] / (CLASSES - 1)),
    "quantile": lambda t, i: t.quantile(i[0] / (CLASSES - 1), dim=1),
    "torch.nn.functional.binary_cross_entropy": lambda t, i: functional.binary_cross_entropy(
        torch.where(i[:, :1] < 0, t * 0 - 1, i[:, :1] / (CLASSES - 1) + t * 0), torch.sigmoid(t)
    ),
}
REFUSED = {"repeat_interleave", "torch.repeat_interleave"}
"""Looked up in GUARDS as well, to be refused where the repeats are a record's own."""


NAMED_ONLY_LIKE_THEM = {
    *("binary_cross_entropy_with_logits", "poisson_nll_loss", "multilabel_soft_margin_loss", "soft_margin_loss"),
    *("cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "triplet_margin_loss", "grid_sample"),
}
"""Their targets are numbers, not places; grid_sample's places are numbers too, and compared by its own kernels."""


class Lookup(Private):
    def __init__(self, look):
        self.look = look
        super().__init__()

    def build(self):
        return nn.Linear(5, CLASSES)

    def loss(self, model, batch):
        return self.look(model(batch[0]), batch[1]).mean()

    def batch(self, count, seed=0):
        draws = torch.Generator().manual_seed(seed)
        index = torch.randint(0, CLASSES // 2, (count, 2), generator=draws) + torch.tensor([0, 2])
        return [torch.randn(count, 5, generator=draws), index]


def seen(recorded):
    gradients = recorded.tape.gradients(recorded.losses, outer=True)
    return torch.stack([recorded.losses.detach().double(), *(each.norms() for each in gradients)])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", [CLASSES, CLASSES + 1, -1, -CLASSES - 1, 10**6, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("look", LOOKUPS.values(), ids=LOOKUPS)
def test_an_index_beyond_the_table_shows_in_no_other_record_and_reaches_no_kernel(look, value, monkeypatch):
    """That no operation fails is how the kernels are known to have seen good indices only."""
    monkeypatch.setattr(IsolatedModel, "_failing", lambda *_: pytest.fail("an operation failed"))
    task = Lookup(look)
    model = isolated(task, COUNT)
    before = model.recorded(task.batch(COUNT))
    assert not before.unusable.any()
    alone = model.recorded([values[OTHERS] for values in task.batch(COUNT)], OTHERS)
    batch = task.batch(COUNT)
    batch[1][BAD] = value
    after = model.recorded(batch)

    others, those_after, those_alone = (seen(recorded)[:, OTHERS] for recorded in (before, after, alone))
    assert torch.equal(others, those_after)
    assert torch.equal(others, those_alone)
    assert not after.unusable[OTHERS].any()
    assert after.unusable[BAD] or value == -1  # which some may count from the end, or take for the end of a list


@pytest.mark.parametrize(("look", "found"), [(lambda t, i: t.take_along_dim(i, 1), 3), (lambda t, i: t[:, i[0]], 3)])
def test_where_python_counts_from_the_end_a_negative_index_does(look, found):
    task = Lookup(look)
    model, batch, same = isolated(task, COUNT), task.batch(COUNT), task.batch(COUNT)
    batch[1][BAD], same[1][BAD] = -1, found
    assert torch.equal(model.losses(batch), model.losses(same))


def test_every_operation_with_a_guard_is_tried_and_every_one_with_an_index_has_one():
    guarded = {name for name in FUNCTIONS | METHODS if name.rpartition(".")[2] in GUARDS}
    assert guarded == {name.partition(" ")[0] for name in LOOKUPS} | REFUSED
    looks = re.compile(r"index|gather|scatter|take|one_hot|nll|entropy|margin|getitem|embedding|put|unpool|grid_sample")
    left = {name.rpartition(".")[2] for name in set(FUNCTIONS | METHODS) - guarded if looks.search(name)}
    assert left == NAMED_ONLY_LIKE_THEM


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda t, i: functional.embedding(i, t.T), "nn.Embedding"),
        (lambda t, i: t.index_fill(1, i[0], 9.0), r"torch.where|masked_fill"),
        (lambda t, i: t.index_fill_(1, i[0], 9.0), r"masked_fill"),
    ],
)
def test_lookups_whose_lanes_are_not_kept_apart_are_refused_with_the_way_out(look, words):
    with pytest.raises(TaskError) as refused:
        describe(Lookup(look))
    assert re.search(words, refused.value.remedy)


@pytest.mark.parametrize("target", ["torch.nn.functional.embedding", "index_fill", "torch.index_fill"])
def test_nor_are_they_run_when_a_description_asks_for_them(target):
    op = "function" if "." in target else "method"
    with pytest.raises(TaskError, match=f"uses {target}"):
        operation(Node.model_validate({"name": "x", "op": op, "target": target}))


WRONG = {
    "repeats of its own": lambda t, i: torch.repeat_interleave(t, i[0].abs(), dim=1, output_size=4),
    "a mask of its own": lambda t, i: t[i[0] > 1],
    "bytes": lambda t, i: t[i[0].to(torch.uint8)],
    "a list of tensors": lambda t, i: t[[i[0], i[0]]],
    "one constant beyond": lambda t, i: t.gather(1, torch.tensor([[CLASSES]])),
    "a name that is not known": lambda t, i: t.gather(axis=1, index=i),
}


@pytest.mark.parametrize("look", WRONG.values(), ids=WRONG)
def test_an_index_that_no_guard_knows_stops_the_task_instead_of_a_record(look):
    task = Lookup(look)
    with pytest.raises(TaskError, match="cannot be run"):
        isolated(task, COUNT).losses(task.batch(COUNT))


def test_an_order_to_search_in_is_refused():
    with pytest.raises(TaskError, match="with sorter"):
        isolated(Lookup(lambda t, i: torch.searchsorted(t[0], t[0], sorter=i[0])))
