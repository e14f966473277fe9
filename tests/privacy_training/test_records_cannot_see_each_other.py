"""No record's loss has a bit that depends on another record, whatever the task's code does."""

import traceback

import pytest
import torch
from private_tasks import HONEST, Attention, Cnn, Lstm, Private, Text, isolated, records
from torch import nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from consilia.errors import DataError, TaskError
from consilia_workers.privacy.islands import OperationError
from consilia_workers.privacy.isolation import IsolatedModel
from consilia_workers.privacy.operations import DROPOUT, FUNCTIONS, METHODS

COUNT = 9

TRICKS = {
    "centre": lambda x: x - x.mean(0),
    "flip": lambda x: x.flip(0),
    "first": lambda x: x[0],
    "last": lambda x: x[-1:],
    "gram": lambda x: x @ (x.T @ x),
    "roll": lambda x: x.roll(1, 0),
    "running sum": lambda x: x.cumsum(0),
    "sort": lambda x: x.sort(0)[0],
    "maximum": lambda x: x.amax(0, keepdim=True),
    "normalise": lambda x: (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt(),
    "softmax over records": lambda x: torch.softmax(x, 0),
    "attention over records": lambda x: torch.softmax(x @ x.T, 1) @ x,
    "group normalisation over records": lambda x: functional.group_norm(x.T.unsqueeze(0), 1).squeeze(0).T,
    "repeat": lambda x: x.repeat(4, 1)[1:3],
    "gather": lambda x: x.gather(0, (x > 0).long() * 0),
    "einsum": lambda x: torch.einsum("ij,kj->kj", x, x),
    "not a number": lambda x: torch.where(x > 1, x * float("inf") * 0, x).cumsum(0),
    "rounding": lambda x: torch.sin(x * 1e9),
    "expand": lambda x: x.expand(3, 1, 5).flip(0)[0],
    "count": lambda x: x * x.shape[0] / x.numel(),
}


class Hostile(Private):
    """Lets a trick loose on the records, on what a layer makes of them, and on the losses."""

    def __init__(self, trick):
        self.trick = trick
        super().__init__()

    def build(self):
        return nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 1))

    def loss(self, model, batch):
        features, labels = batch
        inner = model[0](self.trick(features)).reshape(-1, 5)
        logits = (
            model[1](self.trick(inner).reshape(-1, 5)).expand(-1, 5) * 1e6
        )  # so that the last bit of anything shows
        return functional.softplus(self.trick(logits[:1])).mean() + labels.sum()


OTHERS = torch.tensor([0, 1, 2, 4, 5, 6, 7, 8])


def of_the_others(task, change):
    """The losses of all records but number 3, and the norms of their gradients, before and after a change of it."""
    model, batch = isolated(task), task.batch(COUNT)
    return [bits(model.recorded(*given)) for given in ((batch, torch.arange(COUNT)), change(batch))]


def bits(recorded):
    gradients = recorded.tape.gradients(recorded.losses, outer=True)
    return torch.stack([recorded.losses.detach().double(), *(each.norms() for each in gradients)])[:, OTHERS]


def perturbed(batch):
    def change(values):
        other = values.clone()
        other[3] = other[4] if not values.is_floating_point() else float("nan")
        return other

    return pytree.tree_map(change, batch), torch.arange(COUNT)


def removed(batch):
    return records(batch, OTHERS), OTHERS


def enlarged(batch):
    return pytree.tree_map(lambda v: torch.cat([v, v[:5]]), batch), torch.arange(COUNT + 5)


CHANGES = pytest.mark.parametrize("change", [perturbed, removed, enlarged])


@CHANGES
@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_a_hostile_task_learns_nothing_of_other_records(trick, change):
    before, after = of_the_others(Hostile(trick), change)
    assert torch.equal(before.nan_to_num(-1), after.nan_to_num(-1))
    assert len(before[0].nan_to_num(-1).unique()) > 1


@CHANGES
@pytest.mark.parametrize("kind", HONEST, ids=lambda kind: kind.__name__)
def test_an_honest_task_learns_nothing_of_other_records(kind, change):
    before, after = of_the_others(kind(), change)
    assert torch.equal(before, after)
    assert before.isfinite().all()


MIXING = {
    "records as channels": (Cnn, lambda m, x: m(x.squeeze(0))),
    "two images": (Cnn, lambda m, x: m(x.repeat(2, 1, 1, 1))),
    "records as steps": (Lstm, lambda m, x: m.reads(x.squeeze(0))[0]),
    "a series in the batch's place": (Lstm, lambda m, x: m.reads(x.transpose(0, 1))[0]),
    "attention in the batch's place": (Attention, lambda m, x: m.attend(*[m.into(x).transpose(0, 1)] * 3)[0]),
    "a number for a row": (Text, lambda m, x: m.out(x.float().mean())),
}


@pytest.mark.parametrize(("kind", "use"), MIXING.values(), ids=MIXING)
def test_a_layer_that_could_see_across_records_is_not_run(kind, use):
    class Mixing(kind):
        def loss(self, model, batch):
            return use(model, batch[0]).mean()

    task = Mixing()
    with pytest.raises(TaskError, match=r"the layer \w+ \(\w+\): it is given"):
        isolated(task).losses(task.batch(COUNT))


SECOND = [
    (),
    (0,),
    (1,),
    ("y",),
    ("index",),
    (0, "index"),
    (0, "y"),
    (0, 1),
    (2, 0),
    ("y", "y"),
    ((4, 3),),
    (0, "index", "y"),
]


def picture(x):
    return x[None, None]


def volume(x):
    return x.expand(3, 3, 3)[None, None]


def whole(x):
    return (x * 7).long()


CALLS = {
    "broadcast_to expand": lambda f, x, y, i: f(x, (2, 3, 3)),
    "reshape view": lambda f, x, y, i: f(x, (9,)),
    "bitwise_and bitwise_or bitwise_xor and_ or_ xor __and__ __or__ __xor__ __rand__ __ror__ __rxor__": (
        lambda f, x, y, i: f(whole(x), whole(y))
    ),
    "lshift rshift": lambda f, x, y, i: f(whole(x), i),
    "bitwise_not invert": lambda f, x, y, i: f(whole(x)),
    "cat concat concatenate column_stack dstack hstack vstack stack": lambda f, x, y, i: f([x, y.flip(0)]),
    "meshgrid": lambda f, x, y, i: f(x[0], y[0], indexing="ij"),
    "bmm": lambda f, x, y, i: f(x[None], y[None]),
    "addbmm": lambda f, x, y, i: f(x, x[None], y[None]),
    "baddbmm": lambda f, x, y, i: f(x[None], x[None], y[None]),
    "mv": lambda f, x, y, i: f(x, y[0]),
    "addmv": lambda f, x, y, i: f(x[0], x, y[0]),
    "dot vdot outer": lambda f, x, y, i: f(x[0], y[0]),
    "bucketize": lambda f, x, y, i: f(x, y[0].sort()[0]),
    "where": lambda f, x, y, i: f(i > 0, x, y) if f is torch.where else f(x, i > 0, y),
    "masked_fill": lambda f, x, y, i: f(x, i > 0, 9.0),
    "index_add": lambda f, x, y, i: f(x, 1, i[0], y),
    "narrow": lambda f, x, y, i: f(x, 0, 1, 2),
    "moveaxis": lambda f, x, y, i: f(x, (0,), (1,)),
    "permute flip": lambda f, x, y, i: f(x, (1, 0)),
    "unflatten": lambda f, x, y, i: f(x, 1, (3, 1)),
    "renorm": lambda f, x, y, i: f(x, 2, 0, 0.5),
    "polygamma": lambda f, x, y, i: f(1, x),
    "vander": lambda f, x, y, i: f(x[0]),
    "new_full": lambda f, x, y, i: f(x, (2,), 3.0),
    "unfold": lambda f, x, y, i: f(x, 0, 2, 1),
    "nn.unfold": lambda f, x, y, i: f(picture(x), 2),
    "fold": lambda f, x, y, i: f(x[None, :, :1].expand(1, 4, 1) if len(x) == 4 else x.flatten()[None, :4, None], 2, 2),
    "glu": lambda f, x, y, i: f(x[:, :2]),
    "one_hot": lambda f, x, y, i: f(i, 3),
    "nll_loss multi_margin_loss": lambda f, x, y, i: f(x, i[0]),
    "binary_cross_entropy": lambda f, x, y, i: f(torch.sigmoid(x), torch.sigmoid(y)),
    "cosine_embedding_loss": lambda f, x, y, i: f(x, y, torch.ones(3)),
    "poisson_nll_loss": lambda f, x, y, i: f(x, y, True, False, 1e-8, 1),
    "bilinear": lambda f, x, y, i: f(x, y, x.expand(2, 3, 3), None),
    "prelu": lambda f, x, y, i: f(x, y[0]),
    "layer_norm rms_norm": lambda f, x, y, i: f(x, (3,)),
    "conv1d conv_transpose1d": lambda f, x, y, i: f(x[None], y[:, :, None]),
    "conv2d conv_transpose2d": lambda f, x, y, i: f(picture(x), picture(y)),
    "conv3d conv_transpose3d": lambda f, x, y, i: f(volume(x), volume(y)),
    "avg_pool2d max_pool2d adaptive_max_pool2d": lambda f, x, y, i: f(picture(x), 2),
    "avg_pool3d max_pool3d adaptive_max_pool3d adaptive_avg_pool3d": lambda f, x, y, i: f(volume(x), 2),
    "lp_pool1d": lambda f, x, y, i: f(x[None], 2.0, 2),
    "lp_pool2d": lambda f, x, y, i: f(picture(x), 2.0, 2),
    "local_response_norm": lambda f, x, y, i: f(x[None], 2),
    "channel_shuffle": lambda f, x, y, i: f(x[None, :, :, None], 3),
    "pixel_shuffle": lambda f, x, y, i: f(x.flatten()[None, :, None, None], 3),
    "pixel_unshuffle": lambda f, x, y, i: f(picture(x), 3),
    "interpolate upsample": lambda f, x, y, i: f(picture(x), scale_factor=2),
    "affine_grid": lambda f, x, y, i: f(x[None, :2], (1, 1, 3, 3)),
    "grid_sample": lambda f, x, y, i: f(picture(x), torch.stack([y, x / 0], -1)[None], align_corners=False),
}
"""How those are called that no few common arguments fit, by the last parts of their names."""

OF_NUMBERS_ALONE = {
    *(f"math.{name}" for name in ("ceil", "cos", "exp", "fabs", "floor", "isqrt", "log", "log10", "log1p", "log2")),
    *(f"math.{name}" for name in ("pow", "sin", "sqrt", "tan", "tanh", "trunc")),
    *(f"torch.{name}" for name in ("arange", "eye", "full", "ones", "zeros")),
}
OF_SHAPES = {"builtins.getattr", "dim", "ndimension", "nelement", "numel", "size"}
"""Not tried below: they are not given a tensor, or give none."""
FOR_WHICH_VMAP_HAS_NO_RULE = {"torch.column_stack"}
"""They fail, whatever they are given."""


def ways_of_calling(name):
    last = name.rpartition(".")[2]
    if name == "torch.nn.functional.unfold":
        last = "nn.unfold"
    yield from (call for names, call in CALLS.items() if last in names.split())
    for extra in SECOND:
        yield lambda f, x, y, i, extra=extra: f(x, *({"y": y, "index": i}.get(e, e) for e in extra))


def attempts(name, function):
    """What the operation gives for each of eight records, for every way of calling it that works."""
    draws = torch.Generator().manual_seed(2)
    rows = {key: torch.rand(8, 3, 3, generator=draws) + 0.1 for key in "xy"}
    rows["index"] = torch.randint(0, 3, (8, 3, 3), generator=draws)
    other = {key: values.clone() for key, values in rows.items()}
    for values in other.values():
        values[3] = values[3].roll(1) * 2 % 3
    for way in ways_of_calling(name):

        def call(given, way=way):
            return way(function, given["x"], given["y"], given["index"])

        try:
            yield [pytree.tree_leaves(torch.vmap(call, randomness="different")(batch)) for batch in (rows, other)]
        except (
            RuntimeError,
            TypeError,
            ValueError,
            LookupError,
            AttributeError,
            AssertionError,
            ArithmeticError,
            TaskError,
        ):
            continue


@pytest.mark.filterwarnings("ignore")
def test_no_operation_on_the_list_sees_another_record():
    """Every operation on the list that makes tensors of tensors, with every other record's bits compared."""
    tried, listed = set(), {name: f for name, f in (FUNCTIONS | METHODS).items() if name not in DROPOUT}
    for name, function in listed.items():
        for before, after in attempts(name, function):
            tried.add(name)
            for one, two in zip(before, after, strict=True):
                assert torch.equal(one[OTHERS[:7]].nan_to_num(), two[OTHERS[:7]].nan_to_num()), name
    assert set(listed) - tried == OF_NUMBERS_ALONE | OF_SHAPES | FOR_WHICH_VMAP_HAS_NO_RULE


class Picky(Text):
    """Its class numbers may be out of range: an operation fails on such a record."""

    def loss(self, model, batch):
        words, labels = batch
        return functional.cross_entropy(model(words).expand(-1, 3), labels.long())


@pytest.mark.parametrize(
    ("column", "value"), [(0, 10**6), (0, -1), (1, 7.0)], ids=["no such word", "a word below zero", "no such class"]
)
def test_a_record_that_cannot_be_computed_with_stops_nobody_and_shows_in_nothing_but_its_own_loss(column, value):
    task = Picky()
    model, batch = isolated(task), task.batch(COUNT)
    before = model.losses(batch)
    batch[column][3] = value
    after = model.losses(batch)
    assert after[3].isnan()
    assert torch.equal(before[[0, 1, 2, 4, 5, 6, 7, 8]], after[[0, 1, 2, 4, 5, 6, 7, 8]])
    assert not before.isnan().any()


def test_the_lanes_that_fail_are_found_on_the_device_that_computes(monkeypatch):
    """On one without memory, which every machine has: that no mask is made elsewhere is all that shows there."""
    task = Private()
    model = isolated(task).to(torch.device("meta"))
    seen, run = [], IsolatedModel._run

    def failing_at_first(self, graph, rows, failed, *, recording):
        seen.append(failed.device.type)
        if len(seen) == 1:
            raise OperationError
        return run(self, graph, rows, failed, recording=recording)

    monkeypatch.setattr(IsolatedModel, "_run", failing_at_first)
    model.recorded([values.to("meta") for values in task.batch(16)])
    assert seen == ["meta"] * (1 + 1 + 16 + 1)


def test_a_graph_that_works_on_no_record_is_an_error_that_quotes_none():
    class Wrong(Private):
        def loss(self, model, batch):
            return (model(batch[0]) @ batch[0][:, :3]).mean() * model(batch[0] @ batch[0]).mean()

    task = Wrong()
    with pytest.raises(TaskError, match=r"cannot be run: operator.matmul \(matmul\w*\) failed"):
        isolated(task).losses(task.batch(COUNT))


def test_no_error_on_the_way_to_that_one_quotes_a_record():
    class Wrong(Picky):
        def loss(self, model, batch):
            return super().loss(model, batch) + (batch[1] @ batch[0].float().T @ batch[1][:0]).mean()

    task = Wrong()
    batch = task.batch(COUNT)
    batch[1][3] = 31337
    with pytest.raises(TaskError, match=r"cannot be run: operator\.matmul") as refused:
        isolated(task).losses(batch)
    assert "31337" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (
            lambda m, b: functional.binary_cross_entropy_with_logits(m(b[0]).squeeze(1), b[1], reduction="none"),
            r"shape \(1,\)",
        ),
        (lambda m, b: (m(b[0]) > 0).long().sum(), r"shape \(\)"),
        (lambda m, b: b[0].shape, "not one number"),
    ],
    ids=["one a record", "a whole number", "a shape"],
)
def test_a_loss_that_is_not_one_number_is_named(loss, words):
    task = Private()
    task.loss = loss
    with pytest.raises(TaskError, match=words):
        isolated(task).losses(task.batch(2))


def test_a_batch_of_no_common_length_is_named():
    with pytest.raises(DataError, match="no common length"):
        isolated(Private()).losses((torch.zeros(3, 5), torch.zeros(2)))
