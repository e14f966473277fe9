"""What goes wrong once a log is open, provoked for real: told within seconds, by name, with the way out."""

import threading
import time
from contextlib import closing, contextmanager, suppress

import listeners
import pytest
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka.errors import KafkaConnectionError

from consilia.broker.process import Broker
from consilia.broker.runtime import Jvm
from consilia.broker.security import Security
from consilia.errors import FencedError, LogAccessError, LogError, LogUnavailableError
from consilia.kafka.connection import make_admin
from consilia.kafka.log import KafkaLog

SECONDS = 10.0
NEEDED = {"Topic": ("Write",), "TransactionalId": ("Write",)}


def rule(user, operation, kind, name):
    pattern = ResourcePattern(ResourceType[kind], name, ACLResourcePatternType.LITERAL)
    return ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)


def allow(broker, user, *rights):
    """Allow a user (operation, kind, name) each."""
    with make_admin(broker.settings) as admin:
        done = admin.create_acls([rule(user, *right) for right in rights])
    assert not done["failed"]


def withdraw(broker, user):
    """Take all rights from a user."""
    every = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    with make_admin(broker.settings) as admin:
        admin.delete_acls([ACLFilter(f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, every)])


@contextmanager
def told_in_time(kind, *words, remedy=""):
    """The block raises `kind`, soon, with the words in its message and the remedy."""
    begun = time.monotonic()
    with pytest.raises(kind) as caught:
        yield
    assert time.monotonic() - begun < SECONDS
    for each in words:
        assert each in caught.value.message
    assert remedy in caught.value.remedy
    assert caught.value.remedy


def write(log, topic, producer, value=b"x"):
    with closing(log.producer(producer)) as opened, opened.transaction() as transaction:
        transaction.append(topic, value)


def open_producer(settings, name):
    """As patiently as it takes."""
    with closing(KafkaLog(settings)) as log:
        log.producer(name).close()


@pytest.fixture
def topic(kafka_settings, request):
    name = f"at-work.{abs(hash(request.node.name))}"
    with closing(KafkaLog(kafka_settings)) as log:
        log.create_topic(name)
        write(log, name, f"{name}.first")
    return name


@pytest.fixture
def user(topic):
    """A user's name of the test's own."""
    return topic.replace("at-work.", "u")


@pytest.fixture
def opened(kafka_user, user):
    """The user's log, without any right."""
    with closing(KafkaLog(kafka_user(user))) as log:
        yield log


@pytest.mark.parametrize("cause", ["password", "silence", "refusal"])
def test_a_log_that_cannot_be_opened_says_why_and_leaves_nothing_behind(cause, kafka_user, kafka_settings, tmp_path):
    threads = set(threading.enumerate())
    wrong = tmp_path / "password"
    wrong.write_text("geheim")
    with listeners.listening(listeners.silent) as port:
        settings, kind, words = {
            "password": (kafka_user("opener").model_copy(update={"password": wrong}), LogAccessError, "user opener"),
            "silence": (
                kafka_user("opener").model_copy(update={"bootstrap_servers": (f"127.0.0.1:{port}",)}),
                LogUnavailableError,
                "agreeing on TLS",
            ),
            "refusal": (
                kafka_settings.model_copy(update={"bootstrap_servers": ("127.0.0.1:1",)}),
                LogUnavailableError,
                "127.0.0.1:1 refuses connections",
            ),
        }[cause]
        with told_in_time(kind, words):
            KafkaLog(settings)
    assert not [each.name for each in set(threading.enumerate()) - threads if "kafka" in each.name]


def test_a_denied_transactional_id_is_named(opened, kafka_broker, topic, user):
    allow(kafka_broker, user, ("WRITE", "TOPIC", topic))
    words = [f"user {user} may not Write transactional id {user}.p", kafka_broker.user(user).where]
    with told_in_time(LogAccessError, *words, remedy="consilia kafka acls"):
        write(opened, topic, f"{user}.p")


@pytest.mark.parametrize("rights", [[], ["DESCRIBE"]], ids=["nothing", "describe"])
def test_a_denied_write_is_named(rights, opened, kafka_broker, topic, user):
    allow(kafka_broker, user, ("WRITE", "TRANSACTIONAL_ID", f"{user}.p"), *((each, "TOPIC", topic) for each in rights))
    with told_in_time(
        LogAccessError, f"user {user} may not Write topic {topic}", remedy=f"Allow Write on topic {topic}"
    ):
        write(opened, topic, f"{user}.p")


def test_a_denied_create_is_named(opened, kafka_broker, topic, user):
    allow(kafka_broker, user, ("DESCRIBE", "TOPIC", f"{topic}.new"))
    with told_in_time(LogAccessError, f"user {user} may not Create topic {topic}.new", remedy="Allow Create"):
        opened.create_topic(f"{topic}.new")


def test_a_denied_delete_is_named(opened, kafka_broker, topic, user):
    allow(kafka_broker, user, ("DESCRIBE", "TOPIC", topic))
    with told_in_time(LogAccessError, f"user {user} may not Delete topic {topic}", remedy="Allow Delete"):
        opened.delete_topic(topic)


@pytest.mark.parametrize("rights", [[], ["DESCRIBE"]], ids=["nothing", "describe"])
@pytest.mark.parametrize("way", ["read", "wait"])
def test_a_denied_read_is_named(way, rights, opened, kafka_broker, topic, user):
    """Without Describe kafka-python raises nothing: it polls in vain, for ever."""
    allow(kafka_broker, user, *((each, "TOPIC", topic) for each in rights))
    with told_in_time(LogAccessError, f"user {user} may not Read topic {topic}", remedy=f"Allow Read on topic {topic}"):
        opened.read(topic, 0) if way == "read" else opened.wait({topic: 0}, 30)


def test_a_denied_group_is_named(opened, kafka_broker, topic, user):
    allow(kafka_broker, user, ("WRITE", "TRANSACTIONAL_ID", f"{user}.p"), ("READ", "TOPIC", topic))
    with told_in_time(LogAccessError, f"user {user} may not Read group {user}.g", remedy="Allow Read on group"):
        opened.committed(f"{user}.g", topic)
    with (
        told_in_time(LogAccessError, f"user {user} may not Read ", "group", remedy="Allow Read on"),
        closing(opened.producer(f"{user}.p")) as producer,
        producer.transaction() as transaction,
    ):
        transaction.commit_offset(f"{user}.g", topic, 1)


def test_a_record_that_is_too_large_is_told(kafka_settings, user):
    topic = f"{user}.small"
    with make_admin(kafka_settings) as admin:
        plan = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "1000"}}
        admin.create_topics({topic: plan}, wait_for_metadata=True)
    with (
        closing(KafkaLog(kafka_settings)) as log,
        told_in_time(LogError, f"topic {topic}", "larger than the topic takes", remedy="max.message.bytes"),
    ):
        write(log, topic, f"{user}.p", bytes(5000))


def test_a_newer_writer_of_the_same_name_is_told(kafka_settings, topic):
    with (
        closing(KafkaLog(kafka_settings)) as log,
        closing(KafkaLog(kafka_settings)) as other,
        closing(log.producer(f"{topic}.p")) as older,
        told_in_time(FencedError, f"{topic}.p", remedy="this one must stop"),
        older.transaction() as transaction,
    ):
        transaction.append(topic, b"x")
        write(other, topic, f"{topic}.p")


def test_a_right_that_is_withdrawn_in_the_middle_of_work_is_told(opened, kafka_broker, topic, user):
    allow(
        kafka_broker,
        user,
        ("WRITE", "TRANSACTIONAL_ID", f"{user}.p"),
        ("WRITE", "TOPIC", topic),
        ("READ", "TOPIC", topic),
    )
    write(opened, topic, f"{user}.p")
    end = opened.end_offset(topic)
    assert not opened.wait({topic: end}, 0.3)
    withdraw(kafka_broker, user)
    with told_in_time(LogAccessError, f"user {user} may not Read topic {topic}"):
        opened.wait({topic: end}, 30)
    with told_in_time(LogAccessError, f"user {user} may not "):
        write(opened, topic, f"{user}.p")


@pytest.fixture
def own_broker(kafka_runtime, tmp_path):
    """A broker with users, of the test's own."""
    with Broker(
        tmp_path / "own", kafka_runtime, jvm=Jvm(short_lived=True), security=Security.open(tmp_path / "keys")
    ) as broker:
        yield broker


@pytest.mark.slow
def test_a_password_that_is_changed_in_the_middle_of_work_is_told(own_broker):
    settings = own_broker.user("a")
    allow(own_broker, "a", ("READ", "TOPIC", "t"))
    with closing(KafkaLog(own_broker.settings)) as log:
        log.create_topic("t")
    with closing(KafkaLog(settings)) as log:
        assert not log.wait({"t": 0}, 0.3)
        with make_admin(own_broker.settings) as admin:
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion("a", ScramMechanism.SCRAM_SHA_512, "geheim")]
            )
        own_broker.kill()
        own_broker.start()
        with told_in_time(LogAccessError, f"{settings.where} does not accept user a", remedy=str(settings.password)):
            log.wait({"t": 0}, 60)


@pytest.mark.slow
@pytest.mark.parametrize("work", ["read", "wait", "write", "create"])
def test_a_broker_that_is_killed_in_the_middle_of_work_is_told(work, killable_broker):
    broker = killable_broker()
    open_producer(broker.settings, "p")
    with closing(KafkaLog(broker.settings.model_copy(update={"delivery_seconds": 1.0}))) as log:
        log.create_topic("t")
        write(log, "t", "p")
        producer = log.producer("p")
        broker.kill()
        with told_in_time(
            LogUnavailableError, f"{broker.bootstrap} refuses connections", remedy="Start what should run"
        ):
            if work == "read":
                log.read("t", 1)
            elif work == "wait":
                log.wait({"t": 10}, 60)
            elif work == "create":
                log.create_topic("u")
            else:
                with producer.transaction() as transaction:
                    transaction.append("t", b"x")


@pytest.mark.slow
def test_too_few_copies_in_sync_are_told(kafka_cluster):
    cluster = kafka_cluster()
    settings = cluster.settings.model_copy(update={"delivery_seconds": 1.0})
    with make_admin(settings) as admin:
        plan = {"num_partitions": 1, "replication_factor": 3, "configs": {"min.insync.replicas": "3"}}
        admin.create_topics({"t": plan}, wait_for_metadata=True)
        open_producer(cluster.settings, "p")
        cluster.brokers[2].kill()
        deadline, agreed = time.monotonic() + 60, 0
        while agreed < 6 and time.monotonic() < deadline:  # any of the brokers answers, and they learn of it in turn
            time.sleep(0.2)
            with suppress(KafkaConnectionError):  # it may ask the one that is dead
                in_sync = len(admin.describe_topics(["t"])[0]["partitions"][0]["isr_nodes"])
                agreed = agreed + 1 if in_sync == 2 else 0
    open_producer(cluster.settings, "p")  # who looks after it may have been the dead one, and that is no news here
    with (
        closing(KafkaLog(settings)) as log,
        told_in_time(
            LogUnavailableError,
            "cannot write to topic t",
            "2 of its 3 copies in sync, and its min.insync.replicas demands 3",
            remedy="Bring the brokers back",
        ),
    ):
        write(log, "t", "p")
