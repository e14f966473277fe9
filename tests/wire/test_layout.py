"""Models as bytes: our layout is the safetensors format, and chunks cut it at the same places for everybody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from consilia.errors import TaskError
from consilia.log import CHUNK_BYTES, chunks
from consilia.wire.layout import DTYPES, Layout, Tensor

names = st.text(st.characters(categories=["L", "N"], include_characters="._"), min_size=1, max_size=20).filter(
    "__metadata__".__ne__
)
shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
tensors = st.builds(
    Tensor, name=names, dtype=st.sampled_from(list(DTYPES.values())), shape=shapes, trainable=st.booleans()
)
models = st.lists(tensors, min_size=1, max_size=8, unique_by=lambda t: t.name).filter(
    lambda ts: any(t.trainable for t in ts)
)


def file_of(layout: Layout, seed: int = 0) -> bytes:
    random = np.random.default_rng(seed)
    return layout.header + b"".join(random.normal(size=t.shape).astype(t.dtype).tobytes() for t in layout.tensors)


@given(models)
def test_a_layout_survives_its_own_header(model):
    layout = Layout.of(model)
    assert Layout.parse(layout.header).tensors == layout.tensors


@given(models)
def test_the_safetensors_library_reads_what_we_write(model):
    layout = Layout.of(model)
    data = file_of(layout)
    theirs, ours = load(data), layout.view(data)
    assert set(theirs) == set(ours)
    assert all(np.array_equal(theirs[name], ours[name]) for name in ours)


def test_without_buffers_the_bytes_are_those_the_library_writes():
    random = np.random.default_rng(1)
    arrays = {name: random.normal(size=(3, 2)).astype(np.float32) for name in ("b.weight", "a.weight", "a.bias")}
    layout = Layout.of([Tensor(name=n, dtype=a.dtype, shape=a.shape) for n, a in arrays.items()])
    assert layout.header + b"".join(arrays[t.name].tobytes() for t in layout.tensors) == save(arrays)


@given(models)
def test_spans_cover_every_number_once_and_in_order(model):
    layout = Layout.of(model)
    data = file_of(layout)
    pieces = [
        span.of(chunk).tobytes() for chunk, spans in zip(chunks(data), layout.spans, strict=True) for span in spans
    ]
    assert b"".join(pieces) == data[len(layout.header) :]


def test_spans_of_a_large_model_stop_at_the_chunks_ends():
    shape = (CHUNK_BYTES // 4 + 100,)
    layout = Layout.of([
        Tensor(name="a", dtype=np.dtype("<f4"), shape=shape),
        Tensor(name="b", dtype=np.dtype("<f4"), shape=shape, trainable=False),
    ])  # fmt: skip
    assert [[(s.stop - s.start, s.trainable) for s in spans] for spans in layout.spans] == [
        [(CHUNK_BYTES - len(layout.header), True)],
        [(400 + len(layout.header), True), (CHUNK_BYTES - 400 - len(layout.header), False)],
        [(800 + len(layout.header), False)],
    ]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda header: header[:20], "does not begin"),
        (lambda header: header.replace(b'"F32"', b'"I64"'), "does not begin"),
        (lambda header: header.replace(b"[0,24]", b"[8,32]"), "canonical"),
        (lambda header: b"\xff" * 8 + header[8:], "canonical"),
        (lambda header: b"", "does not begin"),
    ],
)
def test_a_damaged_model_file_is_refused(damage, words):
    header = Layout.of([Tensor(name="w", dtype=np.dtype("<f4"), shape=(2, 3))]).header
    with pytest.raises(TaskError, match=words):
        Layout.parse(damage(header))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ([Tensor(name="n", dtype=np.dtype("i8"), shape=(1,))], "int64"),
        ([Tensor(name="b", dtype=np.dtype("f4"), shape=(1,), trainable=False)], "no parameter to train"),
        ([Tensor(name="w", dtype=np.dtype("f4"), shape=(1,))] * 2, "same name"),
        ([Tensor(name="__metadata__", dtype=np.dtype("f4"), shape=(1,))], "is named __metadata__"),
    ],
)
def test_a_model_that_cannot_travel_is_refused(model, words):
    with pytest.raises(TaskError, match=words):
        Layout.of(model)
