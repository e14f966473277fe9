"""Kill anything, at any moment, as often as you like: the job comes to the same bytes."""

import random
from collections import Counter
from itertools import count
from time import monotonic

import pytest
from chaos import Killer, assert_counted_once, federate_within, final_digest, results
from made_up import Normalised, training_job

from consilia_workers.local.folder import AGGREGATOR

KILLS = 20
ROUNDS = 80
HOSPITALS = ("a", "bb", "ccc")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("aggregation", "seed"), [({"strategy": "FedAvg"}, 1), ({"strategy": "FedAdam"}, 2)], ids=["FedAvg", "FedAdam"]
)
def test_whoever_is_killed_the_final_model_has_the_same_bytes(tmp_path, nursery, aggregation, seed):
    """The aggregator and each trainer are killed with -9 twenty times each."""
    job = training_job(Normalised, rounds=ROUNDS, names=HOSPITALS, aggregation=aggregation)
    undisturbed = federate_within(nursery, job, tmp_path / "undisturbed")
    killer = Killer(seed, [AGGREGATOR, *HOSPITALS] * KILLS, longest_pause=0.25, longest_burst=4)
    started = monotonic()
    for number in count(1):
        said = federate_within(nursery, job, tmp_path / f"disturbed-{number}", killer)
        assert final_digest(said) == final_digest(undisturbed)
        assert results(said) == results(undisturbed)
        assert_counted_once(said, job)
        if killer.done:
            break
    assert Counter(killer.kills) == dict.fromkeys([AGGREGATOR, *HOSPITALS], KILLS)
    print(f"{len(killer.kills)} kills in {monotonic() - started:.0f} s and {number} jobs, after rounds {killer.rounds}")


def test_the_killer_keeps_to_its_seed():
    orders = []
    for _ in range(2):
        victims = list("abcd") * 3
        Killer(7, victims, longest_pause=1)
        orders.append(victims)
    assert orders[0] == orders[1] != random.Random(8).sample(orders[0], 12)
