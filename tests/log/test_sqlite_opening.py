"""What may be wrong with a log's directory, and how the user hears of it."""

import os
import resource
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from consilia.errors import LogError, LogUnavailableError
from consilia.log.interface import CHUNK_BYTES
from consilia.log.locking import locked_if_free
from consilia.log.opening import open_log, sqlite_url
from consilia.log.sqlite import SqliteLog


@pytest.fixture
def directory(tmp_path):
    """A log with one small and one large record."""
    with closing(SqliteLog(tmp_path / "log")) as log, log.producer("writer").transaction() as transaction:
        transaction.append("topic", b"small")
        transaction.append("topic", bytes(CHUNK_BYTES))
    return tmp_path / "log"


@contextmanager
def database(directory):
    with closing(sqlite3.connect(directory / "log.db", isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_only_the_owner_may_read_a_log_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        with closing(SqliteLog(tmp_path / "log")) as log, log.producer("writer").transaction() as transaction:
            transaction.append("topic", bytes(CHUNK_BYTES))
            found = [tmp_path / "log", *(tmp_path / "log").rglob("*")]
            modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in found}
    finally:
        os.umask(before)
    folders, files = dict.fromkeys(["log", "segments", "1.1"], "0o700"), ["log.db", "log.db-wal", "log.db-shm", "1"]
    assert modes == folders | dict.fromkeys(files, "0o600")


def test_a_log_survives_closing(directory):
    with closing(SqliteLog(directory)) as log:
        assert [len(record.value) for record in log.read("topic", 0)] == [5, CHUNK_BYTES]


def newer_format(directory):
    with database(directory) as connection:
        connection.execute("PRAGMA user_version = 2")
    return "has format 2; this version of Consilia knows format 1"


def strange_database(directory):
    with database(directory) as connection:
        connection.execute("PRAGMA application_id = 0")
        connection.execute("PRAGMA user_version = 0")
    return "not a Consilia log"


def text_file(directory):
    (directory / "log.db").write_text("Dear diary, " * 1000)
    return "damaged or no log at all"


def damaged_header(directory):
    content = bytearray((directory / "log.db").read_bytes())
    content[16:60] = os.urandom(44)
    (directory / "log.db").write_bytes(content)
    return "log.db"


def file_in_its_place(directory):
    directory.rename(directory.with_name("old"))
    directory.write_text("a file")
    return "Not a directory|File exists"


def folder_in_place_of_the_database(directory):
    (directory / "log.db").unlink()
    (directory / "log.db").mkdir()
    return "cannot be opened"


def no_segments_folder(directory):
    (directory / "segments" / "1.1" / "1").unlink()
    (directory / "segments" / "1.1").rmdir()
    (directory / "segments").rmdir()
    (directory / "segments").write_text("a file")
    return "Not a directory"


@pytest.mark.parametrize(
    "spoil",
    [
        newer_format,
        strange_database,
        text_file,
        damaged_header,
        file_in_its_place,
        folder_in_place_of_the_database,
        no_segments_folder,
    ],
)
def test_a_directory_that_is_no_good_log_is_refused_by_name(directory, spoil):
    explanation = spoil(directory)
    with pytest.raises(LogError, match=explanation) as caught:
        SqliteLog(directory)
    assert str(directory) in str(caught.value)
    assert caught.value.remedy


def missing_segment(directory):
    (directory / "segments" / "1.1" / "1").unlink()
    return "1.1/1 is missing"


def short_segment(directory):
    os.truncate(directory / "segments" / "1.1" / "1", 1000)
    return "1.1/1 is damaged"


@pytest.mark.parametrize("spoil", [missing_segment, short_segment])
def test_a_damaged_segment_is_named_and_the_rest_can_be_read(directory, spoil):
    explanation = spoil(directory)
    with closing(SqliteLog(directory)) as log:
        with pytest.raises(LogError, match=explanation):
            log.read("topic", 0)
        assert bytes(log.record("topic", 0).value) == b"small"


def test_a_damaged_page_is_reported_when_it_is_met(directory):
    with closing(SqliteLog(directory)) as log, log.producer("writer").transaction() as transaction:
        for _ in range(100):
            transaction.append("topic", os.urandom(10_000))
    content = bytearray((directory / "log.db").read_bytes())
    content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
    (directory / "log.db").write_bytes(content)
    with pytest.raises(LogError, match="damaged"), closing(SqliteLog(directory)) as log:  # noqa: PT012
        for topic in log.topics():
            log.read(topic, 0)


def test_a_log_whose_making_was_cut_short_is_made_anew(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "log.db").touch()
    with closing(SqliteLog(tmp_path / "log")) as log:
        assert log.topics() == []


def test_many_may_open_a_new_log_at_the_same_time(tmp_path):
    def use(number):
        with closing(SqliteLog(tmp_path / "log")) as log, log.producer(f"p{number}").transaction() as transaction:
            transaction.append("topic", b"")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(24)))
    with closing(SqliteLog(tmp_path / "log")) as log:
        assert len(log.read("topic", 0)) == 24


def test_a_process_that_makes_the_log_is_waited_for_and_then_named(tmp_path):
    (tmp_path / "log").mkdir()
    with locked_if_free(tmp_path / "log"), pytest.raises(LogUnavailableError, match=f"making the log {tmp_path}/log"):
        SqliteLog(tmp_path / "log", busy_seconds=0.1)
    SqliteLog(tmp_path / "log", busy_seconds=0.1).close()


def test_a_writer_that_is_stuck_is_waited_for_and_then_named(directory):
    with closing(SqliteLog(directory, busy_seconds=0.1)) as log:
        producer = log.producer("writer")
        with database(directory) as stuck:
            stuck.execute("BEGIN IMMEDIATE")
            with (
                pytest.raises(LogUnavailableError, match=rf"{directory}.*locked"),
                producer.transaction() as transaction,
            ):
                transaction.append("topic", bytes(CHUNK_BYTES))
            assert len(log.read("topic", 0)) == 2
            stuck.execute("ROLLBACK")
        with producer.transaction() as transaction:
            transaction.append("topic", b"in the end")
        assert len(log.read("topic", 0)) == 3
    assert len(list((directory / "segments").glob("*/*"))) == 1


@pytest.mark.parametrize("value", [b"x" * 100_000, bytes(CHUNK_BYTES)])
def test_a_full_disk_is_reported_and_loses_nothing(directory, value):
    with closing(SqliteLog(directory)) as log:
        producer, (soft, hard) = log.producer("writer"), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with pytest.raises(LogUnavailableError, match="Check disk"), producer.transaction() as transaction:
                transaction.append("topic", value)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(log.read("topic", 0)) == 2
        with producer.transaction() as transaction:
            transaction.append("topic", value)
        assert bytes(log.read("topic", 2)[0].value) == value


def test_a_log_belongs_to_its_thread(directory):
    with closing(SqliteLog(directory)) as log, ThreadPoolExecutor(1) as pool:
        used = pool.submit(log.topics)
        with pytest.raises(LogError, match="thread that did not open it"):
            used.result()


def test_a_log_belongs_to_the_process_that_opened_it(directory):
    actor = [sys.executable, Path(__file__).with_name("actor.py"), "use_after_fork", sqlite_url(directory), "new"]
    output = subprocess.run(actor, check=True, capture_output=True, text=True).stdout
    assert output.count("is used by its child") == 3
    assert output.endswith("the parent goes on\n")


@pytest.mark.parametrize(
    ("url", "explanation"),
    [
        ("", "names no log"),
        ("/path/to/log", "names no log.*sqlite:///path"),
        ("redis://host/log", "names no log"),
        ("sqlite:", "names no directory"),
        ("sqlite:///", "names no directory"),
        ("sqlite://relative/path", "names no directory.*three slashes"),
        ("sqlite:///log?mode=ro", "names no directory"),
        ("sqlite:///proc/consilia", "proc/consilia"),
        (f"sqlite:///tmp/{'x' * 300}", "File name too long"),
        ("sqlite:///tmp/nul%00", "names no directory"),
        ("sqlite://[", "names no directory"),
    ],
)
def test_a_url_that_names_no_log_is_explained(url, explanation):
    with pytest.raises(LogError, match=explanation):
        open_log(url)


@pytest.mark.parametrize("name", ["log", "with space", "50%25", "größe#1?", "deep/er"])
def test_a_directory_and_its_url_name_the_same_log(tmp_path, name):
    open_log(sqlite_url(tmp_path / name)).close()
    assert (tmp_path / name / "log.db").is_file()
