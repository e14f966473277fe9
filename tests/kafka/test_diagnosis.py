"""What keeps a party from the cluster, provoked for real: told within seconds, by name, with the way out."""

import subprocess
import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import listeners
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consilia.broker.process import Broker
from consilia.certificates import create_authority, issue_client
from consilia.errors import ConsiliaError, LogAccessError, LogError, LogUnavailableError
from consilia.kafka.diagnosis import diagnose, require_entry
from consilia.kafka.settings import KafkaSettings


def framed(content):
    """As an answer to the first request of a connection: the length, the number 1, and the content."""
    return (len(content) + 4).to_bytes(4, "big") + b"\0\0\0\1" + content


def authenticated(words):
    """SaslAuthenticate, version 1: no error, nothing to say, the words, no end of the session."""
    return framed(b"\0\0\xff\xff" + len(words).to_bytes(4, "big") + words + bytes(8))


GREETING = framed(bytes.fromhex("0000 00000001 0003 0000 000d"))
"""What a broker says to ApiVersions, version 0: no error, and Metadata from 0 to 13."""
MECHANISMS = framed(bytes.fromhex("0000 00000001 000d") + b"SCRAM-SHA-512")
"""What it says to SaslHandshake, version 1: no error, and one kind of login."""
YEAR, DAY, HOUR = timedelta(days=365), timedelta(days=1), timedelta(hours=1)


@dataclass
class World:
    """A broker in order, and what it takes to come to it in the wrong way."""

    broker: Broker
    folder: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def user(self, **changes):
        return self.broker.user("diagnosed").model_copy(update=changes)

    def certified(self, **changes):
        return self.broker.certificate("certified").model_copy(update=changes)

    def at(self, port, **fields):
        return KafkaSettings(bootstrap_servers=(f"127.0.0.1:{port}",), **fields)

    def served(self, serve, **fields):
        return self.at(self.stack.enter_context(listeners.listening(serve)), **fields)

    def file(self, name, content):
        path = self.folder / name
        path.write_text(content)
        return path

    def showing(self, begins, ends, serve=listeners.hanging_up, **fields):
        certificate, key = self.folder / "server.pem", self.folder / "server-key.pem"
        listeners.issued_for(self.broker.security.authority, begins, ends).save(certificate, key)
        return self.served(listeners.showing(certificate, key, serve), tls=True, ca=self.broker.security.ca, **fields)

    def claiming(self, *answers):
        """A listener that takes passwords, and answers what follows as it likes."""
        serve = listeners.answering(GREETING, MECHANISMS, *answers)
        return self.showing(-DAY, DAY, serve, username="a", password=self.file("password", "geheim"))

    def holding(self, begins, ends):
        certificate, key = self.folder / "own.pem", self.folder / "own-key.pem"
        listeners.issued_for(self.broker.security.authority, begins, ends).save(certificate, key)
        return self.certified(certificate=certificate, key=key)

    def stranger(self):
        certificate, key = self.folder / "stranger.pem", self.folder / "stranger-key.pem"
        authority = create_authority("Somebody else", lasts=YEAR)
        authority.save(self.folder / "other-ca.pem", self.folder / "other-ca-key.pem")
        issue_client(authority, "stranger", lasts=YEAR).save(certificate, key)
        return {"certificate": certificate, "key": key}

    def encrypted(self):
        mine = self.certified()
        path = self.folder / "encrypted.pem"
        command = ["openssl", "pkcs8", "-topk8", "-in", mine.key, "-out", path, "-passout", "pass:geheim"]
        subprocess.run(command, check=True)
        return mine.model_copy(update={"key": path})


@pytest.fixture
def world(kafka_broker, tmp_path):
    made = World(kafka_broker, tmp_path)
    with made.stack:
        yield made


def renamed(settings, host):
    port = settings.bootstrap_servers[0].rpartition(":")[2]
    return settings.model_copy(update={"bootstrap_servers": (f"{host}:{port}",)})


CAUSES = {
    "wrong password": (
        lambda w: w.user(password=w.file("password", "geheim")),
        LogAccessError,
        ["{broker} does not accept user diagnosed", "the password is wrong"],
        ["Correct the password in {folder}/password"],
    ),
    "unknown user": (
        lambda w: w.user(username="nobody"),
        LogAccessError,
        ["{broker} does not accept user nobody", "there is no such user"],
        ["username in the Kafka settings"],
    ),
    "no password file": (
        lambda w: w.user(password=w.folder / "absent"),
        LogError,
        ["cannot read the password file {folder}/absent: No such file"],
        ["Correct password"],
    ),
    "empty password file": (
        lambda w: w.user(password=w.file("empty", "\n")),
        LogError,
        ["the password file {folder}/empty is empty"],
        ["Correct password"],
    ),
    "no login": (
        lambda w: w.user(username=None, password=None),
        LogAccessError,
        ["{broker} asks for user and password"],
        ["Set username and password"],
    ),
    "login where none is taken": (
        lambda w: w.certified(username="a", password=w.file("password", "geheim")),
        LogAccessError,
        ["{broker} does not let user a log in: the listener takes no passwords"],
        ["the port of a SASL_SSL listener"],
    ),
    "no certificate": (
        lambda w: w.certified(certificate=None, key=None),
        LogAccessError,
        ["{broker} asks for a certificate, and the settings name none"],
        ["Set certificate and key"],
    ),
    "a stranger's certificate": (
        lambda w: w.certified(**w.stranger()),
        LogAccessError,
        ["{broker} does not accept the certificate in {folder}/stranger.pem"],
        ["Have it signed by an authority in the broker's ssl.truststore"],
    ),
    "own certificate expired": (
        lambda w: w.holding(-2 * DAY, -DAY),
        LogAccessError,
        ["the certificate in {folder}/own.pem expired on 20"],
        ["Have a new one signed"],
    ),
    "own certificate not valid yet": (
        lambda w: w.holding(HOUR, DAY),
        LogAccessError,
        ["the certificate in {folder}/own.pem is valid from 20", "here it is 20"],
        ["Set this machine's clock"],
    ),
    "another's key": (
        lambda w: w.certified(key=w.stranger()["key"]),
        LogError,
        ["the private key in {folder}/stranger-key.pem is not the key of the certificate in "],
        ["made together"],
    ),
    "encrypted key": (
        World.encrypted,
        LogError,
        ["the private key in {folder}/encrypted.pem is encrypted"],
        ["Decrypt it with `openssl pkcs8`"],
    ),
    "a key that is none": (
        lambda w: w.certified(key=w.file("key.pem", "geheim")),
        LogError,
        ["{folder}/key.pem holds no private key in PEM form"],
        ["Correct key"],
    ),
    "a certificate that is none": (
        lambda w: w.certified(certificate=w.file("cert.pem", "nothing")),
        LogError,
        ["{folder}/cert.pem holds no certificate in PEM form"],
        ["Correct certificate"],
    ),
    "an authority that is none": (
        lambda w: w.user(ca=w.file("ca.pem", "nothing")),
        LogError,
        ["{folder}/ca.pem holds no certificate in PEM form"],
        ["Correct ca"],
    ),
    "no authority file": (
        lambda w: w.user(ca=w.folder / "absent"),
        LogError,
        ["cannot read {folder}/absent: No such file"],
        ["Correct ca"],
    ),
    "untrusted broker": (
        lambda w: w.stranger() and w.user(ca=w.folder / "other-ca.pem"),
        LogAccessError,
        ["{broker} cannot be trusted: its certificate is not signed by anybody whom {folder}/other-ca.pem holds"],
        ["Set ca to the certificate of the authority"],
    ),
    "a broker of another name": (
        lambda w: renamed(w.user(), "127.1"),
        LogAccessError,
        ["{broker} cannot be trusted: its certificate is not for 127.1, but for ", "localhost"],
        ["Use a name that it is for"],
    ),
    "broker's certificate expired": (
        lambda w: w.showing(-2 * DAY, -DAY),
        LogAccessError,
        ["{broker} cannot be trusted: its certificate has expired on 20", "here it is 20"],
        ["Have whoever runs the broker renew it"],
    ),
    "broker's certificate not valid yet": (
        lambda w: w.showing(HOUR, DAY),
        LogAccessError,
        ["{broker} cannot be trusted: its certificate is not valid before 20", "by this machine's clock it is 20"],
        ["Set this machine's clock"],
    ),
    "plain words at a TLS port": (
        lambda w: w.at(w.broker.seat.ports.scram),
        LogError,
        ["{broker} speaks TLS, and the settings say tls: false"],
        ["Set tls to true"],
    ),
    "plain words at a TLS port of something else": (
        lambda w: w.showing(-DAY, DAY).model_copy(update={"tls": False, "ca": None}),
        LogError,
        ["speaks TLS"],
        ["Set tls to true"],
    ),
    "TLS at a plain port": (
        lambda w: w.at(w.broker.seat.ports.plain, tls=True, ca=w.broker.security.ca),
        LogError,
        ["{broker} does not speak TLS, and the settings say tls: true"],
        ["Choose the port of a TLS listener"],
    ),
    "a controller's port": (
        lambda w: w.certified(bootstrap_servers=(f"127.0.0.1:{w.broker.seat.ports.controller}",)),
        LogError,
        ["{broker} is the port of a Kafka controller"],
        ["the port of a broker's listener"],
    ),
    "an unknown host": (
        lambda w: renamed(w.user(), "kafka.hub.invalid"),
        LogUnavailableError,
        ["{broker} cannot be reached: the name kafka.hub.invalid is not known here"],
        ["Correct the name"],
    ),
    "a port where nothing runs": (
        lambda w: w.at(1),
        LogUnavailableError,
        ["{broker} cannot be reached: 127.0.0.1:1 refuses connections"],
        ["Start what should run there"],
    ),
    "an impossible port": (
        lambda w: w.at(65536),
        LogError,
        ["{broker} has no valid port"],
        ["from 1 to 65535"],
    ),
    "a silent port": (
        lambda w: w.served(listeners.silent),
        LogUnavailableError,
        ["{broker} does not answer: greeting it was not done after"],
        ["that no firewall is in between"],
    ),
    "a silent port for TLS": (
        lambda w: w.served(listeners.silent, tls=True, ca=w.broker.security.ca),
        LogUnavailableError,
        ["{broker} does not answer: agreeing on TLS was not done after"],
        ["that no firewall is in between"],
    ),
    "a web server": (
        lambda w: w.served(listeners.answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        LogError,
        ["what answers at {broker} is no Kafka broker"],
        ["Correct bootstrapServers"],
    ),
    "a broker that does not know the password": (
        lambda w: w.claiming(authenticated(b"r=ours,s=c2FsdA==,i=4096")),
        LogAccessError,
        ["{broker} accepts user a without knowing the password"],
        ["Do not use it"],
    ),
    "another kind of login": (
        lambda w: w.showing(
            -DAY,
            DAY,
            listeners.answering(GREETING, framed(bytes.fromhex("0021 00000001 0006") + b"GSSAPI")),
            username="a",
            password=w.file("password", "geheim"),
        ),
        LogAccessError,
        ["{broker} does not let user a log in by SCRAM-SHA-512: it offers only GSSAPI"],
        ["the port of a SASL_SSL listener"],
    ),
    "somebody who hangs up": (
        lambda w: w.served(listeners.answering()),
        LogUnavailableError,
        ["{broker} closed the connection to an anonymous client while greeting it"],
        ["See the broker's log"],
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_what_keeps_a_party_out_is_told_within_five_seconds(cause, world):
    provoke, kind, words, remedy = CAUSES[cause]
    wrong = provoke(world)
    begun = time.monotonic()
    error = diagnose(wrong)
    assert time.monotonic() - begun < 5
    names = {"broker": wrong.bootstrap_servers[0], "folder": world.folder}
    assert type(error) is kind
    for each in words:
        assert each.format(**names) in error.message
    for each in remedy:
        assert each.format(**names) in error.remedy
    assert "geheim" not in "".join(traceback.format_exception(error))
    with pytest.raises(kind):
        require_entry(wrong, 1.0)


@pytest.mark.parametrize("way", ["settings", "user", "certified"])
def test_where_all_is_well_nothing_is_found(way, world):
    good = world.broker.settings if way == "settings" else getattr(world, way)()
    assert diagnose(good) is None
    require_entry(good)


def test_one_way_in_is_enough_and_nobody_waits_for_the_others(world):
    silent = world.served(listeners.silent).bootstrap_servers
    some = world.broker.settings.model_copy(
        update={"bootstrap_servers": silent + world.broker.settings.bootstrap_servers}
    )
    begun = time.monotonic()
    require_entry(some, 2.0)
    assert diagnose(some, 2.0) is None
    assert time.monotonic() - begun < 1.5


def test_of_several_causes_the_one_is_told_that_somebody_must_act_upon(world):
    wrong = world.user(password=world.file("password", "geheim"))
    error = diagnose(wrong.model_copy(update={"bootstrap_servers": ("127.0.0.1:1", *wrong.bootstrap_servers)}))
    assert isinstance(error, LogAccessError)


anything = st.binary(max_size=60)
sized = anything.map(lambda content: len(content).to_bytes(4, "big") + content)
answers = anything.map(framed) | anything.map(authenticated) | st.sampled_from([GREETING, MECHANISMS])


@settings(max_examples=60, deadline=None)
@given(said=st.lists(anything | sized | answers, max_size=4))
@example(said=[GREETING])
def test_rubbish_is_told_as_such_and_crashes_nothing(said):
    with listeners.listening(listeners.answering(*said)) as port:
        error = diagnose(KafkaSettings(bootstrap_servers=(f"127.0.0.1:{port}",)), 0.1)
    assert isinstance(error, ConsiliaError)


@pytest.mark.slow
def test_a_broker_that_is_lost_is_named_as_the_cluster_announces_it(kafka_cluster):
    cluster = kafka_cluster()
    lost = cluster.brokers[1]
    lost.kill()
    error = diagnose(cluster.settings.model_copy(update={"bootstrap_servers": (cluster.brokers[0].bootstrap,)}))
    assert isinstance(error, LogUnavailableError)
    assert f"announces its broker 2 as {lost.bootstrap} (advertised.listeners), but: " in error.message
    require_entry(cluster.settings)
