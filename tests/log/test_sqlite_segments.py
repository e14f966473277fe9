"""Files beside the database: every one that a record needs is there, and no other stays."""

import os
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from consilia.log import locking
from consilia.log import segments as segment_files
from consilia.log.interface import CHUNK_BYTES, follow
from consilia.log.sqlite import SqliteLog


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def log(directory):
    with closing(SqliteLog(directory)) as log:
        yield log


@pytest.fixture
def producer(log):
    return log.producer("writer")


@pytest.fixture
def segments(directory):
    return lambda: sorted(path for path in (directory / "segments").glob("*/*"))


def append(producer, topic, *values, key="key"):
    with producer.transaction() as transaction:
        for value in values:
            transaction.append(topic, value, key=key)


LARGE = bytes(CHUNK_BYTES)


def test_small_values_need_no_file(producer, segments, directory):
    append(producer, "topic", b"small", bytes(100_000))
    assert list((directory / "segments").iterdir()) == []


def test_a_transaction_needs_one_file_for_all_its_large_values(producer, segments):
    append(producer, "topic", LARGE, LARGE, bytes(200_000))
    assert [path.stat().st_size for path in segments()] == [2 * CHUNK_BYTES + 200_000]


def test_many_small_values_go_to_a_file_instead_of_memory(producer, segments):
    append(producer, "topic", *[bytes(100_000)] * 200)
    (segment,) = segments()
    assert 200 * 100_000 - (8 << 20) <= segment.stat().st_size < 200 * 100_000


def test_segments_are_on_the_disk_before_the_commit_that_refers_to_them(producer, segments, tmp_path):
    calls, path, before = [], tmp_path / "payload", sys.getprofile()
    path.write_bytes(LARGE)

    def note(frame, event, function):
        if event == "c_call" and function is os.fsync:
            calls.append(str(Path(f"/proc/self/fd/{frame.f_locals['descriptor']}").readlink()))
        elif event == "c_call" and function.__name__ == "execute":
            calls.append("database")

    sys.setprofile(note)
    try:
        with producer.transaction() as transaction:
            transaction.append("topic", LARGE)
            transaction.append_file("topic", path)
    finally:
        sys.setprofile(before)
    first, last = segments()
    assert set(calls[: calls.index("database")]) == {str(p) for p in (first, last, first.parent, first.parent.parent)}


def test_a_file_on_the_same_disk_is_linked(producer, segments, tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(LARGE * 2)
    with producer.transaction() as transaction:
        transaction.append_file("topic", path)
    (segment,) = segments()
    assert segment.samefile(path)


def test_a_file_is_deleted_with_the_last_record_that_needs_it(log, producer, segments):
    append(producer, "topic", LARGE, LARGE)
    for before, left in ((1, 1), (2, 0)):
        with producer.transaction() as transaction:
            transaction.trim("topic", before)
        assert len(segments()) == left


def test_compaction_and_deleting_a_topic_delete_files(log, producer, segments):
    log.create_topic("model", compacted=True)
    for _ in range(3):
        append(producer, "model", LARGE)
        assert len(segments()) == 1
    log.delete_topic("model")
    assert segments() == []


def test_a_transaction_that_is_rolled_back_leaves_no_file(producer, segments, tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(LARGE)
    with pytest.raises(KeyboardInterrupt), producer.transaction() as transaction:  # noqa: PT012
        transaction.append("topic", LARGE)
        transaction.append_file("topic", path)
        assert len(segments()) == 2
        raise KeyboardInterrupt
    assert segments() == []
    assert path.exists()


def test_opening_the_log_spares_what_a_living_writer_has_not_committed_yet(
    log, producer, segments, directory, tmp_path
):
    path = tmp_path / "payload"
    path.write_bytes(LARGE)
    with producer.transaction() as transaction:
        transaction.append("topic", LARGE)
        transaction.append_file("topic", path)
        with closing(SqliteLog(directory)) as other:
            other.producer("another")
        assert len(segments()) == 2
    assert len(list(follow(log, "topic", 0))) == 2


def test_opening_the_log_deletes_what_a_killed_writer_left(segments, directory):
    script = Path(__file__).with_name("actor.py")
    command = [sys.executable, script, "open_transaction", f"sqlite://{directory}", "writer", "topic"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        writer.stdout.readline()
        SqliteLog(directory).close()
        assert len(segments()) == 1
        writer.kill()
    SqliteLog(directory).close()
    assert list((directory / "segments").iterdir()) == []


def test_a_producer_that_is_closed_leaves_no_empty_directory(log, producer, directory):
    append(producer, "topic", LARGE)
    with producer.transaction() as transaction:
        transaction.trim("topic", 1)
    producer.close()
    assert list((directory / "segments").iterdir()) == []


def test_strangers_in_the_directory_are_left_alone(directory):
    SqliteLog(directory).close()
    (directory / "segments" / "README").write_text("mine")
    SqliteLog(directory).close()
    assert (directory / "segments" / "README").read_text() == "mine"


def test_collectors_and_beginning_writers_do_not_disturb_each_other(log, directory):
    script, url = Path(__file__).with_name("actor.py"), f"sqlite://{directory}"
    commands = [["write_with_new_producers", url, name, "topic", "100"] for name in "ab"]
    commands += [["open_and_close", url, "150"]] * 2
    processes = [subprocess.Popen([sys.executable, script, *command]) for command in commands]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    found = [(record.headers["writer"], bytes(record.value) == LARGE) for record in follow(log, "topic", 0)]
    assert sorted(found) == [("a", True)] * 100 + [("b", True)] * 100


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_transaction_broken_at_any_line_is_whole_or_absent_and_leaves_no_file(tmp_path, how):
    script = Path(__file__).with_name("break_everywhere.py")
    output = subprocess.run([sys.executable, script, how, tmp_path], check=True, capture_output=True, text=True).stdout
    assert int(output) > 300


@contextmanager
def at_the_call_of(function, action):
    """Inside the block, run `action` once just before `function` does its work, as another process may at any time."""
    before, actions = sys.gettrace(), [action]

    def trace(frame, event, argument):
        if frame.f_code is function.__code__ and actions:
            actions.pop()()

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
    assert not actions


@pytest.mark.parametrize("function", [locking.open_directory, locking.lock])
def test_a_directory_that_is_collected_while_a_writer_takes_it_is_made_again(log, producer, directory, function):
    with at_the_call_of(function, lambda: SqliteLog(directory).close()):
        append(producer, "topic", LARGE)
    SqliteLog(directory).close()
    assert [len(record.value) for record in log.read("topic", 0)] == [CHUNK_BYTES]


def test_records_trimmed_while_they_are_being_read_are_left_out(log, producer):
    for _ in range(3):
        append(producer, "topic", LARGE)

    def trim():
        with producer.transaction() as transaction:
            transaction.trim("topic", 2)

    with at_the_call_of(segment_files.map_range, trim):
        assert [record.offset for record in log.read("topic", 0)] == [2]


def test_trimming_in_the_middle_of_a_read_is_never_half_a_record(log, producer, directory):
    """Another process lets go of records between the reader's SELECT and its opening of the files."""
    script, url = Path(__file__).with_name("actor.py"), f"sqlite://{directory}"
    with subprocess.Popen([sys.executable, script, "append_and_trim", url, "trimmer", "topic", "300"]) as writer:
        while writer.poll() is None:
            for record in log.read("topic", 0):
                assert bytes(record.value) == bytes([int(record.headers["number"]) % 256]) * CHUNK_BYTES
    assert writer.returncode == 0
