"""Hub and hospital are upgraded one after the other, and rolled back, under jobs that go on: what lies there stays."""

import pytest
from hub_and_hospital_apart import PRIVATE, Pair
from two_versions import NEW, OLD

from consilia.log.opening import sqlite_url

WALK = ((OLD, OLD), (OLD, NEW), (NEW, NEW), (NEW, OLD), (OLD, OLD), (NEW, OLD), (NEW, NEW))
"""Hub and hospital; the hospital is first, is rolled back, the hub is, is first."""
pytestmark = pytest.mark.slow


@pytest.fixture
def parties(builds, tmp_path):
    """By version and role: operators of the same two clusters, of which others are told what lies there."""
    log = sqlite_url(tmp_path / "log")
    with (
        builds[OLD].party(tmp_path / "old-hub", "hub", log, tmp_path) as old_hub,
        builds[NEW].party(tmp_path / "new-hub", "hub", log, tmp_path) as new_hub,
        builds[OLD].party(tmp_path / "old-hospital", "hospital", log, tmp_path) as old_hospital,
        builds[NEW].party(tmp_path / "new-hospital", "hospital", log, tmp_path) as new_hospital,
    ):
        yield {OLD: (old_hub, old_hospital), NEW: (new_hub, new_hospital)}


def test_jobs_go_on_when_one_after_the_other_gets_another_version(parties):
    pair = Pair(hub=parties[OLD][0], hospital=parties[OLD][1])
    pair.join()
    pair.offer("lasting")
    pair.offer("private", dataset="patients", **PRIVATE)
    trainers = running(pair)
    for number, (hub, hospital) in enumerate(WALK, start=1):
        pair = upgraded(pair, parties[hub][0], parties[hospital][1])
        work(pair, number)
        assert running(pair) == trainers, "a trainer was made anew"


def upgraded(pair, hub, hospital):
    """The operators end, and those take over what lies in the clusters."""
    clusters = pair.hub.cluster(), pair.hospital.cluster()
    pair.hub.restart()
    pair.hospital.restart()
    hub.adopt(cluster=clusters[0])
    hospital.adopt(cluster=clusters[1])
    return Pair(hub=hub, hospital=hospital)


def work(pair, number):
    """One more round; and so much time goes by that all offers are said again."""
    pair.both_turn()
    pair.hospital.train(job="private", round=number)
    pair.hub.say_again()
    pair.both_turn()
    pair.offer(f"of-turn-{number}")
    assert pair.told("lasting")["Approved"] == ("True", "ApprovedByRule")
    assert pair.told(f"of-turn-{number}")["Approved"] == ("True", "ApprovedByRule")
    assert pair.hub.sees(name="private")["part"]["status"]["round"] == number
    assert pair.hospital.refused() == []
    assert pair.hub.refused() == 0


def running(pair):
    """The trainers, by uid."""
    return [pair.hospital.task(job=name)["trainer"] for name in ("lasting", "private")]
