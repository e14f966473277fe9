"""When the cluster is silent: find out why, say so once, be patient for as long as the settings allow."""

import logging
import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Generic, TypeVar

from kafka.errors import KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata

from consilia.errors import ConsiliaError, LogUnavailableError, PermanentError
from consilia.kafka.diagnosis import diagnose
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.topic_diagnosis import diagnose_topics

logger = logging.getLogger("consilia.kafka")

SILENCE_SECONDS = 2.0
"""So long nothing is thought of it."""
_DIAGNOSIS_SECONDS = 2.5

Result = TypeVar("Result")


class Outage:
    """One party's experience of the cluster's silence. Not shared between threads."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is wrong at first."""
        self._settings = settings
        self._since: float | None = None

    def over(self) -> None:
        """The cluster has answered."""
        if self._since is not None:
            logger.info("Kafka at %s answers again after %.0f s", self._settings.where, monotonic() - self._since)
        self._since = None

    def suspect(self, doing: str, topics: Iterable[str] = ()) -> None:
        """It has been silent while `doing` something, with these topics if any: look why.

        Raises:
            ConsiliaError: somebody must act, or it has lasted too long.
        """
        error = diagnose(self._settings, _DIAGNOSIS_SECONDS) or diagnose_topics(self._settings, "use", topics)
        if isinstance(error, PermanentError):
            raise error
        if self._since is None:
            self._since = monotonic() - SILENCE_SECONDS
            why = error or "the cluster answers others, but not this"
            logger.warning("waiting to %s at Kafka %s: %s", doing, self._settings.where, why)
        if monotonic() - self._since > self._settings.delivery_seconds:
            raise error or self.timeout(doing)

    def timeout(self, doing: str) -> ConsiliaError:
        """What to raise where nothing more is known."""
        message = (
            f"cannot {doing} on Kafka at {self._settings.where} as {self._settings.principal}: "
            f"no answer in {self._settings.delivery_seconds:.0f} s."
        )
        return LogUnavailableError(message, remedy="See that enough brokers run, and try again.")

    def bounded(self, call: Callable[[], Result], doing: str, topics: Iterable[str] = ()) -> Result:
        """What `call` returns, which kafka-python may let wait for ever; the rest is as for `suspect`.

        Raises:
            ConsiliaError: somebody must act, or it has lasted too long; `call` is left behind in its own thread.
        """
        running = _Running(call)
        while not running.done.wait(SILENCE_SECONDS):
            self.suspect(doing, topics)
        self.over()
        return running.result()

    def awaited(self, future: FutureRecordMetadata, doing: str, topics: Iterable[str]) -> None:
        """Wait for one of kafka-python's futures.

        Raises:
            ConsiliaError: somebody must act, or it has lasted too long.
            KafkaError: what the future comes to.
        """
        while True:
            try:
                future.get(SILENCE_SECONDS)
            except KafkaTimeoutError:
                if future.is_done:
                    raise
                self.suspect(doing, topics)
            else:
                self.over()
                return


class _Running(Generic[Result]):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self.done = threading.Event()
        self._call = call
        self._values: list[Result] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._values.append(self._call())
        except BaseException as error:  # noqa: BLE001 (raised again by `result`, where it belongs)
            self._error = error
        self.done.set()

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._values[0]
