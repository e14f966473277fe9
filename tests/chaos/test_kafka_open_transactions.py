"""Over Kafka, a transaction left open holds nobody up for longer than it takes to replace who opened it."""

import os
import signal
from contextlib import closing
from time import monotonic

import pytest
from chaos import results
from gated import Wide
from kafka.admin import OffsetSpec

from consilia.kafka.connection import make_admin
from consilia.kafka.feed import partition
from consilia.kafka.log import KafkaLog
from consilia.log import topics
from consilia.wire.messages import RoundClosed
from consilia_workers.local.folder import AGGREGATOR
from consilia_workers.rounds.recovery import find_model

ABANDONED = 3.0
"""After so long the broker aborts a transaction, in seconds; it looks every ten."""


class Ends:
    """Up to where a topic can be read, and up to where it was written."""

    def __init__(self, admin, topic):
        self._admin, self._partition = admin, partition(topic)

    def _end(self, level):
        found = self._admin.list_partition_offsets({self._partition: OffsetSpec.LATEST}, isolation_level=level)
        return found[self._partition].offset

    @property
    def apart(self):
        """Whether a transaction is open on it."""
        return self._end("read_committed") < self._end("read_uncommitted")


def stop_inside_transaction(stage, party, ends):
    """Stop a process in the middle of a transaction."""

    def caught():
        if not ends.apart:
            return False
        pid = stage.processes.pids()[party]
        os.kill(pid, signal.SIGSTOP)
        until = monotonic() + 0.5  # what it had said by then may still be on its way
        while ends.apart:
            if monotonic() > until:
                return True
        os.kill(pid, signal.SIGCONT)
        return False

    stage.until(caught)


@pytest.fixture
def ends(kafka_settings):
    """By topic."""
    with make_admin(kafka_settings) as admin:
        yield lambda topic: Ends(admin, topic)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "replaced"])
def test_an_aggregator_lost_inside_its_transaction_holds_readers_up_until_its_successor_is_there(
    stage, ends, kafka_settings, how
):
    job = stage(f"aggregator-{how}-inside", rounds=8, task=Wide, deadline=5)
    model = ends(topics.model(job.job.log_name))
    job.start()
    job.until(lambda: job.rounds >= 2)
    stop_inside_transaction(job, AGGREGATOR, model)
    lost, closed = monotonic(), len(results(job.replay()))
    with closing(KafkaLog(kafka_settings)) as log:
        assert find_model(log, job.job.log_name, closed).offsets, "the newest model cannot be read meanwhile"
    if how == "killed":
        job.signal(AGGREGATOR, signal.SIGKILL)
    else:
        job.start_one(AGGREGATOR, name="(second)")
    job.until(lambda: not model.apart)
    free = monotonic() - lost
    job.until(lambda: job.rounds > closed)
    print(f"{how}: readable to its end after {free:.1f} s, the next round closed after {monotonic() - lost:.1f} s")
    if how == "replaced":
        job.expected_to_fail.add(AGGREGATOR)
        job.signal(AGGREGATOR, signal.SIGCONT)
        job.until(lambda: AGGREGATOR in job.ended)
        assert job.gave_way(AGGREGATOR)
    job.finish()
    assert all(len(each.cohort) == 3 for each in job.said if isinstance(each, RoundClosed))


@pytest.mark.slow
def test_a_trainer_lost_for_good_inside_its_transaction_holds_up_nobody(stage, ends, kafka_settings):
    way = kafka_settings.model_copy(update={"transaction_seconds": ABANDONED})
    job = stage("trainer-lost-inside", rounds=8, task=Wide, deadline=3, ways={"c": way})
    up = ends(topics.up("c", job.job.log_name))
    job.start(["a", "b"])
    job.start_one("c", again=False)
    job.until(lambda: job.rounds >= 2)
    stop_inside_transaction(job, "c", up)
    lost, missed = monotonic(), job.trained("c")[-1]
    job.signal("c", signal.SIGKILL)
    job.until(lambda: job.closed(missed))
    waited = monotonic() - lost
    assert up.apart, "the transaction is over already: this shows nothing"
    job.finish()
    cohorts = [[counted.hospital for counted in each.cohort] for each in job.said if isinstance(each, RoundClosed)]
    assert cohorts == [["a", "b", "c"]] * (missed - 1) + [["a", "b"]] * (8 - missed + 1)
    assert job.closed(missed).dropped == ["c"]
    job.until(lambda: not up.apart)
    print(f"the round closed after {waited:.1f} s, the broker gave the transaction up after {monotonic() - lost:.1f} s")
