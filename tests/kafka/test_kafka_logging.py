"""What a hospital's log shows of a Kafka that is away: one clear line, not hundreds, and nothing hidden that is new."""

import logging
import time
from contextlib import closing

import pytest

from consilia.errors import LogUnavailableError
from consilia.kafka import quiet
from consilia.kafka.log import KafkaLog
from consilia.kafka.quiet import quieten


@pytest.fixture
def sender():
    """One of the loggers that repeat themselves, as if nothing had been said on it."""
    quieten()
    logger = logging.getLogger("kafka.producer.sender")
    (found,) = [each for each in logger.filters if isinstance(each, quiet.Repetition)]
    logger.removeFilter(found)
    quieten()
    return logger


def complain(logger, error, times=1):
    for _ in range(times):
        logger.error("cannot send to node %d: %s", 1, error)


def test_who_connects_is_only_heard_by_who_asks_for_it(caplog):
    quieten()
    logger = logging.getLogger("kafka.net.manager")
    logger.error("Connection failed: %s", "refused")
    assert not caplog.records
    with caplog.at_level(logging.DEBUG, "kafka"):
        logger.error("Connection failed: %s", "refused")
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [("DEBUG", "Connection failed: refused")]


def test_the_same_is_said_once_and_another_error_at_once(sender, caplog):
    complain(sender, ValueError("a"), times=50)
    complain(sender, KeyError("b"), times=50)
    assert [each.getMessage() for each in caplog.records] == [
        "cannot send to node 1: a",
        "cannot send to node 1: 'b'",
    ]


def test_after_a_minute_it_is_said_again_with_the_number_that_was_left_out(sender, caplog, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(quiet.time, "monotonic", lambda: now)
    complain(sender, ValueError("a"), times=50)
    now += 61
    complain(sender, ValueError("c"))
    assert caplog.messages[1:] == ["cannot send to node 1: c (49 more like it)"]


def test_who_asks_for_everything_gets_everything(sender, caplog):
    with caplog.at_level(logging.DEBUG, "kafka"):
        complain(sender, ValueError("a"), times=3)
    assert len(caplog.records) == 3


def test_quietening_twice_changes_nothing():
    quieten()
    before = list(logging.getLogger("kafka.cluster").filters)
    quieten()
    assert logging.getLogger("kafka.cluster").filters == before


@pytest.mark.slow
def test_a_broker_that_is_away_for_seconds_costs_a_few_lines(killable_broker, caplog):
    broker = killable_broker()
    with closing(KafkaLog(broker.settings.model_copy(update={"delivery_seconds": 4.0}))) as log:
        log.create_topic("t")
        producer = log.producer("p")
        with producer.transaction() as transaction:
            transaction.append("t", b"x")
        broker.kill()
        with pytest.raises(LogUnavailableError), producer.transaction() as transaction:
            transaction.append("t", b"x")
        with pytest.raises(LogUnavailableError):
            log.wait({"t": 10}, 20)
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("consilia")]
    assert f"{broker.bootstrap} refuses connections" in ours[0]
    assert len(ours) <= 2
    theirs = [each for each in caplog.records if each.name.startswith("kafka")]
    assert len(theirs) <= 5
