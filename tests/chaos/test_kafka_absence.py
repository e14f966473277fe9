"""Hospitals that come late, are stopped, or are cut off, over Kafka: they find the newest round, and nobody waits."""

import re
import signal
from contextlib import contextmanager

import pytest
from chaos_kafka import Stage
from chaos_network import Wire
from gated import Gate, gated_job
from kafka.admin import OffsetSpec
from proxies import ProxyServer

from consilia.errors import Refusal
from consilia.kafka.connection import make_admin
from consilia.kafka.feed import partition
from consilia.log import topics
from consilia.wire.messages import RoundClosed, Update

HOSPITALS = ("a", "b", "c")


@contextmanager
def staged(tmp_path, job, kafka, **ways):
    """The job's stage, and the hospitals' gates."""
    gates = {name: Gate(tmp_path / f"gate-{name}") for name in HOSPITALS}
    parameters = {name: {"gate": str(gate.path)} for name, gate in gates.items()}
    with Stage(job, tmp_path / "job", kafka, ways=ways, parameters=parameters) as stage:
        yield stage, gates


@contextmanager
def wired(kafka):
    """A way to the brokers that can be cut, and the wire."""
    with ProxyServer("http") as proxy, Wire(proxy.port) as wire:
        yield kafka.model_copy(update={"proxy": f"http://127.0.0.1:{wire.port}"}), wire


def cohorts(stage):
    """Who counted, round by round."""
    return [[c.hospital for c in each.cohort] for each in stage.said if isinstance(each, RoundClosed)]


def trained(stage, hospital):
    """The rounds that a hospital trained, in order, every attempt."""
    output = stage.output(hospital)
    return (
        [int(number) for number in re.findall(r"trained round (\d+),", output.read_text())] if output.exists() else []
    )


def stale(stage, hospital):
    """The rounds for which a hospital's update was refused as late; nothing may be refused for another reason."""
    refused = [one for each in stage.said if isinstance(each, RoundClosed) for one in each.refused]
    assert {one.reason for one in refused} <= {Refusal.STALE}
    return [int(re.search(r"round (\d+) came", one.message)[1]) for one in refused if one.hospital == hospital]


def held_in(stage, hospital, gate):
    """The round in whose middle the hospital stands before its closed gate."""
    gate.close()
    stage.until(lambda: gate.holds)
    return (trained(stage, hospital) or [0])[-1] + 1


def finish(stage):
    """The job's end: every round once, nothing taken back."""
    stage.until(lambda: stage.finished and not stage.processes.names())
    assert stage.listener.taken_back == []
    assert [each.round for each in stage.said if isinstance(each, RoundClosed)] == [*range(1, stage.rounds + 1)]
    assert stage.rounds == stage.job.spec.rounds.count


def come_back(stage, gates, missed, back):
    """Rounds go by without c; then it comes back and finds the newest, which waits at a's gate. Which one was it?"""
    stage.until(lambda: stage.rounds >= missed + 2)
    newest = held_in(stage, "a", gates["a"])
    back()
    stage.until(lambda: stage.closed(newest))
    gates["a"].open()
    finish(stage)
    return newest


def assert_away(stage, missed, newest):
    """What c had trained in the round that it missed is on record as stale; those in between it never saw."""
    took_part = [number for number, cohort in enumerate(cohorts(stage), 1) if "c" in cohort]
    assert stage.closed(missed).dropped == ["c"]
    assert newest in took_part
    assert not set(took_part) & set(range(missed, newest))
    assert not set(trained(stage, "c")) & set(range(missed + 1, newest))
    assert stale(stage, "c") == [missed]


@pytest.mark.slow
def test_who_joins_late_reads_the_newest_model_and_takes_part_in_the_newest_round(tmp_path, kafka_settings):
    job = gated_job(HOSPITALS, rounds=12, ready=2, name="late-joiner")
    with staged(tmp_path, job, kafka_settings) as (stage, gates):
        stage.start(["a", "b"])
        stage.until(lambda: stage.rounds >= 4)
        newest = held_in(stage, "a", gates["a"])
        stage.start_one("c")
        stage.until(lambda: trained(stage, "c"))
        assert first_model(kafka_settings, job) > 0, "old models are still there: it might have read them"
        gates["a"].open()
        finish(stage)
    assert cohorts(stage) == [["a", "b"]] * (newest - 1) + [["a", "b", "c"]] * (12 - newest + 1)
    assert trained(stage, "c") == list(range(newest, 13))
    assert stale(stage, "c") == []


def first_model(kafka, job):
    """Where the model topic begins."""
    topic = partition(topics.model(job.log_name))
    with make_admin(kafka) as admin:
        return admin.list_partition_offsets({topic: OffsetSpec.EARLIEST})[topic].offset


@pytest.mark.slow
def test_who_is_stopped_for_rounds_comes_back_to_the_newest_one(tmp_path, kafka_settings):
    job = gated_job(HOSPITALS, rounds=16, ready=3, deadline=3, name="stopped")
    with staged(tmp_path, job, kafka_settings) as (stage, gates):
        stage.start()
        stage.until(lambda: stage.rounds >= 2)
        missed = held_in(stage, "c", gates["c"])
        stage.signal("c", signal.SIGSTOP)
        gates["c"].open()
        newest = come_back(stage, gates, missed, lambda: stage.signal("c", signal.SIGCONT))
    assert_away(stage, missed, newest)


def cut_off(stage, gates, wire):
    """Cut c's network while it trains, and let it finish: the round, and the update that it cannot send."""
    stage.start()
    stage.until(lambda: stage.rounds >= 2)
    missed = held_in(stage, "c", gates["c"])
    wire.cut()
    gates["c"].open()
    header = stage.seed.party("c") / "outbox" / f"{missed}.json"
    stage.until(header.exists)
    return missed, Update.model_validate_json(header.read_bytes())


@pytest.mark.slow
def test_what_was_trained_while_the_network_was_cut_counts_where_the_round_is_still_open(tmp_path, kafka_settings):
    job = gated_job(HOSPITALS, rounds=8, ready=3, name="cut-off-and-in-time")
    with wired(kafka_settings) as (way, wire), staged(tmp_path, job, kafka_settings, c=way) as (stage, gates):
        number, update = cut_off(stage, gates, wire)
        assert stage.closed(number) is None
        wire.mend()
        finish(stage)
    assert cohorts(stage) == [["a", "b", "c"]] * 8
    assert update.payload.sha256 in [counted.sha256 for counted in stage.closed(number).cohort]
    assert trained(stage, "c") == list(range(1, 9))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["mended", "forgotten", "killed"])
def test_what_was_trained_while_the_network_was_cut_is_stale_where_the_round_is_over(tmp_path, kafka_settings, how):
    """The wire is mended; or with it all connections are lost without a word; or the trainer died meanwhile."""
    job = gated_job(HOSPITALS, rounds=16, ready=3, deadline=3, name=f"cut-off-and-{how}")
    with wired(kafka_settings) as (way, wire), staged(tmp_path, job, kafka_settings, c=way) as (stage, gates):
        missed, _ = cut_off(stage, gates, wire)
        if how == "killed":
            stage.signal("c", signal.SIGKILL)
        newest = come_back(stage, gates, missed, lambda: wire.mend(forgotten=how == "forgotten"))
    assert_away(stage, missed, newest)
