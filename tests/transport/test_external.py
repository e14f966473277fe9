"""Somebody else's Kafka: credentials are handed on as they were given; what is missing is named with the command."""

import pytest
from api_server_in_memory import ApiServerInMemory
from transports import HUB, Clock, federated_job, prepare, waits_for

from consilia.kafka.settings import KafkaSettings
from consilia_operator.transport.credentials import REMEMBERED_SECONDS
from consilia_operator.transport.external import External
from consilia_operator.transport.interface import Ready
from consilia_operator.transport.secrets import encoded

BY_PASSWORD = {"ca.crt": b"CA", "username": b"user\n", "password": b"word\n"}
BY_CERTIFICATE = {"ca.crt": b"CA", "user.crt": b"CERTIFICATE", "user.key": b"KEY"}


def job(secret="kafka"):
    reference = {"secretRef": {"name": secret}} if secret else {}
    return federated_job(
        transport={"external": {"bootstrapServers": ["k1.example:9093", "k2.example:9093"], **reference}}
    )


def api(*secrets):
    made = ApiServerInMemory()
    for namespace, name, files in secrets:
        metadata = {"name": name, "namespace": namespace}
        made.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded(files)})
    return made


def external(cluster):
    return External(cluster, Clock().seconds)


ALL = ((HUB, "kafka", BY_PASSWORD), (HUB, "kafka-riverside", BY_CERTIFICATE), ("lakeside", "consilia-log", BY_PASSWORD))


def settings(answer, party, folder):
    assert isinstance(answer, Ready), answer
    for name, content in answer.parties[party].files.items():
        (folder / name).write_bytes(content)
    return KafkaSettings.load(folder / "kafka.json")


def test_every_party_gets_its_own_and_nobody_elses(tmp_path):
    answer = prepare(external(api(*ALL)), job())
    found = settings(answer, "aggregator", tmp_path)
    assert found.bootstrap_servers == ("k1.example:9093", "k2.example:9093")
    assert (found.tls, found.username, found.password.read_text()) == (True, "user", "word")
    found = settings(answer, "riverside", tmp_path)
    assert (found.certificate.read_bytes(), found.key.read_bytes()) == (b"CERTIFICATE", b"KEY")
    assert settings(answer, "lakeside", tmp_path).ca.read_bytes() == b"CA"
    assert set(answer.parties["riverside"].files) == {"kafka.json", "ca.crt", "user.crt", "user.key"}


def test_without_a_secret_everybody_comes_as_nobody(tmp_path):
    answer = prepare(external(api()), job(secret=None))
    assert set(answer.parties) == {"aggregator", "riverside", "lakeside"}
    assert not settings(answer, "riverside", tmp_path).tls


def test_without_an_authority_the_systems_are_believed(tmp_path):
    files = {name: content for name, content in BY_PASSWORD.items() if name != "ca.crt"}
    secrets = [(HUB, "kafka", files), *ALL[1:]]
    found = settings(prepare(external(api(*secrets)), job()), "aggregator", tmp_path)
    assert found.tls
    assert found.ca is None


@pytest.mark.parametrize(
    ("left_out", "said"),
    [(0, [f"{HUB}/kafka", "aggregator"]), (1, [f"{HUB}/kafka-riverside", "riverside/consilia-log"])],
)
def test_missing_credentials_are_named_with_the_command_that_makes_them(left_out, said):
    given = [each for number, each in enumerate(ALL) if number != left_out]
    answer = waits_for(prepare(external(api(*given)), job()), "CredentialsMissing")
    assert all(words in answer.message for words in said)
    assert f"kubectl -n {HUB} create secret generic kafka" in answer.message
    assert "--from-literal" not in answer.message


@pytest.mark.parametrize(
    "files", [{}, {"username": b"u"}, {"password": b"p"}, {"user.crt": b"c"}, {"username": b" \n"}]
)
def test_half_of_a_pair_is_said_to_be_half(files):
    answer = waits_for(prepare(external(api((HUB, "kafka", files), *ALL[1:])), job()), "CredentialsIncomplete")
    assert f"{HUB}/kafka" in answer.message


def test_a_damaged_secret_is_named():
    made = api(*ALL[1:])
    metadata = {"name": "kafka", "namespace": HUB}
    made.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": "%"}})
    assert f"{HUB}/kafka" in waits_for(prepare(external(made), job()), "SecretDamaged").message


def test_addresses_that_no_client_could_use_are_refused_for_good():
    given = federated_job(transport={"external": {"bootstrapServers": ["a:b:1"]}})
    assert waits_for(prepare(external(api()), given), "TransportInvalid").permanent


def test_a_password_that_changes_is_handed_on_after_a_while(tmp_path):
    cluster, clock = api(*ALL), Clock()
    transport = External(cluster, clock.seconds)
    prepare(transport, job())
    metadata = {"name": "kafka", "namespace": HUB}
    files = BY_PASSWORD | {"password": b"another"}
    cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded(files)})
    clock.forward(seconds=REMEMBERED_SECONDS)
    assert settings(prepare(transport, job()), "aggregator", tmp_path).password.read_text() == "another"
