"""The guide to Kafka's errors says what Consilia says, and leaves out nothing that the diagnosis can find."""

import inspect
import re
import ssl
from datetime import timedelta

import pytest
from kafka import errors as theirs
from pages import ROOT

from consilia.certificates import create_authority, issue_client, issue_server
from consilia.errors import ConsiliaError, LogUnavailableError
from consilia.kafka import findings
from consilia.kafka.approach import Step
from consilia.kafka.certificates import load_certificates
from consilia.kafka.findings import Peer
from consilia.kafka.proxy import Proxy
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.translation import Failure, translate

PAGE = ROOT / "docs" / "guides" / "kafka-troubleshooting.md"
SOURCES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "consilia" / "kafka").glob("*.py")))
SETTINGS = KafkaSettings(bootstrap_servers=("k:1",), tls=True, ca="ca.pem", username="a", password="p")
PEER = Peer(SETTINGS, "k", 1)
AUTHORITY = create_authority("Authority", lasts=timedelta(days=1))
SAMPLES = {
    "peer": [PEER],
    "through": [PEER],
    "error": [LogUnavailableError("it refuses connections.")],
    "step": list(Step),
    "seconds": [4.0],
    "node": [1],
    "reason": ["No route to host"],
}
FAILURES = (
    theirs.TopicAuthorizationFailedError,
    theirs.GroupAuthorizationFailedError,
    theirs.TransactionalIdAuthorizationFailedError,
    theirs.MessageSizeTooLargeError,
    theirs.UnknownTopicOrPartitionError,
    theirs.InvalidReplicationFactorError,
    theirs.PolicyViolationError,
    theirs.UnsupportedVersionError,
)


def found_at_the_door():
    """Everything in `findings`."""
    for name, make in vars(findings).items():
        public = inspect.isfunction(make) and make.__module__ == findings.__name__ and not name.startswith("_")
        if public and name != "bad_broker_certificate":
            choices = [SAMPLES.get(parameter, ["something"]) for parameter in inspect.signature(make).parameters]
            for index in range(max(map(len, choices))):
                yield make(*(choice[index % len(choice)] for choice in choices))
    shown = issue_server(AUTHORITY, "broker", ["other"], lasts=timedelta(days=1)).certificate
    for code in (9, 10, 20, 62):
        error = ssl.SSLCertVerificationError()
        error.verify_code, error.verify_message = code, "so"
        yield findings.bad_broker_certificate(PEER, error, shown)


def refused_by_proxies():
    for scheme, login, answers in (
        ("http", "a", [b"HTTP/1.1 407 No\r\n\r\n"]),
        ("http", None, [b"HTTP/1.1 407 No\r\n\r\n"]),
        ("http", None, [b"HTTP/1.1 403 No\r\n\r\n"]),
        ("http", None, [b"HTTP/1.1 502 No\r\n\r\n"]),
        ("http", None, [b"SSH-2.0\r\n\r\n"]),
        ("socks5", None, [b"\x05\x00", b"\x05\x02"]),
        ("socks5", None, [b"\x05\x00", b"\x05\x04"]),
        ("socks5", None, [b"\x05\xff"]),
    ):
        dialogue = Proxy(scheme, "p", 1, login, ROOT / "LICENSE").dialogue("k", 1)
        next(dialogue)
        for answer in answers[:-1]:
            dialogue.send(answer)
        with pytest.raises(ConsiliaError) as caught:
            dialogue.send(answers[-1])
        yield caught.value
    question = Proxy("socks5", "p", 1).dialogue("k", 1)
    with pytest.raises(ConsiliaError) as caught:
        next(question)[1](b"HTTP")
    yield caught.value


def wrong_with_files(folder):
    names = {name: folder / f"{name}.pem" for name in ("old", "old-key", "own", "own-key")}
    issue_client(AUTHORITY, "a", lasts=-timedelta(minutes=1)).save(names["old"], names["old-key"])
    issue_client(AUTHORITY, "a", lasts=timedelta(days=1)).save(names["own"], names["own-key"])
    for certificate, key in (("old", "old-key"), ("own", "old-key")):
        fields = {"username": None, "password": None, "ca": None, "certificate": names[certificate], "key": names[key]}
        with pytest.raises(ConsiliaError) as caught:
            load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), SETTINGS.model_copy(update=fields))
        yield caught.value


def gone_wrong_at_work():
    for kind in FAILURES:
        for doing in ("write to", "read", "create", "delete", "look up"):
            failure = Failure(error=kind(), settings=SETTINGS, doing=doing, topic="t", group="g", transactional_id="w")
            yield translate(failure)


@pytest.fixture
def messages(tmp_path):
    """What Consilia says, for real."""
    makers = (found_at_the_door(), refused_by_proxies(), wrong_with_files(tmp_path), gone_wrong_at_work())
    return [error.message for made in makers for error in made]


def pattern(row):
    """A row's words, `…` standing for any."""
    return re.compile(".*".join(map(re.escape, row.split("…"))))


def rows():
    """The first cell of every row: all that it quotes."""
    cells = re.findall(r"^\| (`.+?`) \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [quoted for cell in cells for quoted in re.findall(r"`([^`]+)`", cell)]


def test_consilia_says_what_the_guide_says_it_says(messages):
    said = [row for row in rows() if any(pattern(row).search(message) for message in messages)]
    stands = [row for row in rows() if all(piece.strip(" .") in SOURCES for piece in row.split("…"))]
    assert set(rows()) - set(said) - set(stands) == set()
    assert len(said) > 40


def test_whatever_can_be_found_is_in_the_guide(messages):
    patterns = [pattern(row) for row in rows()]
    unknown = [message for message in messages if not any(each.search(message) for each in patterns)]
    assert not unknown, unknown[0]
