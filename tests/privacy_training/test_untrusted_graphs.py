"""What a task's code may not do is refused where it is traced, and again where its graph is rebuilt."""

import json

import pytest
import torch
from private_tasks import Cnn, Logistic, Mlp, Private, Text
from torch import nn
from torch.nn import functional

from consilia.errors import TaskError
from consilia_workers.privacy.graph import GraphDescription
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy.tracing import describe


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 1e9


def mean(value):
    return value.mean()


CODE = {
    "if over values": (
        lambda m, x: mean(x) if mean(x) > 0 else mean(m(x)),
        r"test_untrusted_graphs.py:\d+.*control flow",
    ),
    "length": (lambda m, x: mean(m(x)) / len(x), r"test_untrusted_graphs.py:\d+"),
    "number of a tensor": (lambda m, x: mean(m(x)) * x.sum().item(), "Tensor.item at test_untrusted_graphs.py"),
    "own gradient": (lambda m, x: mean(Doubled.apply(m(x))), "Doubled, a torch.autograd.Function"),
    "in place": (lambda m, x: mean(m(x.add_(1))), r"Tensor.add_ at .*Write x = x.add\(...\)"),
    "activation in place": (lambda m, x: mean(functional.relu(x, inplace=True) + x), "works in place on a tensor"),
    "a view in place": (lambda m, x: mean(functional.relu((y := m(x)).view(-1), True)) + mean(y), "works in place"),
    "own random numbers": (lambda m, x: mean(m(x + torch.randn(5))), "random numbers of its own"),
    "random numbers like": (lambda m, x: mean(m(x + torch.randn_like(x))), "randn_like"),
    "memory as it is": (lambda m, x: mean(m(torch.empty_like(x))), "empty_like"),
    "data": (lambda m, x: mean(m(x.data)), r"cannot read .data of a tensor.*read T, device"),
    "parameters": (lambda m, x: mean(m(x)) + sum(p.square().sum() for p in m.parameters()), r"model.parameters\(\)"),
    "a layer of its own": (lambda m, x: mean(nn.Linear(5, 1)(x)), "Linear that is no part of its model"),
    "class weights": (
        lambda m, x: functional.cross_entropy(m(x).expand(-1, 2), (x[:, 0] > 0).long(), torch.ones(2)),
        'reduction="none"',
    ),
    "nothing of the batch": (lambda m, x: 3.0, "does not give one tensor"),
}


@pytest.mark.parametrize(("code", "words"), CODE.values(), ids=CODE)
def test_code_that_cannot_be_a_graph_is_named_with_the_way_out(code, words):
    task = Private()
    task.loss = lambda model, batch: code(model, batch[0])
    with pytest.raises(TaskError, match=words) as refused:
        describe(task)
    assert refused.value.remedy or "random" in words


def test_tracing_leaves_torch_as_it_was():
    before = (torch.zeros, torch.tensor, torch.autograd.Function.apply)
    describe(Private())
    assert before == (torch.zeros, torch.tensor, torch.autograd.Function.apply)


MODELS = {
    "normalised over the batch": (
        lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8)),
        r"layer 1 is a BatchNorm1d.*GroupNorm\(8, 8\)",
    ),
    "hooks": (lambda: hooked(nn.Linear(5, 1)), "has hooks"),
    "running statistics": (
        lambda: nn.Sequential(nn.Linear(5, 1), nn.InstanceNorm1d(1, track_running_stats=True)),
        "track_running_stats",
    ),
    "no size yet": (lambda: nn.LazyLinear(1), "has no shape yet"),
    "nothing to train": (lambda: nn.Linear(5, 1).requires_grad_(requires_grad=False), "no parameter to train"),
    "in half precision": (lambda: nn.Linear(5, 1, dtype=torch.float16), "trains weight, which is float16"),
    "in brain floats": (lambda: nn.Linear(5, 1).to(torch.bfloat16), "trains weight, which is bfloat16"),
    "of complex numbers": (lambda: nn.Linear(5, 1, dtype=torch.complex64), "complex64, which does not travel"),
}


def hooked(layer):
    layer.register_forward_hook(lambda *_: None)
    return layer


@pytest.mark.parametrize(("build", "words"), MODELS.values(), ids=MODELS)
def test_a_model_that_cannot_be_private_is_named(build, words):
    task = Private()
    task.made = build()
    with pytest.raises(TaskError, match=words):
        describe(task)


def test_what_is_frozen_may_be_in_half_precision():
    task = Private()
    task.made.register_buffer("table", torch.ones(5, dtype=torch.float16))
    task.loss = lambda model, batch: model(batch[0] * model.table.float()).mean()
    assert {entry.dtype for entry in rebuilt(task)} == {"float32", "float16"}


def rebuilt(task):
    description = describe(task)
    rebuild(description)
    return description.state


@pytest.mark.parametrize("option", [{"max_norm": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}])
def test_tables_that_write_or_count_across_records_are_named(option):
    task = Text()
    task.made.words = nn.Embedding(20, 6, **option)
    with pytest.raises(TaskError, match=f"the layer words .Embedding. has {next(iter(option))}="):
        describe(task)


def document(task):
    return json.loads(describe(task).to_json())


def refused(changed, words):
    with pytest.raises(TaskError, match=words):
        rebuild(GraphDescription.from_json(json.dumps(changed)))


@pytest.mark.parametrize(
    "target",
    [
        *("torch.save", "torch.load", "torch.empty", "torch.as_strided", "torch.randn", "torch.rand_like"),
        *("torch.from_file", "torch.set_num_threads", "torch.nn.functional.batch_norm", "torch.vmap", "torch.add_"),
        *("torch.nn.functional.gumbel_softmax", "builtins.eval", "builtins.print", "os.system", "operator.setitem"),
        *("operator.attrgetter", "torch._C._functorch._remove_batch_dim"),
    ],
)
def test_a_function_that_is_not_on_the_list_is_not_run(target):
    changed = document(Mlp())
    node = next(node for node in changed["loss"]["nodes"] if node["op"] == "function")
    node["target"] = target
    refused(changed, f"uses {target}")


@pytest.mark.parametrize(
    "target",
    [
        *(
            "item",
            "tolist",
            "numpy",
            "data_ptr",
            "add_",
            "copy_",
            "set_",
            "resize_",
            "backward",
            "register_hook",
            "cuda",
        ),
        *("__reduce_ex__", "untyped_storage", "random_", "normal_", "bernoulli", "as_strided", "new_empty", "apply_"),
        *("retain_grad", "requires_grad_", "to_sparse", "share_memory_"),
    ],
)
def test_a_method_that_is_not_on_the_list_is_not_run(target):
    changed = document(Logistic())
    node = next(node for node in changed["loss"]["nodes"] if node["op"] == "method")
    node["target"] = target
    refused(changed, f"uses {target}")


@pytest.mark.parametrize("attribute", ["__class__", "data", "grad", "grad_fn", "__dict__", "_base", "is_cuda"])
def test_an_attribute_that_is_not_on_the_list_is_not_read(attribute):
    task = Private()
    task.loss = lambda model, batch: model(batch[0] * batch[0].shape[1]).mean()
    changed = document(task)
    node = next(node for node in changed["loss"]["nodes"] if node["target"] == "builtins.getattr")
    node["args"][1] = {"kind": "text", "value": attribute}
    with pytest.raises(TaskError, match="reads the attribute"):
        rebuild(GraphDescription.from_json(json.dumps(changed))).losses(task.batch(2))


def test_a_tensor_cannot_be_written_out_as_text():
    """It would be that of all lanes: `"%r" % x`, and then one letter of it compared."""
    task = Private()
    task.loss = lambda model, batch: model(batch[0] % 2).mean()
    changed = document(task)
    node = next(node for node in changed["loss"]["nodes"] if node["target"] == "operator.mod")
    node["args"] = [{"kind": "text", "value": "%r"}, node["args"][0]]
    with pytest.raises(TaskError, match=r"operator.mod \(mod\) failed: it gave a str"):
        rebuild(GraphDescription.from_json(json.dumps(changed))).losses(task.batch(2))


@pytest.mark.parametrize(
    "keyword",
    [
        {"out": {"kind": "node", "name": "batch"}},
        {"generator": {"kind": "int", "value": 1}},
        {"device": {"kind": "text", "value": "meta"}},
    ],
    ids=["out", "generator", "device"],
)
def test_a_keyword_that_is_not_allowed_is_refused(keyword):
    changed = document(Mlp())
    node = next(node for node in changed["loss"]["nodes"] if node["op"] == "function")
    node["kwargs"] = keyword
    refused(changed, "the task's graph")


def edit_layer(document, **fields):
    document["layers"][0] |= fields


def edit_argument(document, name, value):
    document["layers"][0]["arguments"][name] = value


NUMBER = {"kind": "int", "value": 2**40}
CIRCULAR = {"kind": "text", "value": "circular"}
A_NODE = {"kind": "node", "name": "batch"}
DAMAGE = {
    "another type": (Cnn, lambda d: edit_layer(d, type="BatchNorm2d"), "BatchNorm2d, which cannot be run"),
    "no type": (Cnn, lambda d: edit_layer(d, type="os.system"), "cannot be run"),
    "an argument too many": (Cnn, lambda d: edit_argument(d, "device", {"kind": "text", "value": "cuda"}), "has not"),
    "a size too large": (Cnn, lambda d: edit_argument(d, "out_channels", NUMBER), "argument out_channels"),
    "another size": (Cnn, lambda d: edit_argument(d, "out_channels", {"kind": "int", "value": 3}), "of a shape"),
    "other padding": (Cnn, lambda d: edit_argument(d, "padding_mode", CIRCULAR), "padding_mode"),
    "a node for a size": (Cnn, lambda d: edit_argument(d, "stride", A_NODE), "from the node"),
    "a tensor missing": (Cnn, lambda d: d["state"].pop(0), "lacks the tensor"),
    "a layer missing": (Cnn, lambda d: d["layers"].pop(0), "does not describe"),
    "a tensor too much": (Cnn, lambda d: d["state"][0].update(name="forward"), "forward"),
    "a tensor too large": (Mlp, lambda d: d["state"][0].update(shape=[2**20, 2**20]), "more than"),
    "tied to nothing": (Mlp, lambda d: d["state"][2].update(tied_to="nothing"), "ties 2.weight to nothing"),
    "a value missing": (Mlp, lambda d: d["state"][2].update(role="frozen"), "lack 2.weight"),
    "whole numbers trained": (Mlp, lambda d: d["state"][2].update(dtype="int64"), "trains 2.weight"),
    "half precision trained": (Mlp, lambda d: d["state"][2].update(dtype="float16"), "trains 2.weight, .* float16"),
    "brain floats trained": (Mlp, lambda d: d["state"][2].update(dtype="bfloat16"), "trains 2.weight, .* bfloat16"),
    "no values": (Mlp, lambda d: d.update(values="AAAA"), "no safetensors file"),
    "backwards": (Mlp, lambda d: d["loss"]["nodes"].reverse(), "not computed before"),
    "unknown field": (Mlp, lambda d: d.update(code="print(1)"), "not well formed at code"),
    "a name as a path": (Mlp, lambda d: d["state"][0].update(name="../x"), "state.0.name"),
    "two of a name": (Mlp, lambda d: d["state"].append(d["state"][0]), "one name"),
    "too deep": (Mlp, lambda d: d["loss"].update(output=nested(9)), "nests deeper"),
    "far too deep": (Mlp, lambda d: d["loss"].update(output=nested(150)), "not well formed"),
    "another version": (Mlp, lambda d: d.update(version=2), "at version"),
    "no number": (Mlp, lambda d: d["loss"].update(output={"kind": "float", "value": "1e1e1"}), "not well formed"),
}  # fmt: skip


def nested(depth):
    inner = {"kind": "none"}
    for _ in range(depth):
        inner = {"kind": "tuple", "items": [inner]}
    return inner


@pytest.mark.parametrize(("kind", "damage", "words"), DAMAGE.values(), ids=DAMAGE)
def test_a_description_that_does_not_fit_together_is_refused(kind, damage, words):
    changed = document(kind())
    damage(changed)
    refused(changed, words)
