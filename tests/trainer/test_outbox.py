"""What was made is only ever sent, never made again; what was not finished does not count."""

import os
import re
from functools import partial
from pathlib import Path

import pytest

from consilia.wire.messages import Payload, RoundOpened, Update
from consilia.wire.payload import describe
from consilia_workers.outbox import Attempts, Outbox

DIGESTS = [f"sha256:{digit * 64}" for digit in "0123"]


def opened(round_number: int = 1, base: str = DIGESTS[0], config: str = DIGESTS[1]) -> RoundOpened:
    model = Payload(sha256=base, size=1, chunks=1)
    return RoundOpened(
        job="job", round=round_number, model=model, config_digest=config, roster_digest=DIGESTS[2], hospitals=["a"],
        deadline=0.0,
    )  # fmt: skip


def header(offer: RoundOpened, payload: Payload) -> Update:
    return Update(
        job="job", hospital="a", round=offer.round, base_digest=offer.model.sha256, samples=5, payload=payload,
        config_digest=offer.config_digest, roster_digest=offer.roster_digest, metrics={"auc": 0.5},
    )  # fmt: skip


def seal(outbox: Outbox, offer: RoundOpened, data: bytes = b"trained"):
    return outbox.seal([data[:3], data[3:]], partial(header, offer))


def test_a_sealed_update_is_found_again_with_the_same_bytes(tmp_path):
    sealed = seal(Outbox(tmp_path), opened())
    found = Outbox(tmp_path).find(opened())
    assert found == sealed
    assert found.payload.read_bytes() == b"trained"
    assert found.update.payload == describe([b"trained"])


def test_everything_is_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    """Each file's bytes before its name, the payload before the header, and the names before the work goes on."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        events.append(f"name {target.name}")
        return replace(self, target)

    outbox = Outbox(tmp_path)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    seal(outbox, opened())
    payload = ["sync payload.partial", "name 1.safetensors"]
    plain = [re.sub(r"\.[0-9a-f]+\.partial", ".partial", event) for event in events]
    assert plain == [*payload, "sync 1.partial", "name 1.json", f"sync {tmp_path.name}"]


def test_whether_it_was_sent_is_remembered(tmp_path):
    outbox = Outbox(tmp_path)
    outbox.mark_sent(seal(outbox, opened()))
    assert Outbox(tmp_path).find(opened()).sent


@pytest.mark.parametrize(
    "other", [opened(2), opened(base=DIGESTS[3]), opened(config=DIGESTS[3])], ids=["round", "base", "configuration"]
)
def test_an_update_for_another_offer_is_not_found(tmp_path, other):
    outbox = Outbox(tmp_path)
    seal(outbox, opened())
    assert outbox.find(other) is None


def test_a_payload_without_its_header_does_not_count(tmp_path):
    outbox = Outbox(tmp_path)
    sealed = seal(outbox, opened())
    (tmp_path / "1.json").unlink()
    assert sealed.payload.exists()
    assert outbox.find(opened()) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "1.json").write_bytes(b'{"type":"Upd'),
        lambda folder: (folder / "1.safetensors").write_bytes(b"trainee"),
        lambda folder: (folder / "1.safetensors").unlink(),
    ],
    ids=["header", "payload", "no payload"],
)
def test_what_is_damaged_counts_as_never_made(tmp_path, damage):
    seal(Outbox(tmp_path), opened())
    damage(tmp_path)
    assert Outbox(tmp_path).find(opened()) is None


def test_an_update_for_another_offer_of_the_round_is_not_taken_for_sent(tmp_path):
    """The same job begun anew, on a new log, with the hospital's old folder."""
    outbox = Outbox(tmp_path)
    outbox.mark_sent(seal(outbox, opened()))
    anew = opened(base=DIGESTS[3])
    seal(outbox, anew)
    found = outbox.find(anew)
    assert found is not None
    assert not found.sent


def test_a_failure_in_the_middle_leaves_nothing_that_counts(tmp_path):
    outbox = Outbox(tmp_path)

    def trained():
        yield b"tra"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        outbox.seal(trained(), lambda payload: None)
    assert outbox.find(opened()) is None


def test_who_was_replaced_and_wakes_up_in_the_middle_spoils_nothing_of_its_successor(tmp_path):
    """A process that was stopped while it trained, or whose node was given up too early."""
    replaced = Outbox(tmp_path)

    def trained():
        yield b"old"
        seal(Outbox(tmp_path), opened(2), b"by the successor")
        yield b"er bytes"

    with pytest.raises(FileNotFoundError):
        replaced.seal(trained(), partial(header, opened(1)))
    found = Outbox(tmp_path).find(opened(2))
    assert found is not None
    assert found.payload.read_bytes() == b"by the successor"


def test_what_a_killed_process_left_unfinished_goes_when_the_next_begins(tmp_path):
    killed = Outbox(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        killed.seal(iter([b"tra"]), _interrupted)
    assert len(list(tmp_path.iterdir())) == 1
    Outbox(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _interrupted(payload: Payload) -> Update:
    raise KeyboardInterrupt


def test_attempts_are_counted_across_restarts(tmp_path):
    assert [Outbox(tmp_path).begin(4).attempt for _ in range(3)] == [1, 2, 3]
    assert Outbox(tmp_path).begin(5) == Attempts(round=5, attempt=1, total=4)
    assert Outbox(tmp_path).attempts().total == 4


def test_a_closed_round_leaves_nothing_behind_but_the_count(tmp_path):
    outbox = Outbox(tmp_path)
    outbox.begin(1)
    outbox.mark_sent(seal(outbox, opened()))
    outbox.forget(1)
    assert [path.name for path in tmp_path.iterdir()] == ["attempts.json"]


def test_what_a_late_round_left_behind_goes_with_the_next(tmp_path):
    """A hospital that slept through the end of round 1 hears only of round 2's."""
    outbox = Outbox(tmp_path)
    seal(outbox, opened(1))
    seal(outbox, opened(2))
    outbox.forget(2)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_for_its_owner_only(tmp_path):
    Outbox(tmp_path / "outbox")
    assert (tmp_path / "outbox").stat().st_mode & 0o777 == 0o700
