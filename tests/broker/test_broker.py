"""One real broker: it keeps its data whatever happens to it, and says what keeps it from starting."""

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from ended import ends_within
from kafka_topics import create_topic, read_all, write

from consilia.broker.ports import is_free
from consilia.broker.process import Broker, Ports, Seat
from consilia.broker.runtime import Jvm
from consilia.broker.storage import prepare
from consilia.errors import BrokerError

ROOT = Path(__file__).parents[2]


def time_of(action):
    begun = time.monotonic()
    action()
    return round(time.monotonic() - begun, 2)


def test_data_survives_a_kill_a_stop_and_another_process_at_other_ports(killable_broker, kafka_runtime):
    broker = killable_broker()
    create_topic(broker.settings, "kept")
    write(broker.settings, "kept", b"before the kill")
    broker.kill()
    assert is_free(broker.seat.ports.plain)
    back = time_of(broker.start)
    write(broker.settings, "kept", b"before the stop")
    print(f"it came back in {back} s, and stopped in {time_of(broker.stop)} s")
    assert not broker.running()
    with Broker(broker.folder, kafka_runtime, jvm=Jvm(short_lived=True)) as other:
        assert other.bootstrap != broker.bootstrap
        assert read_all(other.settings, "kept", 2) == [b"before the kill", b"before the stop"]


def test_starting_and_stopping_twice_is_once(killable_broker):
    broker = killable_broker()
    pid = broker.pid
    broker.start()
    assert broker.pid == pid
    broker.stop()
    broker.stop()
    broker.kill()
    assert ends_within(pid, 0)


def test_a_second_one_in_the_same_folder_is_refused_before_it_can_do_harm(kafka_broker, kafka_runtime, monkeypatch):
    """Left to themselves, both take the cluster's metadata for theirs and write to it."""
    monkeypatch.setattr("consilia.broker.process.LEAVE_SECONDS", 0)
    before = (kafka_broker.folder / "server.properties").read_bytes()
    with pytest.raises(BrokerError, match="another one runs there"):
        Broker(kafka_broker.folder, kafka_runtime).start()
    assert (kafka_broker.folder / "server.properties").read_bytes() == before
    assert kafka_broker.running()


def test_a_port_that_is_taken_is_named(kafka_broker, kafka_runtime, tmp_path):
    taken = kafka_broker.seat.ports.plain
    broker = Broker(tmp_path / "b", kafka_runtime, seat=Seat(ports=Ports.free()._replace(plain=taken)))
    with pytest.raises(BrokerError, match=f"127.0.0.1:{taken}: somebody else listens there"):
        broker.start()
    assert not (tmp_path / "b").exists()


def test_a_java_that_will_not_is_quoted(kafka_runtime, tmp_path):
    broker = Broker(tmp_path, kafka_runtime, jvm=Jvm(heap="plenty"))
    with pytest.raises(BrokerError, match=r"(?s)ended while starting.*Invalid maximum heap size.*See .*broker\.log"):
        broker.start()


def test_a_folder_that_cannot_be_is_said_so(kafka_runtime, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BrokerError, match=r"cannot start a broker in .*file"):
        Broker(tmp_path / "file", kafka_runtime).start()


def test_an_interrupted_start_leaves_nothing_behind(kafka_runtime, tmp_path, monkeypatch):
    """As Ctrl-C does at a moment when Java runs already."""
    broker, pids = Broker(tmp_path, kafka_runtime, jvm=Jvm(short_lived=True)), []

    def interrupt(_):
        pids.append(broker.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr("consilia.broker.process.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        broker.start()
    assert ends_within(pids[0], 0)


@pytest.fixture
def by_hand(tmp_path):
    """A broker started with `python -m consilia.broker`, and what it said about where it is."""
    command = [sys.executable, "-m", "consilia.broker", "--folder", tmp_path / "50% off, ü", "--user", "hospital-a"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said = [process.stdout.readline() for _ in range(3)]
        yield process, "".join(said)
        process.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_started_by_hand_says_where_it_is_and_ends_with_its_command(kafka_runtime, by_hand, ending):
    process, said = by_hand
    port = int(re.search(r"Kafka serves at 127\.0\.0\.1:(\d+)", said)[1])
    assert "kafka://" in said
    assert not is_free(port)
    (pid,) = [each.pid for each in psutil.Process(process.pid).children(recursive=True) if each.name() == "java"]
    process.send_signal(ending)
    assert process.wait(30) == (-ending if ending is signal.SIGKILL else 0)
    assert ends_within(pid, 20)
    assert is_free(port)


def test_the_first_broker_of_a_machine_makes_the_template_and_the_next_one_copies_it(kafka_runtime, tmp_path):
    fresh = replace(kafka_runtime, template=tmp_path / "cache" / "template")
    prepare(tmp_path / "first", 1, "cluster", fresh)
    made = (fresh.template / "bootstrap.checkpoint").read_bytes()
    assert (tmp_path / "first" / "bootstrap.checkpoint").read_bytes() == made
    (fresh.template / "bootstrap.checkpoint").write_bytes(made + b"?")
    prepare(tmp_path / "second", 1, "cluster", fresh)
    assert (tmp_path / "second" / "bootstrap.checkpoint").read_bytes() == made + b"?"


@pytest.mark.parametrize("java", ["/bin/false", "/bin/true"])
def test_a_template_that_cannot_be_made_is_said_so(kafka_runtime, tmp_path, java):
    broken = replace(kafka_runtime, java=Path(java), template=tmp_path / "template")
    with pytest.raises(BrokerError, match="cannot format"):
        prepare(tmp_path / "data", 1, "cluster", broken)
    assert not (tmp_path / "data" / "meta.properties").exists()


def test_a_broker_without_security_says_that_it_has_no_users(kafka_runtime, tmp_path):
    broker = Broker(tmp_path, kafka_runtime)
    for way in (broker.user, broker.certificate):
        with pytest.raises(BrokerError, match="neither users nor certificates"):
            way("hospital-a")
