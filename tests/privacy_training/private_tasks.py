"""Tasks that honest people write, for the tests of private training: each with made-up records."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from consilia_workers.privacy.graph import GraphDescription
from consilia_workers.privacy.isolation import IsolatedModel
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy.tracing import describe
from consilia_workers.task import Task


class Private(Task):
    """One probability from a few numbers; `made` is the one model, so that its values can be compared."""

    def __init__(self, parameters=None):
        super().__init__(parameters or {})
        torch.manual_seed(1)
        self.made = self.build()

    def build(self) -> nn.Module:
        return nn.Linear(5, 1)

    def model(self):
        return self.made

    def loss(self, model, batch):
        features, labels = batch
        return functional.binary_cross_entropy_with_logits(model(features).squeeze(1), labels)

    def predict(self, model, batch):
        features, labels = batch
        return torch.sigmoid(model(features).squeeze(1)), labels

    def data(self, source, split):
        features, labels = self.batch(20)
        return list(zip(features, labels, strict=True))

    def batch(self, count: int, seed: int = 0) -> Any:
        draws = torch.Generator().manual_seed(seed)
        return torch.randn(count, 5, generator=draws), torch.randint(0, 2, (count,), generator=draws).float()


class Logistic(Private):
    pass


class Mlp(Private):
    def build(self):
        layers = [
            nn.Linear(5, 16),
            nn.ReLU(inplace=True),
            nn.Linear(16, 8),
            nn.LayerNorm(8),
            nn.Tanh(),
            nn.Linear(8, 1),
        ]
        return nn.Sequential(*layers)


class Residual(Private):
    """A layer that is used twice, and parameters outside of layers, one a single number."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.inner, self.out = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 1)
            self.scale, self.norm = nn.Parameter(torch.full((8,), 0.5)), nn.RMSNorm(8)
            self.heat = nn.Parameter(torch.tensor(2.0))

        def forward(self, x):
            h = functional.relu(self.into(x))
            h = h + self.scale * functional.gelu(self.inner(self.norm(h)))
            return self.out(h + self.inner(h)) / self.heat

    def build(self):
        return self.Model()


class Cnn(Private):
    """Three classes of images."""

    def build(self):
        return nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 8, 3, padding="same", groups=2, bias=False), nn.InstanceNorm2d(8, affine=True), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
        )

    def loss(self, model, batch):
        images, classes = batch
        return functional.cross_entropy(model(images), classes)

    def predict(self, model, batch):
        images, classes = batch
        return torch.softmax(model(images), dim=1), classes

    def batch(self, count, seed=0):
        draws = torch.Generator().manual_seed(seed)
        return torch.randn(count, 1, 12, 12, generator=draws), torch.randint(0, 3, (count,), generator=draws)


class Text(Private):
    """The mean of word vectors, without the padding."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.out = nn.Embedding(20, 6, padding_idx=0), nn.Linear(6, 1)

        def forward(self, x):
            there = (x != 0).float().unsqueeze(-1)
            return self.out((self.words(x) * there).sum(1) / there.sum(1).clamp(min=1))

    def build(self):
        return self.Model()

    def batch(self, count, seed=0):
        draws = torch.Generator().manual_seed(seed)
        words = torch.randint(0, 20, (count, 7), generator=draws)
        return words, torch.randint(0, 2, (count,), generator=draws).float()


class Tied(Text):
    """The same matrix reads and writes words; layers without a formula of their own between."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.out = nn.Embedding(20, 6), nn.Linear(6, 20, bias=False)
            self.out.weight = self.words.weight
            self.up, self.bend = nn.ConvTranspose1d(6, 6, 2), nn.PReLU()

        def forward(self, x):
            return self.out(self.bend(self.up(self.words(x).transpose(1, 2))).transpose(1, 2)[:, :-1])

    def loss(self, model, batch):
        words, _ = batch
        return functional.cross_entropy(model(words[:, :-1]).flatten(0, 1), words[:, 1:].flatten())

    def predict(self, model, batch):
        return model(batch[0]).mean((1, 2)), batch[1]


class Lstm(Private):
    """Two layers in both directions."""

    kind, options, wide = nn.LSTM, {"batch_first": True, "num_layers": 2, "bidirectional": True}, 12

    class Model(nn.Module):
        def __init__(self, task):
            super().__init__()
            self.first = task.options.get("batch_first", False)
            self.reads, self.out = task.kind(4, 6, **task.options), nn.Linear(task.wide, 1)

        def forward(self, x):
            outputs, state = self.reads(x if self.first else x.transpose(0, 1))
            outputs = outputs if self.first else outputs.transpose(0, 1)
            state = state[0] if isinstance(self.reads, nn.LSTM) else state
            return self.out(outputs[:, -1]) + state.transpose(0, 1).flatten(1).mean(1, keepdim=True)

    def build(self):
        return self.Model(self)

    def batch(self, count, seed=0):
        draws = torch.Generator().manual_seed(seed)
        series = torch.randn(count, 5, 4, generator=draws)
        return series, torch.randint(0, 2, (count,), generator=draws).float()


class Gru(Lstm):
    kind, options, wide = nn.GRU, {}, 6


class Rnn(Lstm):
    kind, options, wide = nn.RNN, {"batch_first": True, "nonlinearity": "relu", "bias": False}, 6


class Attention(Lstm):
    """A token of its own, positions from a table, attention, a residual connection."""

    class Model(nn.Module):
        def __init__(self, task):
            super().__init__()
            self.into, self.place = nn.Linear(4, 8), nn.Embedding(5, 8)
            self.attend, self.norm, self.out = (
                nn.MultiheadAttention(8, 2, batch_first=True),
                nn.LayerNorm(8),
                nn.Linear(8, 1),
            )
            self.token = nn.Parameter(torch.randn(1, 1, 8))

        def forward(self, x):
            h = self.into(x) + self.place(torch.arange(x.shape[1], device=x.device))
            h = torch.cat([self.token.expand(x.shape[0], -1, -1), h], dim=1)
            mixed, _ = self.attend(h, h, h, need_weights=False)
            return self.out(self.norm(h + mixed)[:, 0])


class Masked(Lstm):
    """Attention that looks back only and not at what is missing, three matrices of its own, weights; a given start."""

    class Model(nn.Module):
        def __init__(self, task):
            super().__init__()
            self.attend, self.reads = nn.MultiheadAttention(4, 2, kdim=4, vdim=6), nn.GRU(4, 6, batch_first=True)
            self.wider, self.out = nn.Linear(4, 6), nn.Linear(6, 1)
            self.register_buffer("ahead", torch.ones(5, 5).triu(1).bool())

        def forward(self, x):
            missing = (x[:, :, 0] < -0.5) & (torch.arange(5) > 0)
            steps = x.transpose(0, 1)
            given = (steps, steps, self.wider(steps))
            mixed, weights = self.attend(*given, key_padding_mask=missing, attn_mask=self.ahead)
            outputs, _ = self.reads(
                mixed.transpose(0, 1) + weights.mean(2)[:, :, None], x.new_zeros(1, x.shape[0], 6) + 0.1
            )
            return self.out(outputs[:, -1])


class Weighted(Private):
    """Records as dicts, buffers of all kinds, a loss with a weight."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(5, 1)
            self.register_buffer("weight_of_yes", torch.tensor(3.0))
            self.register_buffer("centre", torch.full((5,), 0.1), persistent=False)
            self.register_buffer("count", torch.tensor(3))

        def forward(self, x):
            return self.out(x - self.centre)

    def build(self):
        return self.Model()

    def loss(self, model, batch):
        logits = model(batch["x"]).squeeze(1)
        return functional.binary_cross_entropy_with_logits(logits, batch["y"], pos_weight=model.weight_of_yes)

    def predict(self, model, batch):
        return torch.sigmoid(model(batch["x"])[:, 0]), batch["y"]

    def batch(self, count, seed=0):
        features, labels = super().batch(count, seed)
        return {"x": features, "y": labels}


HONEST = [Logistic, Mlp, Residual, Cnn, Text, Tied, Lstm, Gru, Rnn, Attention, Masked, Weighted]


def isolated(task: Private, lanes: int = 16) -> IsolatedModel:
    """The task as the trusted process sees it, with the values of the task's own model."""
    model = rebuild(GraphDescription.from_json(describe(task).to_json()), lanes=lanes)
    model.module.load_state_dict(task.made.state_dict())
    return model


def records(batch: Any, rows: Any) -> Any:
    """Some records of a batch."""
    return pytree.tree_map(lambda values: values[rows], batch)


def one_by_one(function: Any, model: nn.Module, batch: Any, count: int) -> list[Any]:
    """What a task's own function gives for batches of one record."""
    return [function(model, records(batch, slice(k, k + 1))) for k in range(count)]


def clipped_one_by_one(task: Private, batch: Any, count: int, max_norm: float) -> list[Tensor]:
    """The sum of clipped gradients, by autograd on the task's own code, one record after the other."""
    parameters = [p for p in task.made.parameters() if p.requires_grad]
    total = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    for loss in one_by_one(task.loss, task.made, batch, count):
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        gradient = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
        norm = torch.sqrt(sum(g.double().square().sum() for g in gradient))
        total = [t + g * min(1.0, max_norm / float(norm)) for t, g in zip(total, gradient, strict=True)]
    return total
