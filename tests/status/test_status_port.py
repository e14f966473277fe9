"""The status port by itself: what it answers, whom it refuses, and that nobody can make it hang."""

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from time import monotonic

import pytest
from prometheus import program
from prometheus_client import CollectorRegistry
from status_ports import Port, letter, samples

from consilia.errors import RunError
from consilia.progress import JobProgress
from consilia.wire.identity import Identity
from consilia_workers.status import aggregator_metrics, server, trainer_metrics
from consilia_workers.status.board import Board
from consilia_workers.status.pulse import Pulse
from consilia_workers.status.routes import Routes
from consilia_workers.status.server import StatusServer

KEY = Identity.generate("the aggregator")


class Served:
    """A port, and what stands behind it."""

    def __init__(self) -> None:
        self.board = Board(KEY, JobProgress(job="job", version=0, phase="Starting"))
        self.pulse, self.registry = Pulse(), CollectorRegistry()
        self.server = StatusServer(0, Routes(self.board, self.registry, self.pulse))
        self.server.start()
        self.port = Port(self.server.port)

    def post(self, round_number: int) -> None:
        self.board.post(JobProgress(job="job", version=0, phase="Training", round=round_number))

    def progress(self, query: str) -> JobProgress:
        status, answer = self.port.get(f"/progress?{query}")
        assert status == 200
        return JobProgress.model_validate_json(letter(answer, KEY.public()))

    def talk(self, words: bytes) -> bytes:
        """Everything that is answered to raw bytes, until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port.number), 30) as connection:
            connection.sendall(words)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def served():
    made = Served()
    yield made
    made.server.close()


def test_progress_is_the_newest_snapshot_signed(served):
    served.post(1)
    served.post(2)
    assert served.progress("after=0").round == 2


def test_a_forged_or_changed_snapshot_does_not_verify(served):
    _, answer = served.port.get("/progress")
    said = json.loads(answer)
    assert KEY.public().signed(said["body"].encode(), said["signature"])
    assert not KEY.public().signed(said["body"].replace("Starting", "Training").encode(), said["signature"])
    assert not Identity.generate("another").public().signed(said["body"].encode(), said["signature"])


def test_a_long_poll_ends_with_the_change(served):
    asked = Event()

    def poll():
        version = served.progress("after=0").version
        asked.set()
        return served.progress(f"after={version}&wait=60").round

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(poll)
        asked.wait(30)
        served.post(7)
        assert answer.result(30) == 7


def test_nothing_new_is_said_as_such_when_the_time_is_over(served):
    version = served.progress("after=0").version
    started = monotonic()
    assert served.port.get(f"/progress?after={version}&wait=0.3") == (204, b"")
    assert 0.3 <= monotonic() - started < 10


def test_what_has_not_changed_is_no_news(served):
    served.post(1)
    version = served.progress("after=0").version
    served.post(1)
    assert served.progress("after=0").version == version


def test_many_wait_at_once(served):
    version = served.progress("after=0").version
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(served.progress, f"after={version}&wait=60") for _ in range(20)]
        served.post(3)
        assert {answer.result(30).round for answer in answers} == {3}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/progress?after=x", 400),
        ("/progress?after=-1", 400),
        ("/progress?after=1.5", 400),
        ("/progress?after=" + "9" * 40, 400),
        ("/progress?wait=61", 400),
        ("/progress?wait=nan", 400),
        ("/progress?wait=inf", 400),
        ("/progress?wait=-1", 400),
        ("/progress?" + "&".join(f"a{n}=1" for n in range(99)), 400),
        ("/progress/", 404),
        ("/", 404),
        ("/../etc/passwd", 404),
        ("//healthz", 404),
    ],
)
def test_a_bad_request_is_refused_in_words(served, path, status):
    found, words = served.port.get(path)
    assert found == status
    assert words.strip()


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
def test_only_get_is_answered(served, method):
    assert served.port.get("/healthz", method=method)[0] == 405


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET /healthz SPDY/3\r\n\r\n", b"400"),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET //[ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_what_is_no_http_is_refused(served, words, status):
    assert served.talk(words).split(b" ")[1] == status


def test_who_says_nothing_is_let_go_and_keeps_nobody_out(served, monkeypatch):
    monkeypatch.setattr(server, "_PATIENCE", 0.5)
    with socket.create_connection(("127.0.0.1", served.port.number), 30) as silent:
        assert served.port.get("/healthz")[0] == 200
        assert silent.recv(1) == b""


def test_more_connections_than_there_is_room_for_are_sent_away(served, monkeypatch):
    monkeypatch.setattr(server, "_CONNECTIONS", 2)
    version = served.progress("after=0").version
    polling = f"GET /progress?after={version}&wait=30 HTTP/1.1\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port.number), 30))
            connection.sendall(polling)
        assert b"503" in served.talk(b"")
        served.post(1)
        assert b"200" in connection.recv(100)


def test_health_is_lost_only_with_a_broken_promise(served):
    assert served.port.get("/healthz") == (200, b"ok\n")
    served.pulse.promise(3600)
    assert served.port.get("/healthz")[0] == 200
    served.pulse.promise(-5)
    assert served.port.get("/healthz") == (503, b"the main thread is overdue by 5 seconds\n")


def test_a_port_that_is_taken_is_said(served):
    with pytest.raises(RunError, match=f"cannot serve the status on port {served.port.number}"):
        StatusServer(served.port.number, Routes(served.board, served.registry, served.pulse))


@pytest.mark.parametrize("definitions", [aggregator_metrics.Metrics, trainer_metrics.Metrics])
def test_prometheus_own_linter_has_nothing_to_say(served, definitions):
    definitions(served.registry)
    status, text = served.port.get("/metrics")
    assert status == 200
    assert any(name == "consilia_build_info" for name, _ in samples(text.decode()))
    checked = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
