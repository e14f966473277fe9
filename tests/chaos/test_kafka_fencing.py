"""Over Kafka, who was replaced and wakes up again ends by itself, and nothing of it appears."""

import signal

import pytest

from consilia.wire.messages import RoundClosed
from consilia_workers.local.folder import AGGREGATOR
from consilia_workers.programs import EXIT_REPLACED

SECOND = "(second)"


def replace(stage, party):
    """Stop a party's process and start another for it."""
    stage.signal(party, signal.SIGSTOP)
    stage.start_one(party, name=SECOND)


def wake(stage, party):
    """Let the first one go on: it must end, and say why."""
    stage.expected_to_fail.add(party)
    stage.signal(party, signal.SIGCONT)
    stage.until(lambda: party in stage.ended)
    assert stage.ended[party] == EXIT_REPLACED
    assert stage.gave_way(party)


def assert_as_if_nothing_had_happened(stage):
    """Every round with every hospital, nobody refused, dropped or gone."""
    closed = [each for each in stage.said if isinstance(each, RoundClosed)]
    assert [[counted.hospital for counted in each.cohort] for each in closed] == [["a", "b", "c"]] * len(closed)
    assert all((each.refused, each.dropped, each.left) == ([], [], {}) for each in closed)


@pytest.mark.slow
def test_an_aggregator_that_was_replaced_ends_and_nothing_of_it_appears(stage):
    job = stage("two-aggregators", rounds=12, deadline=5)
    job.start()
    job.until(lambda: job.rounds >= 2)
    number = job.held_in("a")
    replace(job, AGGREGATOR)
    job.gates["a"].open()
    job.until(lambda: job.rounds >= number + 2)
    wake(job, AGGREGATOR)
    job.finish()
    assert_as_if_nothing_had_happened(job)


@pytest.mark.slow
def test_a_trainer_that_was_replaced_in_the_middle_of_a_round_ends_and_nothing_of_it_appears(stage):
    job = stage("two-trainers", rounds=12)
    job.start()
    job.until(lambda: job.rounds >= 2)
    number = job.held_in("c")
    replace(job, "c")
    job.gates["c"].open()
    job.until(lambda: job.rounds >= number + 2)
    wake(job, "c")
    job.finish()
    assert_as_if_nothing_had_happened(job)
