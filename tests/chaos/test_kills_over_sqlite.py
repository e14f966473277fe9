"""Kill anything, at any moment, as often as you like: the job comes to the same bytes."""

import random
from itertools import count

import pytest
from chaos import Killer, assert_counted_once, federate, final_digest
from made_up import Normalised, training_job

from consilia_workers.local.folder import AGGREGATOR

KILLS = 20
HOSPITALS = ("a", "bb", "ccc")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("aggregation", "seed"), [({"strategy": "FedAvg"}, 1), ({"strategy": "FedAdam"}, 2)], ids=["FedAvg", "FedAdam"]
)
def test_whoever_is_killed_the_final_model_has_the_same_bytes(tmp_path, aggregation, seed):
    """The aggregator and each trainer are killed with -9 twenty times each."""
    job = training_job(Normalised, rounds=40, names=HOSPITALS, aggregation=aggregation)
    undisturbed = final_digest(federate(job, tmp_path / "undisturbed"))
    killer = Killer(seed, [AGGREGATOR, *HOSPITALS] * KILLS, longest_pause=0.6)
    for number in count():
        said = federate(job, tmp_path / f"disturbed-{number}", killer)
        assert final_digest(said) == undisturbed
        assert_counted_once(said, job)
        if killer.done:
            break
    assert {name: killer.kills.count(name) for name in killer.kills} == dict.fromkeys([AGGREGATOR, *HOSPITALS], KILLS)


def test_the_killer_keeps_to_its_seed():
    orders = []
    for _ in range(2):
        victims = list("abcd") * 3
        Killer(7, victims, longest_pause=1)
        orders.append(victims)
    assert orders[0] == orders[1] != random.Random(8).sample(orders[0], 12)
