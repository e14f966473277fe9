"""Server optimizers against their published formulas, reckoned by hand, and against torch's own."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from consilia_workers.strategies.server_optimizers import BlockOptimizer, FedAdagrad, FedAdam, FedAvgM, FedYogi

KINDS = {
    "FedAvgM": partial(FedAvgM, learning_rate=0.7, momentum=0.9),
    "FedAdagrad": partial(FedAdagrad, learning_rate=0.1, tau=1e-3),
    "FedAdam": partial(FedAdam, learning_rate=0.1, beta1=0.9, beta2=0.99, tau=1e-3),
    "FedYogi": partial(FedYogi, learning_rate=0.1, beta1=0.9, beta2=0.99, tau=1e-3),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def of(kind):
    return BlockOptimizer(kind.func.SLOTS, kind)


def follow(optimizer, start, gradients):
    """The parameters and states after each round; the pseudo-gradient is base - combined."""
    base, state, steps = np.float32(start), None, []
    for gradient in gradients:
        result, state = optimizer.step(base, base.astype(np.float64) - gradient, state)
        base = result.astype(np.float32)
        steps.append((base, state))
    return steps


# Each table says: the round's pseudo-gradient g, then the state and the parameter after it.

# v ← v/2 + g, x ← x - v/4, from x = 10
MOMENTUM = [(2.0, [2.0], 9.5), (3.0, [4.0], 8.5), (-4.0, [-2.0], 9.0), (0.0, [-1.0], 9.25)]

# τ = 3: v ← v + g² from 9, x ← x - g / (√v + 3), from x = 1
ADAGRAD = [(4.0, [25.0], 1 / 2), (12.0, [169.0], -1 / 4), (-84.0, [7225.0], -1 / 4 + 84 / 88)]

# τ = 1, β₁ = β₂ = 1/2: m ← m/2 + g/2 from 0, v ← v/2 + g²/2 from 1, x ← x - m / (√v + 1), from x = 1
ADAM = [
    (1.0, [0.5, 1.0], 1 - 0.5 / 2),
    (7.0, [3.75, 25.0], 0.75 - 3.75 / 6),
    (-35.0, [-15.625, 625.0], 0.125 + 15.625 / 26),
]

# As Adam, but v ← v - g²/2 · sign(v - g²): stays where v = g², grows by 16/2, shrinks by (64/9)/2
YOGI = [
    (1.0, [0.5, 1.0], 1 - 0.5 / 2),
    (4.0, [2.25, 9.0], 0.75 - 2.25 / 4),
    (8 / 3, [59 / 24, 49 / 9], 0.1875 - (59 / 24) / (10 / 3)),
]

HALF = {"learning_rate": 1.0, "beta1": 0.5, "beta2": 0.5, "tau": 1.0}


@pytest.mark.parametrize(
    ("kind", "start", "table"),
    [
        (partial(FedAvgM, learning_rate=0.25, momentum=0.5), 10.0, MOMENTUM),
        (partial(FedAdagrad, learning_rate=1.0, tau=3.0), 1.0, ADAGRAD),
        (partial(FedAdam, **HALF), 1.0, ADAM),
        (partial(FedYogi, **HALF), 1.0, YOGI),
    ],
    ids=["FedAvgM", "FedAdagrad", "FedAdam", "FedYogi"],
)
def test_every_step_is_the_published_one(kind, start, table):
    steps = follow(of(kind), [start], [gradient for gradient, _, _ in table])
    for (parameter, state), (_, kept, expected) in zip(steps, table, strict=True):
        assert parameter.tolist() == pytest.approx([expected], rel=1e-6)
        assert [state[slot].item() for slot in kind.func.SLOTS] == pytest.approx(kept, rel=1e-6)


@pytest.mark.parametrize(
    ("ours", "torchs", "slot"),
    [
        (
            partial(FedAvgM, learning_rate=0.3, momentum=0.9),
            partial(torch.optim.SGD, lr=0.3, momentum=0.9),
            "momentum_buffer",
        ),
        (
            partial(FedAdagrad, learning_rate=0.1, tau=0.01),
            partial(torch.optim.Adagrad, lr=0.1, initial_accumulator_value=1e-4, eps=0.01),
            "sum",
        ),
    ],
    ids=["SGD", "Adagrad"],
)
def test_where_torch_has_the_same_formula_it_takes_the_same_steps(ours, torchs, slot):
    parameter, reference = (torch.linspace(-2, 2, 67) for _ in range(2))
    mine, theirs = ours([parameter]), torchs([reference])
    for gradient in torch.tensor(some_rounds(7)[1], dtype=torch.float32):
        parameter.grad = reference.grad = gradient
        mine.step()
        theirs.step()
        # torch fuses the last multiplication with the subtraction on some processors.
        torch.testing.assert_close(parameter, reference, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mine.state[parameter][ours.func.SLOTS[0]], theirs.state[reference][slot])


def some_rounds(seed, size=67, rounds=5):
    random = np.random.default_rng(seed)
    return random.standard_normal(size), random.standard_normal((rounds, size)) * 10.0 ** random.integers(-4, 2, size)


@every_kind
@given(seed=st.integers(0, 2**32 - 1))
def test_state_that_went_through_bytes_continues_an_optimizer_that_was_never_stopped(kind, seed):
    start, gradients = some_rounds(seed)
    parameter = torch.tensor(start, dtype=torch.float32)
    uninterrupted = kind([parameter])
    base, state = np.float32(start), None
    for gradient in gradients:
        combined = base - gradient
        result, after = of(kind).step(base, combined, state)
        state = {slot: np.frombuffer(array.tobytes(), "<f4") for slot, array in after.items()}
        parameter.grad = torch.tensor(base - combined, dtype=torch.float32)
        uninterrupted.step()
        base = result.astype(np.float32)
        assert base.tobytes() == parameter.numpy().tobytes()


@every_kind
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 67))
def test_blocks_may_be_cut_anywhere(kind, seed, cut):
    start, gradients = some_rounds(seed)
    whole = follow(of(kind), start, gradients)[-1][0]
    parts = [follow(of(kind), start[part], gradients[:, part])[-1][0] for part in (slice(cut), slice(cut, None))]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


@every_kind
def test_what_is_handed_in_is_left_as_it_is(kind):
    (base, state), *_ = follow(of(kind), [1.0, 2.0], [[0.5, -0.5]])
    before = {slot: array.copy() for slot, array in state.items()}
    base.flags.writeable = False
    of(kind).step(base, base + 1.0, state)
    assert all((state[slot] == before[slot]).all() for slot in before)
    assert all(array.dtype == np.float32 for array in state.values())


@every_kind
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes_take_the_same_steps(kind, dtype):
    base = np.array([1.0, -2.0, 0.25], dtype)
    combined = np.array([0.5, -2.5, 0.25])
    expected = of(kind).step(base.astype(np.float32), combined, None)[0]
    result, state = of(kind).step(base, combined, None)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    assert all(array.dtype == np.float32 for array in state.values())


def test_without_momentum_the_step_ends_at_the_mean():
    """FedAvg is FedAvgM with β = 0 and η = 1 (Hsu et al. 2019)."""
    base, combined = np.float32([1.0, -3.0, 0.0]), np.array([1.25, -3.5, 1e-8])
    result, _ = of(partial(FedAvgM, learning_rate=1.0, momentum=0.0)).step(base, combined, None)
    np.testing.assert_allclose(result, combined, rtol=1e-7)


def test_a_closure_computes_the_gradient_first_as_for_any_torch_optimizer():
    parameter = torch.tensor([3.0], requires_grad=True)
    optimizer = FedAvgM([parameter], learning_rate=0.5, momentum=0.0)

    def closure():
        loss = (parameter**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 9.0
    assert parameter.item() == 0.0


def test_a_server_optimizer_never_loads_torchs_compiler():
    """It would cost the aggregator seconds at the start and 160 MB."""
    script = (
        "import sys, numpy as np\n"
        "from consilia_workers.strategies.server_optimizers import BlockOptimizer, FedAvgM\n"
        "optimizer = BlockOptimizer(FedAvgM.SLOTS, lambda p: FedAvgM(p, learning_rate=1.0, momentum=0.9))\n"
        "optimizer.step(np.ones(3, np.float32), np.zeros(3), None)\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
