"""Hospitals that come late, are stopped, or are cut off, over Kafka: they find the newest round, and nobody waits."""

import re
import signal
from contextlib import contextmanager

import pytest
from chaos_network import Wire
from kafka.admin import OffsetSpec
from proxies import ProxyServer

from consilia.errors import Refusal
from consilia.kafka.connection import make_admin
from consilia.kafka.feed import partition
from consilia.log import topics
from consilia.wire.messages import RoundClosed, Update


@contextmanager
def wired(kafka):
    """A way to the brokers that can be cut, and the wire."""
    with ProxyServer("http") as proxy, Wire(proxy.port) as wire:
        yield kafka.model_copy(update={"proxy": f"http://127.0.0.1:{wire.port}"}), wire


def cohorts(stage):
    """Who counted, round by round."""
    return [[c.hospital for c in each.cohort] for each in stage.said if isinstance(each, RoundClosed)]


def stale(stage, hospital):
    """The rounds for which a hospital's update was refused as late; nothing may be refused for another reason."""
    refused = [one for each in stage.said if isinstance(each, RoundClosed) for one in each.refused]
    assert {one.reason for one in refused} <= {Refusal.STALE}
    return [int(re.search(r"round (\d+) came", one.message)[1]) for one in refused if one.hospital == hospital]


def come_back(stage, missed, back):
    """Rounds go by without c; then it comes back and finds the newest, which waits at a's gate. Which one was it?"""
    stage.until(lambda: stage.rounds >= missed + 2)
    newest = stage.held_in("a")
    back()
    stage.until(lambda: stage.closed(newest))
    stage.gates["a"].open()
    stage.finish()
    return newest


def assert_away(stage, missed, newest):
    """What c had trained in the round that it missed is on record as stale; those in between it never saw."""
    took_part = [number for number, cohort in enumerate(cohorts(stage), 1) if "c" in cohort]
    assert stage.closed(missed).dropped == ["c"]
    assert newest in took_part
    assert not set(took_part) & set(range(missed, newest))
    assert not set(stage.trained("c")) & set(range(missed + 1, newest))
    assert stale(stage, "c") == [missed]


@pytest.mark.slow
def test_who_joins_late_reads_the_newest_model_and_takes_part_in_the_newest_round(stage, kafka_settings):
    late = stage("late-joiner", rounds=12, ready=2)
    late.start(["a", "b"])
    late.until(lambda: late.rounds >= 4)
    newest = late.held_in("a")
    late.start_one("c")
    late.until(lambda: late.trained("c"))
    assert first_model(kafka_settings, late.job) > 0, "old models are still there: it might have read them"
    late.gates["a"].open()
    late.finish()
    assert cohorts(late) == [["a", "b"]] * (newest - 1) + [["a", "b", "c"]] * (12 - newest + 1)
    assert late.trained("c") == list(range(newest, 13))
    assert stale(late, "c") == []


def first_model(kafka, job):
    """Where the model topic begins."""
    topic = partition(topics.model(job.log_name))
    with make_admin(kafka) as admin:
        return admin.list_partition_offsets({topic: OffsetSpec.EARLIEST})[topic].offset


@pytest.mark.slow
def test_who_is_stopped_for_rounds_comes_back_to_the_newest_one(stage):
    stopped = stage("stopped", rounds=14, deadline=3)
    stopped.start()
    stopped.until(lambda: stopped.rounds >= 2)
    missed = stopped.held_in("c")
    stopped.signal("c", signal.SIGSTOP)
    stopped.gates["c"].open()
    newest = come_back(stopped, missed, lambda: stopped.signal("c", signal.SIGCONT))
    assert_away(stopped, missed, newest)


def cut_off(stage, wire):
    """Cut c's network while it trains, and let it finish: the round, and the update that it cannot send."""
    stage.start()
    stage.until(lambda: stage.rounds >= 2)
    missed = stage.held_in("c")
    wire.cut()
    stage.gates["c"].open()
    header = stage.seed.party("c") / "outbox" / f"{missed}.json"
    stage.until(header.exists)
    return missed, Update.model_validate_json(header.read_bytes())


@pytest.mark.slow
def test_what_was_trained_while_the_network_was_cut_counts_where_the_round_is_still_open(stage, kafka_settings):
    with wired(kafka_settings) as (way, wire):
        away = stage("cut-off-and-in-time", rounds=8, ways={"c": way})
        number, update = cut_off(away, wire)
        assert away.closed(number) is None
        wire.mend()
        away.finish()
    assert cohorts(away) == [["a", "b", "c"]] * 8
    assert update.payload.sha256 in [counted.sha256 for counted in away.closed(number).cohort]
    assert away.trained("c") == list(range(1, 9))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["mended", "forgotten", "killed"])
def test_what_was_trained_while_the_network_was_cut_is_stale_where_the_round_is_over(stage, kafka_settings, how):
    """The wire is mended; or with it all connections are lost without a word; or the trainer died meanwhile."""
    # Else it would be half a minute before it gives up a connection that is silent for ever.
    kafka = kafka_settings.model_copy(update={"delivery_seconds": 12.0} if how == "forgotten" else {})
    with wired(kafka) as (way, wire):
        away = stage(f"cut-off-and-{how}", rounds=14, deadline=3, ways={"c": way})
        missed, _ = cut_off(away, wire)
        if how == "killed":
            away.signal("c", signal.SIGKILL)
        newest = come_back(away, missed, lambda: wire.mend(forgotten=how == "forgotten"))
    assert_away(away, missed, newest)
