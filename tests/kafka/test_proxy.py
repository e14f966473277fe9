"""Kafka through a hospital's proxy: real proxies, real clients, a real broker."""

import time
from contextlib import closing
from urllib.parse import urlsplit

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaConnectionError
from kafka.net import NetworkSelector, create_connection
from proxies import ProxyServer

from consilia.errors import LogAccessError, LogError, LogUnavailableError
from consilia.kafka.connection import client_options, make_admin
from consilia.kafka.diagnosis import diagnose
from consilia.kafka.log import KafkaLog
from consilia.kafka.proxy import Proxy
from consilia.kafka.tunnel import proxy_url

KINDS = {"http": "http", "socks5": "socks5", "socks5h": "socks5"}
ONLY_THERE = "kafka.hub.invalid"
"""A name that no resolver knows (RFC 6761), but the proxies of these tests do."""
ODD_PASSWORD = "p@ss:/?#[%41] ä"


def behind(settings, server, scheme, tmp_path, *, login=None):
    """The settings, by way of the proxy."""
    fields = {"proxy": f"{scheme}://127.0.0.1:{server.port}"}
    if login:
        path = tmp_path / "proxy-password"
        path.write_text(login[1] + "\n", encoding="utf-8")
        fields |= {"proxy_username": login[0], "proxy_password": path}
    return settings.model_copy(update=fields)


def under(settings, host):
    """The settings, the broker called by another name."""
    port = settings.bootstrap_servers[0].rpartition(":")[2]
    return settings.model_copy(update={"bootstrap_servers": (f"{host}:{port}",)})


def connections_to(port):
    """The local ports of this process's connections to a port on this machine, a proxy's among them."""
    return {
        each.laddr.port for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port
    }


def exchange(settings, topic, look=lambda: None):
    """Write a record, read it back, `look` while all is open; returns the record's value."""
    with (
        closing(KafkaProducer(**client_options(settings))) as producer,
        closing(KafkaConsumer(**client_options(settings), auto_offset_reset="earliest")) as consumer,
    ):
        producer.send(topic, b"to and fro").get(10)
        consumer.assign([TopicPartition(topic, 0)])
        deadline = time.monotonic() + 10
        while not (found := consumer.poll(500)) and time.monotonic() < deadline:
            pass
        look()
        return next(iter(found.values()))[0].value


@pytest.fixture(scope="module")
def topic(kafka_broker):
    with make_admin(kafka_broker.settings) as admin:
        admin.create_topics({"proxied": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    return "proxied"


@pytest.mark.parametrize("login", [None, ("hospital-a", ODD_PASSWORD)], ids=["open", "login"])
@pytest.mark.parametrize("scheme", KINDS)
def test_records_go_through_the_proxy_and_no_other_way(scheme, login, kafka_settings, topic, tmp_path):
    (address,) = kafka_settings.bootstrap_servers
    port = int(address.rpartition(":")[2])
    with ProxyServer(KINDS[scheme], login=login, names={ONLY_THERE: "127.0.0.1"}) as server:
        # socks5 resolves here, so it cannot be given the name that only the proxy knows.
        called = kafka_settings if scheme == "socks5" else under(kafka_settings, ONLY_THERE)
        settings = behind(called, server, scheme, tmp_path, login=login)
        earlier = connections_to(port)
        ways = set()
        assert exchange(settings, topic, lambda: ways.update(connections_to(port) - earlier)) == b"to and fro"
        assert ways
        assert ways <= server.ways_out
        # Two clients, each first at the bootstrap address, then at the one that the broker announces.
        assert len(server.targets) >= 4
        assert set(server.targets) == {called.bootstrap_servers[0], address}
        assert diagnose(settings) is None
        server.stop()
        assert isinstance(diagnose(settings, 2.0), LogUnavailableError)


def test_a_log_works_through_a_proxy(kafka_settings, tmp_path):
    with ProxyServer("http", names={ONLY_THERE: "127.0.0.1"}) as server:
        settings = behind(under(kafka_settings, ONLY_THERE), server, "http", tmp_path)
        with closing(KafkaLog(settings)) as log:
            with closing(log.producer("proxied.p")) as producer, producer.transaction() as transaction:
                transaction.append("proxied.log", b"x")
            assert [bytes(each.value) for each in log.read("proxied.log", 0)] == [b"x"]


@pytest.mark.parametrize("scheme", KINDS)
def test_inside_the_tunnel_the_certificate_is_checked_against_the_broker(scheme, kafka_user, tmp_path):
    with ProxyServer(KINDS[scheme], names={ONLY_THERE: "127.0.0.1"}) as server:
        settings = behind(kafka_user("tunnelled"), server, scheme, tmp_path)
        with make_admin(settings) as admin:
            assert admin.list_topics() == []
        if scheme != "socks5":
            error = diagnose(under(settings, ONLY_THERE))
            assert isinstance(error, LogAccessError)
            assert f"is not for {ONLY_THERE}, but for" in error.message
            assert "127.0.0.1" in error.message


@pytest.mark.parametrize("scheme", KINDS)
@pytest.mark.parametrize(
    ("server", "login", "kind", "words"),
    [
        ({"login": ("a", "right")}, ("a", "wrong"), LogAccessError, "does not accept user a with the password in "),
        ({"login": ("a", "right")}, None, LogAccessError, "asks for a user"),
        ({"forbidden": lambda target: True}, None, LogAccessError, "forbids the way to Kafka at 127.0.0.1:"),
        ({"names": {"127.0.0.1": "192.0.2.1.invalid"}}, None, LogUnavailableError, "cannot reach Kafka at 127.0.0.1:"),
        ({"answer": b""}, None, LogUnavailableError, "hung up"),
        ({"answer": b"220 mail.example ESMTP\r\n"}, None, LogError, "proxy"),
    ],
    ids=["wrong password", "no password", "forbidden", "unreachable", "hangs up", "no proxy"],
)
def test_what_the_proxy_refuses_says_so(scheme, server, login, kind, words, kafka_settings, tmp_path):
    with ProxyServer(KINDS[scheme], **server) as proxy:
        settings = behind(kafka_settings, proxy, scheme, tmp_path, login=login)
        begun = time.monotonic()
        error = diagnose(settings)
        assert time.monotonic() - begun < 5
        assert type(error) is kind
        assert words in error.message
        assert f":{proxy.port}" in error.message
        assert error.remedy
        assert "wrong" not in str(error)


@pytest.mark.parametrize("scheme", KINDS)
def test_a_proxy_that_is_away_is_named(scheme, kafka_settings, tmp_path):
    with ProxyServer(KINDS[scheme]) as server:
        settings = behind(kafka_settings, server, scheme, tmp_path)
    error = diagnose(settings)
    assert isinstance(error, LogUnavailableError)
    assert f"127.0.0.1:{server.port} refuses connections" in error.message
    unknown = settings.model_copy(update={"proxy": f"{scheme}://proxy.invalid:3128"})
    assert "the name proxy.invalid is not known" in str(diagnose(unknown))


@pytest.mark.parametrize("scheme", KINDS)
def test_a_broker_that_the_proxy_does_not_lead_to_is_named_as_the_cluster_announces_it(
    scheme, kafka_settings, tmp_path
):
    """The most common trap: the way in is allowed, the address that the broker gives itself is not."""
    (address,) = kafka_settings.bootstrap_servers
    door = under(kafka_settings, "localhost" if scheme == "socks5" else ONLY_THERE)
    calls = []

    def only_the_first(target):
        calls.append(target)
        return len(calls) > 1 if scheme == "socks5" else target == address

    with ProxyServer(KINDS[scheme], names={ONLY_THERE: "127.0.0.1"}, forbidden=only_the_first) as server:
        error = diagnose(behind(door, server, scheme, tmp_path))
    assert isinstance(error, LogAccessError)
    assert f"announces its broker 1 as {address} (advertised.listeners)" in error.message
    assert "forbids" in error.message


@pytest.mark.parametrize("scheme", KINDS)
def test_waiting_for_a_slow_proxy_costs_no_processor_time(scheme, kafka_settings, tmp_path):
    with ProxyServer(KINDS[scheme], silent=True) as server, closing(NetworkSelector()) as net:
        settings = behind(kafka_settings, server, scheme, tmp_path)
        url = client_options(settings)["proxy_url"]
        begun = time.thread_time()
        with pytest.raises(KafkaConnectionError, match="timed out"):
            net.run(create_connection, net, "127.0.0.1", 9092, (), url, time.monotonic() + 1)
        assert time.thread_time() - begun < 0.2
        assert "asking the proxy" in str(diagnose(settings, 0.5))


def test_no_secret_stands_in_what_kafka_python_is_told(kafka_settings, tmp_path):
    with ProxyServer("http", login=("a", "geheim")) as server:
        settings = behind(kafka_settings, server, "http", tmp_path, login=("a", "geheim"))
        assert "geheim" not in str(client_options(settings))


@pytest.mark.parametrize("password", [None, "/etc/consilia/a password"])
def test_a_proxy_survives_its_url(password, tmp_path):
    proxy = Proxy("socks5h", "2001:db8::1", 1080, "ä&b=c" if password else None, password and tmp_path / password)
    assert Proxy.from_query(urlsplit(proxy_url(proxy)).query) == proxy


@pytest.mark.parametrize("host", ["a\r\nX-Evil: 1", "", "a b", "ä.example", "x" * 254])
def test_a_broker_cannot_put_words_into_the_mouth_of_a_hospital(host):
    with pytest.raises(LogError, match="no host name"):
        Proxy("http", "127.0.0.1", 3128).dialogue(host, 9092)
