"""No jar is used that is not the lock's, and every way of not getting one has a message."""

import gc
import hashlib
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka_mirror import mirror_of

from consilia.broker.jars import cache_folder, jars, locked_jars
from consilia.errors import BrokerError

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
VICTIM = locked_jars()[0].file
REST = [jar.file for jar in locked_jars()[1:]]


@pytest.fixture(autouse=True)
def collected():
    """Have the sockets of failed downloads, which jgo leaves to the garbage collector, collected while nobody minds."""
    yield
    gc.collect()


@pytest.fixture
def mirror(kafka_runtime, monkeypatch):
    with mirror_of({path.name: path for path in kafka_runtime.jars}) as mirror:
        monkeypatch.setenv("CONSILIA_MAVEN_REPOSITORY", mirror.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield mirror


@pytest.fixture
def folder(kafka_runtime, tmp_path):
    """All jars but the first."""
    folder = tmp_path / "jars"
    folder.mkdir()
    for path in kafka_runtime.jars:
        if path.name != VICTIM:
            (folder / path.name).symlink_to(path)
    return folder


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_lock_names_46_jars_of_45_mb_each_once():
    names = [jar.file for jar in locked_jars()]
    assert len(names) == len(set(names)) == 46
    assert sum(jar.size for jar in locked_jars()) == 45_035_715


def test_an_empty_folder_is_filled_and_progress_ends_at_the_whole(mirror, tmp_path):
    told = []
    paths = jars(tmp_path / "deep" / "cache", lambda done, total: told.append((done, total)))
    assert [sha256(path) for path in paths] == [jar.sha256 for jar in locked_jars()]
    assert sorted(path.name for path in paths) == sorted(path.name for path in (tmp_path / "deep" / "cache").iterdir())
    assert len(told) == 46
    assert told == sorted(told)
    assert told[-1] == (45_035_715, 45_035_715)


def test_only_what_is_missing_is_fetched_and_then_nothing(mirror, folder):
    jars(folder)
    jars(folder)
    assert mirror.asked == {VICTIM: 1}


@pytest.mark.parametrize("damage", [b"", b"not a jar", None], ids=["empty", "replaced", "one bit"])
def test_a_damaged_jar_is_never_used_but_fetched_again(mirror, folder, kafka_runtime, damage):
    true = next(path for path in kafka_runtime.jars if path.name == VICTIM).read_bytes()
    (folder / VICTIM).write_bytes(bytes([true[0] ^ 1]) + true[1:] if damage is None else damage)
    jars(folder)
    assert (folder / VICTIM).read_bytes() == true


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda true: (len(true), b"\0" * len(true)), "is not the file that Consilia was tested with"),
        (lambda true: (9, b"forbidden"), "is not the file that Consilia was tested with"),
        (lambda true: (len(true), true[: len(true) // 2]), "cannot fetch"),
    ],
    ids=["tampered", "a page of a portal", "cut off"],
)
def test_what_a_repository_serves_in_its_place_is_refused_and_not_kept(mirror, folder, answer, words):
    mirror.instead[VICTIM] = answer
    with pytest.raises(BrokerError, match=words):
        jars(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(REST)


def test_a_download_that_breaks_off_is_tried_again(mirror, folder):
    mirror.instead[VICTIM] = lambda true: (len(true), true if mirror.asked[VICTIM] > 1 else true[:100])
    jars(folder)
    assert mirror.asked == {VICTIM: 2}


def test_callers_at_the_same_time_share_one_download(mirror, folder):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(jars, [folder] * 6))
    assert mirror.asked == {VICTIM: 1}
    assert len(set(found)) == 1


def test_what_a_killed_download_left_is_cleared_away(mirror, folder):
    (folder / ".incomplete" / "org").mkdir(parents=True)
    jars(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([VICTIM, *REST])


def test_a_jar_that_the_repository_lacks_is_named(mirror, folder, monkeypatch):
    with mirror_of({}) as empty:
        monkeypatch.setenv("CONSILIA_MAVEN_REPOSITORY", empty.address)
        with pytest.raises(BrokerError, match=rf"cannot fetch {VICTIM} from 127.0.0.1: it is not there"):
            jars(folder)


def test_without_a_network_the_message_says_what_the_system_says_and_no_password(folder, monkeypatch):
    monkeypatch.setenv("CONSILIA_MAVEN_REPOSITORY", "http://ada:s3cret@127.0.0.1:9/maven2")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(BrokerError, match=r"Connection refused.* CONSILIA_MAVEN_REPOSITORY") as caught:
        jars(folder)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("address", ["repo", "file:///srv/s3cret", "https://", "ftp://s3cret@mirror/"])
def test_an_address_that_is_none_is_refused_without_repeating_it(folder, monkeypatch, address):
    monkeypatch.setenv("CONSILIA_MAVEN_REPOSITORY", address)
    with pytest.raises(BrokerError, match="no address of a Maven repository") as caught:
        jars(folder)
    assert "s3cret" not in str(caught.value)


def test_without_jgo_the_message_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(BrokerError, match=r"pip install 'consilia\[broker\]'"):
        jars(folder)


def test_a_folder_that_is_a_file_is_said_to_be_unusable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BrokerError, match="cannot"):
        jars(tmp_path / "file")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CONSILIA_CACHE": "/mnt/cache", "XDG_CACHE_HOME": "/x"}, "/mnt/cache"),
        ({"CONSILIA_CACHE": "", "XDG_CACHE_HOME": "/x"}, "/x/consilia"),
        ({"CONSILIA_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/home/ada"}, "/home/ada/.cache/consilia"),
    ],
)
def test_where_the_cache_lies(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == expected
