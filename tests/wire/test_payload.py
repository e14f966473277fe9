"""Payloads are checked chunk by chunk; the first byte that breaks a rule ends it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia.errors import Refusal, RefusedMessage
from consilia.log import CHUNK_BYTES, chunks
from consilia.wire.layout import Layout, Tensor
from consilia.wire.payload import PayloadCheck, describe

LAYOUT = Layout.of([
    Tensor(name="w", dtype=np.dtype("<f4"), shape=(CHUNK_BYTES // 4, 2)),
    Tensor(name="b", dtype=np.dtype("<f8"), shape=(5,)),
])  # fmt: skip


def model(layout: Layout = LAYOUT) -> bytearray:
    body = b"".join(np.full(t.shape, 0.5, t.dtype).tobytes() for t in layout.tensors)
    return bytearray(layout.header + body)


def feed(data: bytes | bytearray, *, announced: bytes | bytearray | None = None) -> PayloadCheck:
    check = PayloadCheck("clinic", describe([announced or data]), LAYOUT)
    for chunk in chunks(data):
        check.feed(chunk)
    return check


def refusal(data: bytes | bytearray, *, announced: bytes | bytearray | None = None) -> Refusal:
    with pytest.raises(RefusedMessage, match="clinic") as caught:
        feed(data, announced=announced)
    return caught.value.reason


def test_an_honest_payload_is_complete_at_its_last_chunk_only():
    data = list(chunks(model()))
    check = PayloadCheck("clinic", describe(data), LAYOUT)
    states = []
    for chunk in data:
        check.feed(chunk)
        states.append(check.complete)
    assert states == [False, False, True]


@given(st.integers(0, LAYOUT.size - 1), st.integers(1, 255))
def test_no_flipped_byte_gets_through(position, flip):
    data = model()
    data[position] ^= flip
    assert refusal(data, announced=model()) in {Refusal.WRONG_DIGEST, Refusal.WRONG_LAYOUT, Refusal.NOT_FINITE}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [len(LAYOUT.header), LAYOUT.size - 4])
def test_a_number_that_is_none_is_refused(value, position):
    data = model()
    dtype = np.float64 if position == len(LAYOUT.header) else np.float32
    data[position : position + dtype().nbytes] = dtype(value).tobytes()
    assert refusal(data) is Refusal.NOT_FINITE


def other(name: str, shape: tuple[int, ...], dtype: str = "<f4") -> Layout:
    return Layout.of([Tensor(name=name, dtype=np.dtype(dtype), shape=shape), LAYOUT.tensors[0]])


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        (other("v", (CHUNK_BYTES // 4, 2)), Refusal.WRONG_LAYOUT),
        (other("w", (2, CHUNK_BYTES // 4)), Refusal.WRONG_LAYOUT),
        (other("w", (CHUNK_BYTES // 2, 2), "<f2"), Refusal.WRONG_LAYOUT),
        (other("w", (CHUNK_BYTES // 4, 1)), Refusal.WRONG_LAYOUT),
        (other("w", (CHUNK_BYTES // 4, 9)), Refusal.OVERSIZED),
    ],
    ids=["name", "shape", "dtype", "smaller", "larger"],
)
def test_another_models_payload_is_refused(layout, reason):
    assert refusal(model(layout)) is reason


@pytest.mark.parametrize(
    ("length", "reason"), [(CHUNK_BYTES - 1, Refusal.TRUNCATED), (CHUNK_BYTES + 1, Refusal.OVERSIZED)]
)
def test_a_chunk_of_another_length_is_refused(length, reason):
    data = model()
    check = PayloadCheck("clinic", describe([data]), LAYOUT)
    with pytest.raises(RefusedMessage) as caught:
        check.feed(memoryview(data)[:length])
    assert caught.value.reason is reason
