"""Three brokers with copies of everything: one is lost, for good or for a while, and the job is none the worse."""

from collections import Counter
from time import monotonic, sleep

import pytest
from chaos import Killer, assert_counted_once, final_digest, results
from chaos_cluster import copies, hasty, in_sync, leader
from chaos_kafka import TOO_LONG, Revived, Stage, named
from kafka_brokers import clusters_to_kill
from made_up import Normalised, training_job

from consilia.log import topics
from consilia_workers.local.folder import AGGREGATOR

HOSPITALS = ("a", "bb", "ccc")
ROUNDS = 20
JOB = training_job(Normalised, rounds=ROUNDS, names=HOSPITALS, aggregation={"strategy": "FedAdam"})
BROKERS = {1: "(broker 1)", 2: "(broker 2)", 3: "(broker 3)"}
SEED = 5
VICTIMS = {**dict.fromkeys(BROKERS.values(), 2), AGGREGATOR: 4, **dict.fromkeys(HOSPITALS, 4)}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def nodes(kafka_runtime, tmp_path_factory):
    """Three nodes; a test may leave one of them dead."""
    with clusters_to_kill(tmp_path_factory.mktemp("three"), hasty(kafka_runtime)) as make:
        cluster = make()
        yield cluster
        cluster.kill()


@pytest.fixture
def cluster(nodes):
    """All three run, and have everything."""
    nodes.start()
    deadline = monotonic() + TOO_LONG
    while not in_sync(nodes.settings):
        assert monotonic() < deadline
        sleep(0.1)
    return nodes


@pytest.fixture(scope="module")
def on(nodes, nursery, tmp_path_factory):
    """Makes the stage of the job, under the name given."""
    return lambda name: Stage(named(JOB, name), tmp_path_factory.mktemp("jobs") / name, nodes.settings, nursery)


@pytest.fixture(scope="module")
def undisturbed(on):
    """What the aggregator said where nobody died."""
    with on("undisturbed") as stage:
        stage.start()
        stage.finish()
    return stage.said


def assert_same(said, undisturbed):
    """Every update counted once, and the same came of it, to the bit."""
    assert_counted_once(said, JOB)
    assert results(said) == results(undisturbed)
    assert final_digest(said) == final_digest(undisturbed)


def test_one_of_three_brokers_is_lost_for_good_and_the_others_carry_the_job_to_the_same_bytes(cluster, on, undisturbed):
    with on("one-lost") as stage:
        stage.start()
        stage.until(lambda: stage.rounds >= 3)
        rounds = topics.rounds(stage.job.log_name)
        assert copies(cluster.settings, rounds) == (set(BROKERS), set(BROKERS))
        node = leader(cluster.settings, rounds)
        lost, killer = cluster.brokers[node - 1], Killer(SEED, [BROKERS[node]], longest_pause=1.0)
        stage.until(lambda: killer.done, meanwhile=lambda: killer.look({BROKERS[node]: lost.pid}, stage.rounds))
        struck = monotonic()
        stage.until(lambda: stage.rounds > killer.rounds[0] + 1)
        print(f"lost {BROKERS[node]} after round {killer.rounds[0]}; rounds again after {monotonic() - struck:.1f} s")
        stage.finish()
    assert killer.rounds[0] < ROUNDS - 1, "it was lost when all was over"
    assert not lost.running()
    assert copies(cluster.settings, rounds) == (set(BROKERS), set(BROKERS) - {node})
    assert_same(stage.said, undisturbed)


def test_brokers_are_killed_in_turn_aggregator_and_trainers_too_and_the_bytes_are_the_same(cluster, on, undisturbed):
    killer = Killer(SEED, [name for name, n in VICTIMS.items() for _ in range(n)], longest_pause=0.6, longest_burst=4)
    named_brokers = {BROKERS[each.seat.node]: each for each in cluster.brokers}
    started, jobs = monotonic(), 0
    with Revived(named_brokers, back=lambda: in_sync(cluster.settings)) as brokers:
        while not killer.done:
            jobs += 1
            assert_same(disturbed(on(f"disturbed-{jobs}"), killer, brokers), undisturbed)
    assert Counter(killer.kills) == VICTIMS
    assert brokers.deaths == dict.fromkeys(BROKERS.values(), 2)
    assert in_sync(cluster.settings)
    print(f"{len(killer.kills)} kills in {monotonic() - started:.0f} s and {jobs} jobs, after rounds {killer.rounds}")


def disturbed(stage, killer, brokers):
    """To the job's end: what was said."""

    def whole():
        killed = sum(name in BROKERS.values() for name in killer.kills)
        return brokers.up and brokers.deaths.total() == killed

    def strike():
        killer.look({**stage.processes.pids(), **(brokers.pids() if whole() else {})}, stage.rounds)

    with stage:
        stage.start()
        stage.until(lambda: stage.finished and not stage.processes.names() and whole(), meanwhile=strike)
        stage.finish()
    return stage.said
