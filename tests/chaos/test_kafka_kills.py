"""Kill the broker, the aggregator or any trainer over Kafka, at any moment: the job comes to the same bytes."""

from collections import Counter
from time import monotonic

import pytest
from chaos import Killer, assert_counted_once, final_digest, results
from chaos_kafka import Revived, Stage, named
from made_up import Normalised, training_job

from consilia_workers.local.folder import AGGREGATOR

BROKER = "(broker)"
HOSPITALS = ("a", "bb", "ccc")
KILLED = "killed by signal 9"
SEED = 3
NOBODY = Killer(SEED, [], longest_pause=0)
VICTIMS = {BROKER: 10, AGGREGATOR: 12, **dict.fromkeys(HOSPITALS, 11)}


def run(stage, killer, brokers):
    """To the job's end, however often it is disturbed: what was said, as heard meanwhile and as read again."""

    def strike():
        brokers.look()
        killer.look({**stage.processes.pids(), **brokers.pids()}, stage.rounds)

    def whole():
        return brokers.up and brokers.deaths[BROKER] == killer.kills.count(BROKER)

    with stage:
        stage.start()
        stage.until(lambda: stage.finished and not stage.processes.names() and whole(), meanwhile=strike)
        assert stage.listener.taken_back == []
    assert stage.replay() == stage.said
    return stage.said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whoever_is_killed_the_broker_too_nothing_is_lost_or_counted_twice(tmp_path, killable_broker, nursery):
    broker = killable_broker()
    job = training_job(Normalised, rounds=40, names=HOSPITALS, aggregation={"strategy": "FedAdam"})
    restarts, rounds = Counter(), 0
    with Revived({BROKER: broker}) as brokers:
        undisturbed = run(
            Stage(named(job, "undisturbed"), tmp_path / "undisturbed", broker.settings, nursery), NOBODY, brokers
        )
        killer = Killer(
            SEED, [name for name, kills in VICTIMS.items() for _ in range(kills)], longest_pause=1.0, longest_burst=3
        )
        started = monotonic()
        while not killer.done:
            name = f"after-{len(killer.kills)}-kills"
            stage = Stage(named(job, name), tmp_path / name, broker.settings, nursery)
            said = run(stage, killer, brokers)
            assert_counted_once(said, job)
            assert results(said) == results(undisturbed)
            assert final_digest(said) == final_digest(undisturbed)
            restarts, rounds = restarts + stage.restarts, rounds + job.spec.rounds.count
    assert Counter(killer.kills) == VICTIMS
    # Not all of them hit: now and then one has just ended by itself.
    assert VICTIMS[BROKER] + sum(n for (_, how), n in restarts.items() if how == KILLED) >= 50
    assert len(set(killer.rounds)) >= 15, "the kills were not spread over the job"
    print(f"{len(killer.kills)} kills in {monotonic() - started:.0f} s and {rounds} rounds: {VICTIMS}")
    print(f"rounds closed when they struck: {killer.rounds}")
    print("started again: " + ", ".join(f"{name} {how}: {n}" for (name, how), n in sorted(restarts.items())))
