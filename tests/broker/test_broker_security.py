"""A secured broker: one party is one principal however it comes in, and nobody may do what no ACL allows."""

import json
import stat
from datetime import timedelta

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.errors import KafkaError, TopicAuthorizationFailedError
from kafka_topics import create_topic, read_all, write

from consilia.broker.security import Security
from consilia.certificates import create_authority, issue_client
from consilia.errors import BrokerError
from consilia.kafka.connection import make_admin


def allow(owner, principal, operation, topic):
    resource = ResourcePattern(ResourceType.TOPIC, topic)
    with make_admin(owner) as admin:
        admin.create_acls([ACL(f"User:{principal}", "*", operation, ACLPermissionType.ALLOW, resource)])


def topics_of(settings):
    with make_admin(settings) as admin:
        return set(admin.list_topics())


def test_user_and_certificate_of_one_name_have_the_same_rights(kafka_settings, kafka_user, kafka_certificate):
    for topic in ("shared-by-both", "of-nobody"):
        create_topic(kafka_settings, topic)
    allow(kafka_settings, "both", ACLOperation.WRITE, "shared-by-both")
    by_password, by_certificate = kafka_user("both"), kafka_certificate("both")
    assert topics_of(by_password) == topics_of(by_certificate) == {"shared-by-both"}
    write(by_password, "shared-by-both", b"with a password")
    write(by_certificate, "shared-by-both", b"with a certificate")
    assert read_all(kafka_settings, "shared-by-both", 2) == [b"with a password", b"with a certificate"]


@pytest.mark.parametrize("way", ["kafka_user", "kafka_certificate"])
def test_who_has_no_rights_sees_nothing_and_may_create_nothing(kafka_settings, request, way):
    stranger = request.getfixturevalue(way)("stranger")
    assert topics_of(stranger) == set()
    with make_admin(stranger) as admin, pytest.raises(TopicAuthorizationFailedError):
        admin.create_topics({"of-a-stranger": {"num_partitions": 1}})


def test_a_user_keeps_the_password_and_comes_in_with_no_other(kafka_user):
    first, second, other = kafka_user("constant"), kafka_user("constant"), kafka_user("other")
    assert first == second
    assert topics_of(second) == set()
    with pytest.raises(KafkaError):
        topics_of(second.model_copy(update={"password": other.password, "connect_seconds": 1.0}))


def test_a_certificate_of_another_authority_does_not_come_in(kafka_certificate, tmp_path):
    settings = kafka_certificate("hospital-a")
    stranger = create_authority("Consilia embedded broker", lasts=timedelta(days=1))
    forged = issue_client(stranger, "broker", lasts=timedelta(days=1))
    forged.save(tmp_path / "own.pem", tmp_path / "key.pem")
    paths = {"certificate": tmp_path / "own.pem", "key": tmp_path / "key.pem", "connect_seconds": 1.0}
    with pytest.raises(KafkaError):
        topics_of(settings.model_copy(update=paths))


@pytest.mark.parametrize("name", ["ANONYMOUS", "broker", "", "a b", "a,CN=broker", "../broker", "ü"])
def test_nobody_gets_the_name_of_a_super_user_or_one_that_could_be_read_as_it(kafka_user, kafka_certificate, name):
    for way in (kafka_user, kafka_certificate):
        with pytest.raises(BrokerError, match="cannot be the name of a client"):
            way(name)


def test_secrets_are_for_their_owner_only_and_nowhere_in_log_or_settings(kafka_broker, kafka_user, kafka_certificate):
    user, certificate = kafka_user("discreet"), kafka_certificate("discreet")
    password, key = user.password.read_text().strip(), certificate.key.read_text()
    for path in (user.password, certificate.key, kafka_broker.security.folder / "ca-key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kafka_broker.security.folder.stat().st_mode) == 0o700
    said = kafka_broker.log.read_text() + (kafka_broker.folder / "server.properties").read_text()
    for secret in (password, key.splitlines()[1]):
        assert secret not in said
        assert secret not in json.dumps([user.model_dump(mode="json"), certificate.model_dump(mode="json")])


def test_the_authority_stays_the_same_when_the_folder_is_opened_again(tmp_path):
    first, second = Security.open(tmp_path / "keys"), Security.open(tmp_path / "keys")
    assert first.authority.certificate == second.authority.certificate
