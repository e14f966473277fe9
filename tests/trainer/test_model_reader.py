"""The global model is checked before it is used, and a newer one is no surprise."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import sleep

import numpy as np
import pytest

from consilia.errors import RecordGoneError, Refusal, RefusedMessage
from consilia.log import CHUNK_BYTES, chunks
from consilia.log.opening import open_log, sqlite_url
from consilia.wire.layout import Layout, Tensor
from consilia.wire.messages import Payload
from consilia.wire.payload import describe
from consilia_workers.model_reader import VERSION, ModelReader

LAYOUT = Layout.of([Tensor(name="w", dtype=np.dtype("<f4"), shape=(CHUNK_BYTES // 4, 2))])
TOPIC = "consilia.model.job"


def model(value: float, layout: Layout = LAYOUT) -> bytes:
    return layout.header + b"".join(np.full(t.shape, value, t.dtype).tobytes() for t in layout.tensors)


@pytest.fixture
def log(tmp_path):
    log = open_log(sqlite_url(tmp_path))
    log.create_topic(TOPIC, compacted=True)
    yield log
    log.close()


def publish(log, version: int, data: bytes, *, missing: int | None = None, key: str = "model/{}") -> Payload:
    with log.producer("aggregator").transaction() as transaction:
        for index, chunk in enumerate(chunks(data)):
            if index != missing:
                transaction.append(TOPIC, chunk, key=key.format(index), headers={VERSION: str(version)})
    return describe([data])


def test_a_model_is_read_as_it_was_published(log):
    payload = publish(log, 0, model(0.5))
    assert ModelReader(log, TOPIC, LAYOUT).read(payload, 0) == model(0.5)


def test_a_model_can_be_read_twice_and_the_next_one_after_it(log):
    """Evaluation reads the last round's model again, which is the newest on the topic."""
    reader = ModelReader(log, TOPIC, LAYOUT)
    first = publish(log, 0, model(0.5))
    assert reader.read(first, 0) == reader.read(first, 0) == model(0.5)
    assert reader.read(publish(log, 1, model(0.7)), 1) == model(0.7)


def test_a_model_that_was_replaced_is_gone(log):
    first = publish(log, 0, model(0.5))
    second = publish(log, 1, model(0.7))
    reader = ModelReader(log, TOPIC, LAYOUT)
    with pytest.raises(RecordGoneError):
        reader.read(first, 0)
    assert reader.read(second, 1) == model(0.7)


def test_a_model_with_a_hole_is_gone(log):
    payload = publish(log, 0, model(0.5), missing=1)
    with pytest.raises(RecordGoneError, match="1 chunks"):
        ModelReader(log, TOPIC, LAYOUT, patience=0).read(payload, 0)


def test_a_model_that_was_announced_before_it_can_be_read_is_waited_for(log, tmp_path):
    payload = describe([model(0.5)])

    def later():
        with closing(open_log(sqlite_url(tmp_path))) as other:
            sleep(0.3)
            publish(other, 3, model(0.5))

    with ThreadPoolExecutor() as others:
        publishing = others.submit(later)
        assert ModelReader(log, TOPIC, LAYOUT).read(payload, 3) == model(0.5)
        publishing.result()


OTHER = Layout.of([Tensor(name="v", dtype=np.dtype("<f4"), shape=(CHUNK_BYTES // 4, 2))])
SMALL = Layout.of([Tensor(name="w", dtype=np.dtype("<f4"), shape=(1,))])


@pytest.mark.parametrize(
    ("published", "announced", "reason"),
    [
        (model(0.5), describe([model(0.6)]), Refusal.WRONG_DIGEST),
        (model(0.5, OTHER), describe([model(0.5, OTHER)]), Refusal.WRONG_LAYOUT),
        (model(0.5, SMALL), describe([model(0.5, SMALL)]), Refusal.WRONG_LAYOUT),
    ],
    ids=["other bytes", "another name", "another size"],
)
def test_another_model_than_announced_or_agreed_is_refused(log, published, announced, reason):
    publish(log, 0, published)
    with pytest.raises(RefusedMessage) as caught:
        ModelReader(log, TOPIC, LAYOUT).read(announced, 0)
    assert caught.value.reason is reason


@pytest.mark.parametrize("key", ["model/x{}", "model", "model/9{}"])
def test_rubbish_on_the_model_topic_is_malformed(log, key):
    payload = publish(log, 0, model(0.5), key=key)
    with pytest.raises(RefusedMessage) as caught:
        ModelReader(log, TOPIC, LAYOUT).read(payload, 0)
    assert caught.value.reason is Refusal.MALFORMED
