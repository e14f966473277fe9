"""server.properties: what Kafka is told for which node, and that it reads what we meant."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia.broker.properties import Access, Listener, Node, Stores, render, server_properties
from consilia.errors import BrokerError

PLAIN = Listener(name="PLAIN", access=Access.OPEN, address="127.0.0.1:9092")
SCRAM = Listener(name="SCRAM", access=Access.SCRAM, address="0.0.0.0:9093", advertised="kafka.example.org:443")
MTLS = Listener(name="MTLS", access=Access.CERTIFICATE, address="0.0.0.0:9094", advertised="kafka-1.kafka:9094")
CONTROLLER = Listener(name="CONTROLLER", access=Access.CERTIFICATE, address="0.0.0.0:9095")
STORES = Stores(keystore=Path("/keys/node.pem"), truststore=Path("/keys/ca.pem"))
ALONE = Node(
    id=1,
    voters=((1, "127.0.0.1:9095"),),
    data=Path("data"),
    listeners=(PLAIN,),
    peers="PLAIN",
    controller=replace(CONTROLLER, access=Access.OPEN, address="127.0.0.1:9095"),
)
OF_THREE = Node(
    id=2,
    voters=((1, "kafka-1:9095"), (2, "kafka-2:9095"), (3, "kafka-3:9095")),
    data=Path("/var/lib/kafka"),
    listeners=(SCRAM, MTLS),
    peers="MTLS",
    controller=CONTROLLER,
    stores=STORES,
    super_users=("User:broker", "User:operator"),
)


@pytest.mark.parametrize(
    ("name", "alone", "of_three"),
    [
        ("node.id", "1", "2"),
        ("controller.quorum.voters", "1@127.0.0.1:9095", "1@kafka-1:9095,2@kafka-2:9095,3@kafka-3:9095"),
        ("log.dirs", "data", "/var/lib/kafka"),
        (
            "listeners",
            "PLAIN://127.0.0.1:9092,CONTROLLER://127.0.0.1:9095",
            "SCRAM://0.0.0.0:9093,MTLS://0.0.0.0:9094,CONTROLLER://0.0.0.0:9095",
        ),
        (
            "advertised.listeners",
            "PLAIN://127.0.0.1:9092",
            "SCRAM://kafka.example.org:443,MTLS://kafka-1.kafka:9094",
        ),
        (
            "listener.security.protocol.map",
            "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "SCRAM:SASL_SSL,MTLS:SSL,CONTROLLER:SSL",
        ),
        ("inter.broker.listener.name", "PLAIN", "MTLS"),
        ("default.replication.factor", "1", "3"),
        ("min.insync.replicas", "1", "2"),
        ("offsets.topic.replication.factor", "1", "3"),
        ("transaction.state.log.replication.factor", "1", "3"),
        ("transaction.state.log.min.isr", "1", "2"),
        ("broker.session.timeout.ms", "2000", None),
        ("broker.heartbeat.interval.ms", "500", None),
        ("auto.create.topics.enable", "false", "false"),
        ("message.max.bytes", "3145728", "3145728"),
        ("transaction.max.timeout.ms", None, None),
        ("ssl.keystore.location", None, "/keys/node.pem"),
        ("ssl.truststore.type", None, "PEM"),
        ("listener.name.mtls.ssl.client.auth", None, "required"),
        ("listener.name.controller.ssl.client.auth", None, "required"),
        ("listener.name.scram.ssl.client.auth", None, None),
        ("authorizer.class.name", None, "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("allow.everyone.if.no.acl.found", None, "false"),
        ("super.users", None, "User:broker;User:operator"),
    ],
)
def test_what_a_node_alone_and_one_of_three_are_told(name, alone, of_three):
    assert server_properties(ALONE).get(name) == alone
    assert server_properties(OF_THREE).get(name) == of_three


def test_whoever_describes_a_node_has_the_last_word():
    node = replace(ALONE, overrides={"min.insync.replicas": "7", "log.retention.ms": "-1"})
    found = server_properties(node)
    assert (found["min.insync.replicas"], found["log.retention.ms"]) == ("7", "-1")


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (replace(OF_THREE, peers="PLAIN"), "is none of its listeners"),
        (replace(OF_THREE, peers="CONTROLLER"), "is none of its listeners"),
        (replace(OF_THREE, listeners=(SCRAM, replace(MTLS, name="SCRAM")), peers="SCRAM"), "names of their own"),
        (replace(OF_THREE, id=4), "not among the voters"),
        (replace(OF_THREE, stores=None), "needs a key"),
    ],
    ids=["no such peers", "controller as peers", "one name twice", "no voter", "TLS without keys"],
)
def test_a_description_that_contradicts_itself_is_refused(node, words):
    with pytest.raises(BrokerError, match=words):
        server_properties(node)


def owned_by_everybody(address):
    return replace(ALONE, listeners=(replace(PLAIN, address=address),), super_users=("User:ANONYMOUS",))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "10.0.0.1", "[::]", "", "kafka", "localhost.example.org", "127.example.org"]
)
def test_whoever_could_come_from_elsewhere_is_never_a_super_user(host):
    with pytest.raises(BrokerError, match="everybody who reaches PLAIN would be a super user"):
        server_properties(owned_by_everybody(f"{host}:9092"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]", "localhost"])
def test_whoever_is_on_this_machine_may_be(host):
    assert server_properties(owned_by_everybody(f"{host}:9092"))["super.users"] == "User:ANONYMOUS"


def read_as_java_does(text):
    """Properties.load of what we write: escapes of UTF-16 units and backslashes, and of a leading space."""
    for line in text.split("\n")[:-1]:
        name, _, value = line.partition("=")
        units = value.removeprefix("\\") if value.startswith("\\ ") else value
        decoded = units.encode("ascii").decode("unicode_escape")
        yield name, decoded.encode("utf-16", "surrogatepass").decode("utf-16")


@given(st.dictionaries(st.from_regex(r"[a-z.]{1,20}", fullmatch=True), st.text()))
def test_java_reads_what_was_meant(properties):
    text = render(properties)
    assert text.isascii()
    assert dict(read_as_java_does(text)) == properties
