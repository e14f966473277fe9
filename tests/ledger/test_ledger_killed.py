"""Killed before, within or after any write or sync to the disk: what was released is always on record."""

import random
from collections import Counter

import pytest
from ledgers import Nursery, open_ledger

from consilia.ledger.journal import read_entries

KILLS = 200
WRITES_AND_SYNCS = 2 + 20 * 5
"""There are so many from the promise until all twenty rounds are released."""


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


def check(folder):
    """What was released and what was charged, after what a kill has torn was cut off."""
    path = folder / "released"
    released = path.read_text().split() if path.exists() else []
    open_ledger(folder / "ledger")
    entries, _, rest = read_entries(folder / "ledger" / "ledger.jsonl")
    committed = {each.output for each in entries if each.type == "Committed"}
    assert rest == b""
    assert set(released) <= committed  # nothing went out that is not on record
    return released, Counter(each.round for each in entries if each.type == "Reserved")


def test_every_single_write_and_sync_may_be_the_last(nursery, tmp_path):
    for at in range(1, WRITES_AND_SYNCS + 1):
        folder = tmp_path / str(at)
        folder.mkdir()
        open_ledger(folder / "ledger")
        assert nursery.spend(folder, at, "before", 0) == -9
        released, charged = check(folder)
        assert charged.total() <= len(released) + 1  # at most one attempt too much
    assert nursery.spend(folder, 1000, "before", 0) == 0
    assert len(check(folder)[0]) == 20


@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_seeded_kills_never_leave_a_release_uncharged(nursery, tmp_path, seed):
    """Each history goes on where a kill left it, and is killed again, until it is done; then the next one begins."""
    seeded, kills = random.Random(seed), 0
    while kills < KILLS // 4:
        folder = tmp_path / str(kills)
        folder.mkdir()
        before = kills
        while nursery.spend(
            folder, seeded.randrange(1, 40), seeded.choice(["before", "within", "after"]), seeded.random()
        ):
            kills += 1
            released, charged = check(folder)
            assert charged.total() <= len(released) + kills - before  # at most one attempt too much for each kill
        assert len(check(folder)[0]) == 20
