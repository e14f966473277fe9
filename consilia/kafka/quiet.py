"""Keeps kafka-python's log to what a person needs: while a broker is away it repeats itself ten times a second.

What we find out and report ourselves, once and with its cause, becomes a matter of DEBUG. Everything else stays, but
the same message comes once a minute, with the number of times that it was left out.
"""

import logging
import time
from collections import Counter

_REPORTED = ("kafka.cluster", "kafka.net.connection", "kafka.net.inet", "kafka.net.manager", "kafka.net.transport")
"""Who connects and looks for brokers: every failure there ends in a diagnosis of ours, or passes."""
_REPEATING = (
    "kafka.admin.client",
    "kafka.consumer.fetcher",
    "kafka.coordinator.consumer",
    "kafka.net.selector",
    "kafka.producer.kafka",
    "kafka.producer.producer_batch",
    "kafka.producer.record_accumulator",
    "kafka.producer.sender",
    "kafka.producer.transaction_manager",
    "kafka.protocol.parser",
)
_REPEATED_AFTER = 60.0
"""In seconds."""


def quieten() -> None:
    """Do so for this process; a second time changes nothing."""
    for name in _REPORTED:
        _add(name, Demotion())
    for name in _REPEATING:
        _add(name, Repetition())


def _add(name: str, found: logging.Filter) -> None:
    logger = logging.getLogger(name)
    if not any(type(each) is type(found) for each in logger.filters):
        logger.addFilter(found)


class Demotion(logging.Filter):
    """Makes every record one of DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether anybody wants it still."""
        if record.levelno > logging.DEBUG:
            record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


class Repetition(logging.Filter):
    """Lets what one line of the code says about one kind of error through once in a while."""

    def __init__(self) -> None:
        """Nothing has been let through yet."""
        super().__init__()
        self._told: dict[object, float] = {}
        self._left_out: Counter[object] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it was not told lately."""
        if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            return True
        subject, now = _subject(record), time.monotonic()
        if now - self._told.get(subject, -_REPEATED_AFTER) < _REPEATED_AFTER:
            self._left_out[subject] += 1
            return False
        self._told[subject] = now
        if count := self._left_out.pop(subject, 0):
            record.msg = f"{record.msg} ({count} more like it)"
        return True


def _subject(record: logging.LogRecord) -> object:
    arguments = record.args if isinstance(record.args, tuple) else ()
    return record.name, record.lineno, *(type(each) for each in arguments if isinstance(each, Exception))
