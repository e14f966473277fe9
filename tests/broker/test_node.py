"""A Kafka node as a pod runs it: one file for all nodes, a root that cannot be written, and Kafka's own process."""

import json
import os
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic, sleep

import pytest
from kafka_brokers import runtime_or_skip
from kafka_topics import create_topic

from consilia.broker.guarded import Guarded
from consilia.broker.node import NodeSettings, describe, ordinal, set_up
from consilia.broker.ports import free_ports
from consilia.broker.properties import server_properties
from consilia.broker.storage import new_id
from consilia.certificates import create_authority, issue_client, issue_server
from consilia.errors import BrokerError, ConsiliaError, LogAccessError
from consilia.kafka.connection import make_admin
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.users import Users

HOST = "localhost"


def settings_file(folder, *, count=1, **changes):
    """In `folder`, with all the files that it names."""
    authority = create_authority("test", lasts=timedelta(days=1))
    issue_server(authority, "nodes", [HOST], lasts=timedelta(days=1)).save(folder / "tls.crt", folder / "tls.key")
    issue_client(authority, "boss", lasts=timedelta(days=1)).save(folder / "boss.crt", folder / "boss.key")
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    ports = iter(free_ports(3 * count))
    names = ("clients", "peers", "controller")
    places = [{"host": HOST, **{name: next(ports) for name in names}} for _ in range(count)]
    content = {
        "cluster": new_id(),
        "nodes": places,
        "listen": "127.0.0.1",
        "data": str(folder / "data"),
        "work": str(folder / "work"),
        "certificate": str(folder / "tls.crt"),
        "key": str(folder / "tls.key"),
        "trust": str(folder / "ca.crt"),
        "superUsers": ["nodes", "boss"],
        "heap": "256m",
    }
    path = folder / "node.json"
    path.write_text(json.dumps(content | changes))
    return path


@contextmanager
def running(path, number=0, **environment):
    command = ["env", f"POD_NAME=kafka-{number}", *(f"{name}={value}" for name, value in environment.items())]
    log = path.parent / "log"
    process = Guarded([*command, sys.executable, "-m", "consilia.broker.node", str(path)], log, path.parent)
    try:
        deadline = monotonic() + 90
        port = NodeSettings.load(path).nodes[number].clients
        while monotonic() < deadline:
            with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                break
            assert process.running(), log.read_text()
            sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def boss(path):
    folder, place = path.parent, NodeSettings.load(path).nodes[0]
    return KafkaSettings(
        bootstrap_servers=(f"{HOST}:{place.peers}",),
        tls=True,
        ca=folder / "ca.crt",
        certificate=folder / "boss.crt",
        key=folder / "boss.key",
    )


def user(path, name, password):
    folder, place = path.parent, NodeSettings.load(path).nodes[0]
    file = folder / name
    file.write_text(password)
    file.chmod(0o600)
    servers = (f"{HOST}:{place.clients}",)
    return KafkaSettings(bootstrap_servers=servers, tls=True, ca=folder / "ca.crt", username=name, password=file)


def put_users(path, passwords):
    with plain_errors(boss(path), doing="make users"), make_admin(boss(path)) as admin:
        Users(boss(path), admin).put(passwords)


def topics(settings):
    with plain_errors(settings, doing="list topics"), make_admin(settings) as admin:
        return set(admin.list_topics())


def test_a_node_lets_in_users_and_certificates_denies_what_no_rule_allows_and_ends_when_asked(kafka_runtime, tmp_path):
    path = settings_file(tmp_path)
    with running(path) as process:
        put_users(path, {"hospital": "first"})
        create_topic(boss(path), "secret")
        assert "secret" in topics(boss(path))
        assert topics(user(path, "hospital", "first")) == set()
        with pytest.raises(LogAccessError):
            topics(user(path, "hospital", "guessed"))
        put_users(path, {"hospital": "second"})
        assert topics(user(path, "hospital", "second")) == set()
        process.ask_to_end()
        assert process.wait()
    assert "shut down completely" in (tmp_path / "log").read_text()


def test_a_node_is_itself_again_on_its_data_and_its_key_is_for_its_owner_only(kafka_runtime, tmp_path):
    path = settings_file(tmp_path)
    runtime = runtime_or_skip()
    settings = NodeSettings.load(path)
    first = set_up(settings, 0, runtime)
    identity = (tmp_path / "data" / "meta.properties").read_bytes()
    assert set_up(settings, 0, runtime) == first
    assert (tmp_path / "data" / "meta.properties").read_bytes() == identity
    assert settings.cluster.encode() in identity
    assert stat.S_IMODE((tmp_path / "work" / "node.pem").stat().st_mode) == 0o600
    assert all("PRIVATE" not in word for word in first)


def test_a_node_writes_only_to_its_two_folders(kafka_runtime, tmp_path):
    path = settings_file(tmp_path)
    before = {each.name for each in tmp_path.iterdir()}
    set_up(NodeSettings.load(path), 0, kafka_runtime)
    assert {each.name for each in tmp_path.iterdir()} - before == {"data", "work"}


def test_all_nodes_read_one_file_and_find_their_own_place_in_it(tmp_path):
    settings = NodeSettings.load(settings_file(tmp_path, count=3))
    seen = [server_properties(describe(settings, number)) for number in range(3)]
    assert len({each["controller.quorum.voters"] for each in seen}) == 1
    assert [each["node.id"] for each in seen] == ["0", "1", "2"]
    assert len({each["listeners"] for each in seen}) == 3
    for number, each in enumerate(seen):
        assert each["advertised.listeners"].startswith(f"CLIENTS://{HOST}:{settings.nodes[number].clients},PEERS://")
        assert each["listener.security.protocol.map"] == "CLIENTS:SASL_SSL,PEERS:SSL,CONTROLLER:SSL"
        assert each["default.replication.factor"] == "3"
        assert each["min.insync.replicas"] == "2"
        assert each["super.users"] == "User:nodes;User:boss"


@pytest.mark.parametrize(
    ("pod", "hostname", "number"),
    [("consilia-kafka-0", "x", 0), ("kafka-12", "", 12), ("", "consilia-kafka-2", 2)],
)
def test_the_number_is_the_end_of_the_pods_name(pod, hostname, number):
    assert ordinal({"POD_NAME": pod}, hostname) == number


def test_without_a_number_no_node_starts():
    with pytest.raises(BrokerError, match="Set POD_NAME"):
        ordinal({}, "kafka")


def test_a_pod_too_many_says_so(tmp_path):
    with pytest.raises(BrokerError, match=r"no node 1.*has 1.*Scale"):
        describe(NodeSettings.load(settings_file(tmp_path)), 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"heap": "plenty"},
        {"cluster": "-" * 22},
        {"nodes": []},
        {"superUsers": []},
        {"nodes": [{"host": "a,b"}]},
        {"nodes": [{"host": HOST, "clients": 0}]},
        {"unknown": 1},
    ],
)
def test_settings_that_are_wrong_are_refused_with_their_field(tmp_path, changes):
    with pytest.raises(BrokerError, match=next(iter(changes))):
        NodeSettings.load(settings_file(tmp_path, **changes))


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
def test_a_missing_certificate_is_named(kafka_runtime, tmp_path, name):
    path = settings_file(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BrokerError, match=name):
        set_up(NodeSettings.load(path), 0, kafka_runtime)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cluster": 1}'])
def test_a_file_that_is_no_settings_ends_the_program_with_a_sentence(tmp_path, content):
    (tmp_path / "node.json").write_text(content)
    command = [sys.executable, "-m", "consilia.broker.node", str(tmp_path / "node.json")]
    environment = {**os.environ, "POD_NAME": "kafka-0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot use the node's settings")
    assert "Traceback" not in done.stderr


def test_users_are_listed_and_removed_and_who_is_not_there_stays_so(kafka_settings):
    with make_admin(kafka_settings) as admin:
        users = Users(kafka_settings, admin)
        users.put({"list-a": "1", "list-b": "2"})
        assert {"list-a", "list-b"} <= set(users.names())
        users.remove(["list-a", "list-never"])
        deadline = monotonic() + 10
        while "list-a" in users.names():
            assert monotonic() < deadline
        assert "list-b" in users.names()
        users.put({})
        users.remove([])


def test_every_error_of_a_node_has_a_remedy(tmp_path):
    with pytest.raises(ConsiliaError) as caught:
        NodeSettings.load(tmp_path / "nowhere.json")
    assert caught.value.remedy
