"""A ledger behind an address: the same answers as in its folder, nobody else heard, and nothing charged twice."""

import base64
import json
import re
import secrets
import socket
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from multiprocessing.connection import wait
from socketserver import StreamRequestHandler, TCPServer
from threading import Event, Thread, Timer
from time import time

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from ledgers import HOSPITAL, ROUND, account_of, budget, content, plan
from prometheus_client.parser import text_string_to_metric_families

from consilia.errors import BudgetError, LedgerError, LedgerUnavailableError
from consilia.ledger import remote, requests
from consilia.ledger.chain import Head
from consilia.ledger.content import Content
from consilia.ledger.interface import Charge
from consilia.ledger.journal import read_entries
from consilia.ledger.opening import open_ledger
from consilia.ledger.remote import RemoteLedger
from consilia.privacy.mechanisms import Mechanism
from consilia.wire.identity import LEDGER_ANSWER, LEDGER_REQUEST, Identity, canonical
from consilia_workers import ledger_service
from consilia_workers.ledger_service import LedgerServer, open_or_why_not

KEY = Identity.generate(HOSPITAL)
NONCE, OUTPUT = "0" * 32, "sha256:" + "1" * 64
SMALL = Mechanism(kind="Gaussian", noise_multiplier="60")
EVALUATED = replace(plan(2, delta=1e-6), evaluation=SMALL, evaluations=3)


class Served:
    """A ledger in a folder: what answers for it on loopback, and both ways to it."""

    def __init__(self, folder):
        self.file, self.server = folder / "ledger.jsonl", None
        self.local = open_or_why_not(folder, KEY)
        self.account = account_of(self.local)
        self.local.admit(self.account, "job", plan(5, epsilon=1.2))
        self.reservation = self.local.reserve(self.account, "job", 1, ROUND, nonce=NONCE).reservation

    def start(self, port=0):
        self.server = LedgerServer(port, KEY, open_or_why_not(self.file.parent, KEY))
        self.server.start()
        self.remote = RemoteLedger(f"http://127.0.0.1:{self.server.port}", KEY)
        return self

    def said(self, question=None, key=KEY, **changes):
        first = {"hospital": HOSPITAL, "asked": time(), "nonce": secrets.token_hex(16)}
        fields = first | {"session": self.server.desk.session, "question": question or requests.HeadAsked()} | changes
        return requests.letter(requests.Asked(**fields), key)[1]

    def ask(self, data=None, path="/ask", method="POST", headers=None):
        with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=30)) as connection:
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return response.status, response.read()

    def answer(self, data):
        body = requests.body_of(self.ask(data)[1], KEY.public(), requests.Answered)
        return requests.Answered.model_validate_json(body).answer

    def figures(self):
        families = text_string_to_metric_families(self.ask(path="/metrics", method="GET")[1].decode())
        return {(each.name, each.labels.get("dataset")): each.value for found in families for each in found.samples}

    def types(self):
        return [each.type for each in read_entries(self.file)[0]]


@pytest.fixture
def served(tmp_path):
    made = Served(tmp_path / "ledger").start()
    yield made
    made.server.close()


def reopened(ledger, world):
    """Whether a budget that is approved in the knowledge of a loss is trusted again."""
    after = world.local.accept_gap([Head(99, OUTPUT)], "Board", "the disk was lost")
    ledger.set_budget(world.account, budget("2", approved_by="Board", reason="counted", after_gap=after))
    return ledger.state(world.account).gap


CALLS = {
    "the content key": lambda it, world: it.content_key(),
    "the head": lambda it, world: it.head(),
    "heads": lambda it, world: it.compare([Head(), it.head()]),
    "more heads than fit": lambda it, world: it.compare([it.head()] * (requests.HEADS_AT_MOST + 1)),
    "a head of another": lambda it, world: it.compare([Head(99, OUTPUT)]),
    "data that it knows": lambda it, world: it.register("heart", content("heart"), "Record"),
    "data that changed": lambda it, world: it.register("heart", Content(OUTPUT, ("0" * 16, "1" * 16)), "Record"),
    "data of another unit": lambda it, world: it.register("heart", content("heart"), "Patient"),
    "a name": lambda it, world: it.find("heart"),
    "a name never heard": lambda it, world: it.find("lungs"),
    "a lower budget": lambda it, world: it.set_budget(world.account, budget("2", epsilon_per_job="1.5")),
    "a higher budget": lambda it, world: it.set_budget(world.account, budget("4")),
    "an approved budget": lambda it, world: it.set_budget(world.account, budget("4", approved_by="Zoë", reason="ä")),
    "an approval after a gap": reopened,
    "a job once more": lambda it, world: it.admit(world.account, "job", plan(5, epsilon=1.2)),
    "another job": lambda it, world: it.admit(world.account, "other", EVALUATED),
    "a job too large": lambda it, world: it.admit(world.account, "other", plan(1000)),
    "what it affords": lambda it, world: it.affords(world.account, "other", plan(1000)),
    "the same charge": lambda it, world: it.reserve(world.account, "job", 1, ROUND, nonce=NONCE),
    "an evaluation": lambda it, world: it.reserve(world.account, "x", 1, SMALL, nonce="1" * 32, purpose="Evaluation"),
    "beyond the promise": lambda it, world: it.reserve(world.account, "job", 2, ROUND.times(99), nonce="2" * 32),
    "beyond the budget": lambda it, world: it.reserve(world.account, "x", 2, ROUND.times(99), nonce="3" * 32),
    "an output": lambda it, world: it.commit(world.reservation, OUTPUT),
    "the end of a job": lambda it, world: it.give_back(world.account, "job", "Withdrawn"),
    "a job's state": lambda it, world: it.state(world.account, "job"),
    "no account's state": lambda it, world: it.state("nothing"),
    "all states": lambda it, world: it.statements(),
}


def outcome(call, ledger, world):
    """What comes back, or everything that the error says."""
    try:
        return call(ledger, world)
    except (BudgetError, LedgerError) as error:
        return type(error), vars(error)


@pytest.mark.parametrize("asked", CALLS)
def test_from_afar_a_ledger_says_and_does_what_it_does_in_its_folder(served, tmp_path, asked):
    call, twin = CALLS[asked], Served(tmp_path / "twin")
    told = outcome(call, served.remote, served)
    outcome(call, twin.local, twin)
    assert served.types() == twin.types()
    assert outcome(call, served.local, served) == told


@given(st.floats(min_value=0))
def test_figures_arrive_to_the_last_digit(figure):
    charge = Charge(reservation=1, attempt=1, epsilon_of_job=figure, head=Head())
    said = requests.Answered(to=OUTPUT, answer=requests.Charged(charge=charge))
    assert requests.Answered.model_validate_json(requests.letter(said, KEY)[0]) == said


def signed(text, purpose=LEDGER_REQUEST):
    return canonical({"body": text, "signature": KEY.sign(text.encode(), purpose=purpose)})


UNWELCOME = {
    "altered": (lambda it: it.said().replace(b"HeadAsked", b"AllStates"), 400, "not signed"),
    "another key": (lambda it: it.said(key=Identity.generate(HOSPITAL)), 400, "not signed"),
    "an answer": (lambda it: signed(json.loads(it.said())["body"], LEDGER_ANSWER), 400, "not signed"),
    "rubbish": (lambda it: b"\xff\x00rubbish", 400, "can't decode"),
    "half a character": (lambda it: b'{"body": "\\ud800", "signature": ""}', 400, "surrogates"),
    "nested": (lambda it: b"[" * 100_000, 400, "nested too deeply"),
    "a number": (lambda it: b"1" * 10_000, 400, "integer string conversion"),
    "another hospital": (lambda it: it.said(hospital="lakeside"), 200, "is riverside's, and lakeside asks"),
    "an old clock": (lambda it: it.said(asked=time() - 400), 200, r"differ by 4\d\d seconds, more than 5 minutes"),
    "a fast clock": (lambda it: it.said(asked=time() + 700), 200, "more than 5 minutes"),
    "unknown": (lambda it: signed('{"question":{"type":"Forgive"}}'), 200, "none that the ledger knows"),
    "a weak key": (lambda it: it.said(requests.ContentKeyAsked(public_key="A" * 43 + "=")), 200, "shared key"),
}


@pytest.mark.parametrize("unwelcome", UNWELCOME)
def test_a_letter_that_nobody_may_write_is_refused_in_words(served, unwelcome):
    make, status, words = UNWELCOME[unwelcome]
    found, told = served.ask(make(served))
    assert found == status
    assert re.search(words, told.decode())


def test_a_plan_that_the_ledger_could_not_read_again_is_never_written(served):
    endless, before = plan(3, ROUND.model_copy(update={"steps": 10**9})), served.types()
    with pytest.raises(LedgerError, match="at most 1000000000 steps"):
        served.remote.admit(served.account, "other", endless)
    assert served.types() == before


def test_the_same_letter_is_answered_once_and_its_nonce_is_good_for_no_other(served):
    letter = served.said(requests.GiveBack(account=served.account, job="job", reason="Finished"), nonce=NONCE)
    first = served.ask(letter)
    served.local.admit(served.account, "job", plan(5, epsilon=1.2))
    before = served.types()
    assert served.ask(letter) == first
    assert re.search("nonce was used for another", served.answer(served.said(nonce=NONCE)).message)
    assert served.types() == before


def test_what_was_said_to_an_earlier_process_is_not_heard_again(served):
    letter = served.said(requests.SetBudget(account=served.account, epsilon="9", delta="1e-5", approved_by="Board"))
    assert served.answer(letter) == requests.Done()
    served.local.set_budget(served.account, budget("1"))
    before, known = served.types(), served.remote
    served.server.close()
    with pytest.raises(LedgerUnavailableError, match=f"the ledger at {known.url} cannot be reached: .*Wait until"):
        known.head()
    served.start(served.server.port)
    assert served.answer(letter) == requests.NewSession(session=served.server.desk.session)
    assert served.types() == before
    assert known.head() == served.local.head()


def test_the_content_key_is_readable_only_to_the_one_who_asked(served):
    ours = X25519PrivateKey.generate()
    public = base64.b64encode(ours.public_key().public_bytes_raw()).decode()
    told = served.answer(served.said(requests.ContentKeyAsked(public_key=public)))
    assert requests.unseal(told, ours) == served.local.content_key()
    with pytest.raises(ValueError, match="somebody else"):
        requests.unseal(told, X25519PrivateKey.generate())


def test_what_is_asked_in_the_wrong_place_or_at_length_is_refused(served):
    for status, path, method, headers in (
        (404, "/ask/", "POST", {}),
        (404, "/ask", "GET", {}),
        (501, "/ask", "PUT", {}),
        (413, "/ask", "POST", {"Content-Length": str(1 << 40)}),
        (411, "/ask", "POST", {"Transfer-Encoding": "chunked"}),
        (431, "/ask", "POST", {str(number): "x" for number in range(200)}),
    ):
        assert served.ask(None, path, method, headers)[0] == status


def test_who_trickles_is_let_go_and_keeps_nobody_out(served, monkeypatch):
    monkeypatch.setattr(ledger_service, "_PATIENCE", 0.5)
    with socket.create_connection(("127.0.0.1", served.server.port), 30) as slow:
        slow.sendall(b"POST /ask HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        assert served.ask(path="/healthz", method="GET") == (200, b"ok\n")
        while not wait([slow], 0.05):
            slow.send(b"a")
    monkeypatch.setattr(ledger_service, "_THREADS", 0)  # no room for anybody
    with pytest.raises(LedgerUnavailableError):
        served.remote.head()


@pytest.mark.parametrize("started_again", [True, False])
def test_a_tampered_ledger_is_told_by_every_method_and_has_no_figures(served, started_again):
    forged = served.file.read_bytes().replace(b'"epsilon":"3"', b'"epsilon":"9"')
    served.file.write_bytes(forged if started_again else forged[:500])
    if started_again:
        served.server.close()
        served.start()
    words = r"entry 4 of .* is not signed .* docs/guides/ledger.md" if started_again else "was cut or replaced"
    for asked in CALLS.keys() - ([] if started_again else ["the content key"]):
        with pytest.raises(LedgerError, match=words):
            CALLS[asked](served.remote, served)
    assert served.ask(path="/healthz", method="GET") == (200, b"ok\n")
    assert ("consilia_ledger_entries", None) not in served.figures()


def test_a_ledger_that_cannot_be_used_is_logged_again_and_again(monkeypatch, caplog):
    monkeypatch.setattr(ledger_service, "_REMINDER", 0.001)
    Timer(0.3, (ended := Event()).set).start()
    ledger_service.remind(LedgerError("entry 4 is odd.", remedy="Look."), ended)
    assert caplog.messages[:2] == ["no question is answered: entry 4 is odd. Look. Then start this program again."] * 2


def test_prometheus_is_told_what_the_ledger_tells(served):
    served.local.register("free", content("free"), "Record")
    told, found = served.local.state(served.account), served.figures()
    for name in ("spent", "reserved", "available"):
        assert found[f"consilia_privacy_dataset_epsilon_{name}", "heart"] == getattr(told, name)
        assert found[f"consilia_privacy_dataset_epsilon_{name}", "free"] == (float("inf") if name == "available" else 0)
    assert found["consilia_ledger_entries", None] == told.head.entries


@contextmanager
def in_its_place(served, *turns):
    """A neighbour that took the ledger's place: each connection gets the next of the answers, the last one for ever."""
    left = list(turns)

    class Handler(StreamRequestHandler):
        def handle(self):
            head = b"".join(iter(self.rfile.readline, b"\r\n")).decode()
            letter = self.rfile.read(int(re.search(r"Content-Length: (\d+)", head)[1]))
            turn = left.pop(0) if len(left) > 1 else left[0]
            self.wfile.write(turn(served.server.desk.answer(letter).body))

    with TCPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield RemoteLedger(f"http://127.0.0.1:{server.server_address[1]}", KEY)
        server.shutdown()


def over_http(body, status=b"200 OK"):
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def telling(key):
    said = requests.Answered(to=OUTPUT, answer=requests.HeadTold(head=Head(9, OUTPUT)))
    return lambda _: over_http(requests.letter(said, key)[1])


LOSSES = {"lost": lambda _: b"", "cut": lambda body: over_http(body)[:-9]}
INSTEAD = {
    "another key's": (telling(Identity.generate("x")), LedgerError, "riverside: its answer cannot be trusted: .*sign"),
    "another answer": (telling(KEY), LedgerError, "its answer belongs to another question.*Correct the address"),
    "too much": (lambda _: over_http(b"x" * (requests.LONGEST + 9)), LedgerError, "more than 1048576 bytes"),
    "no page": (lambda _: over_http(b"no page", b"404 Not Found"), LedgerError, "answers 404: 'no page'"),
    "no room": (lambda _: over_http(b"full", b"503 Busy"), LedgerUnavailableError, "answers 503: 'full'"),
    "no HTTP": (lambda _: b"SSH-2.0-OpenSSH\r\n", LedgerUnavailableError, "SSH"),
    "lost": (LOSSES["lost"], LedgerUnavailableError, "Remote end closed connection"),
    "cut": (LOSSES["cut"], LedgerUnavailableError, "IncompleteRead"),
    "silence": (lambda _: str(Event().wait(0.6)).encode(), LedgerUnavailableError, "timed out|closed connection"),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_lost_answer_is_asked_for_again_and_the_release_is_charged_once(served, loss):
    with in_its_place(served, over_http, loss, over_http) as ledger:  # the first answer names the session
        charge = ledger.reserve(served.account, "x", 1, SMALL, nonce="7" * 32)
    assert (charge.attempt, served.types().count("Reserved")) == (1, 2)


@pytest.mark.parametrize("instead", INSTEAD)
def test_whoever_takes_the_ledgers_place_is_not_believed(served, instead, monkeypatch):
    monkeypatch.setattr(remote, "_ANSWER", 0.3 if instead == "silence" else 30)
    turn, error, words = INSTEAD[instead]
    with in_its_place(served, turn) as ledger, pytest.raises(error, match=words):
        ledger.head()


def test_an_address_says_where_the_ledger_is(tmp_path):
    assert open_ledger(f"file://{tmp_path}/my%20ledger", KEY).folder == tmp_path / "my ledger"
    assert open_ledger("http://[::1]:8085", KEY).url == "http://[::1]:8085"
    for wrong in ("", "ledger", "file://relative", "file:///", "https://a:8085", "http://", "http://a:x", "http://a/b"):
        with pytest.raises(LedgerError, match=r"Write (file:///path/of/a/folder|http://host:port)"):
            open_ledger(wrong, KEY)
