"""What Kafka's own authorizer lets each party do, under exactly the rules that `consilia kafka acls` applies."""

import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
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
from kafka.net.compat import KafkaNetClient
from kafka.protocol.admin import DescribeConfigsRequest, IncrementalAlterConfigsRequest
from kafka.protocol.consumer import FetchRequest
from kafka.structs import OffsetAndMetadata

from consilia.kafka.access import Access
from consilia.kafka.acls import Parties, rules
from consilia.kafka.connection import client_options, make_admin
from consilia.log import topics

TOPIC = 2
"""The protocol's number of that kind of thing."""
TOPIC_DENIED = kafka_errors.TopicAuthorizationFailedError
GROUP_DENIED = kafka_errors.GroupAuthorizationFailedError
PRODUCER_DENIED = kafka_errors.TransactionalIdAuthorizationFailedError
CLUSTER_DENIED = kafka_errors.ClusterAuthorizationFailedError

UNIQUE = uuid.uuid4().hex[:8]
JOB = f"job.{UNIQUE}"
A, AB, A_B = f"a{UNIQUE}", f"a{UNIQUE}b", f"a{UNIQUE}-b"
"""Three hospitals whose names begin alike; A logs in with a password, A_B with a certificate."""
AGGREGATOR, WATCHER, STRANGER = f"aggregator-{UNIQUE}", f"watcher-{UNIQUE}", f"stranger-{UNIQUE}"
GROUP = topics.aggregator(JOB)
OTHER_JOB = f"{JOB}0"
"""Of the same parties, and its name begins alike."""


def up(hospital):
    return topics.up(hospital, JOB)


ALL_TOPICS = (topics.rounds(JOB), topics.model(JOB), topics.state(JOB), up(A), up(AB), up(A_B))
UNRELATED = f"unrelated-{UNIQUE}"
OTHER_TOPICS = (topics.rounds(OTHER_JOB), topics.model(OTHER_JOB), topics.up(A, OTHER_JOB), UNRELATED)


class Hand:
    """What one party tries, with Kafka's clients and nothing of ours between."""

    def __init__(self, settings, stack):
        self._options = client_options(settings)
        self.admin = stack.enter_context(closing(make_admin(settings)))
        self._client = stack.enter_context(closing(KafkaNetClient(**self._options)))
        self._client.get_broker_version(5000)

    def write(self, topic, *, as_producer=None, group=None):
        """One record; with `as_producer` in a transaction of that id, with `group` and offsets of that group."""
        own = {"transactional_id": as_producer} if as_producer else {"enable_idempotence": False}
        with closing(KafkaProducer(**self._options, **own, max_block_ms=5000)) as producer:
            if as_producer:
                producer.init_transactions()
                producer.begin_transaction()
            producer.send(topic, b"value", b"key", partition=0).get(5)
            if group:
                consumed = {TopicPartition(up(A), 0): OffsetAndMetadata(1, "", -1)}
                producer.send_offsets_to_transaction(consumed, group)
            if as_producer:
                producer.commit_transaction()

    def read(self, topic):
        """One fetch by hand: kafka-python's consumer reads a topic that it may not Describe as empty, for ever."""
        partition = FetchRequest.FetchTopic.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
        asked = FetchRequest(
            replica_id=-1, max_wait_ms=0, min_bytes=0, max_bytes=1 << 20, isolation_level=1, session_epoch=-1,
            topics=[FetchRequest.FetchTopic(topic=topic, partitions=[partition])], forgotten_topics_data=[],
            max_version=12,
        )  # fmt: skip
        answer = self._ask(asked)
        found = answer.responses[0].partitions[0]
        raise_for(found.error_code)
        assert bytes(found.records)

    def _ask(self, request):
        return self._client.send_and_receive(self._client.least_loaded_node(), request, timeout_ms=5000)

    def consume(self, topic, group):
        """A member of a group that commits how far it has come."""
        with closing(KafkaConsumer(**self._options, group_id=group, enable_auto_commit=False)) as consumer:
            consumer.assign([TopicPartition(topic, 0)])
            consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(0, "", -1)})

    def look_at(self, group, topic):
        self.admin.list_group_offsets({group: [TopicPartition(topic, 0)]})

    def create(self, topic):
        self.admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})

    def delete(self, topic):
        self.admin.delete_topics([topic])

    def trim(self, topic, before=0):
        self.admin.delete_records({TopicPartition(topic, 0): before})

    def alter(self, topic):
        """By hand, as below: kafka-python's administrator passes over these errors."""
        change = (TOPIC, topic, [("retention.ms", 0, "1000")])
        raise_for(self._ask(IncrementalAlterConfigsRequest(resources=[change])).responses[0].error_code)

    def add_partitions(self, topic):
        self.admin.create_partitions({topic: 3})

    def look_up(self, topic):
        raise_for(self._ask(DescribeConfigsRequest(resources=[(TOPIC, topic, None)])).results[0].error_code)

    def list_rules(self):
        anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
        self.admin.describe_acls(ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, anything))

    def grant_itself(self, user):
        everything = ResourcePattern(ResourceType.TOPIC, "*", ACLResourcePatternType.LITERAL)
        rule = ACL(f"User:{user}", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, everything)
        for error in self.admin.create_acls([rule])["failed"]:
            raise error("")

    def set_password(self, user):
        wanted = UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, "mine now")
        if self.admin.alter_user_scram_credentials([wanted])[user]:
            raise CLUSTER_DENIED

    def end_session(self, group):
        self.admin.delete_groups([group])

    def see_transactions(self, name):
        (found,) = self.admin.describe_transactions([name]).values()
        raise_for(getattr(found, "error_code", 0))


def raise_for(code):
    if code:
        raise kafka_errors.for_code(code)("")


@pytest.fixture(scope="module")
def hands(kafka_broker):
    """The parties at work, under the rules of their job and nothing else; the topics of two jobs are there."""
    users = {name: f"User:{name}" for name in (A, AB, A_B)}
    parties = Parties(aggregator=f"User:{AGGREGATOR}", hospitals=users, watchers=(f"User:{WATCHER}",))
    with ExitStack() as stack:
        admin = stack.enter_context(closing(make_admin(kafka_broker.settings)))
        for topic in (*ALL_TOPICS, *OTHER_TOPICS):
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        Access(kafka_broker.settings, admin).add(rules(JOB, parties))
        owner = Hand(kafka_broker.settings, stack)
        for topic in ALL_TOPICS:
            owner.write(topic)
        made = {name: Hand(kafka_broker.user(name), stack) for name in (A, AB, AGGREGATOR, WATCHER, STRANGER)}
        yield {**made, A_B: Hand(kafka_broker.certificate(A_B), stack)}


def attempt(who: str, words: str, deed: Callable[[Hand], object], error: type[Exception] | None = None):
    return pytest.param(who, deed, error, id=f"{who.replace(UNIQUE, '')} {words}")


T = topics
HOSPITALS = [
    attempt(A, "writes its own", lambda hand: hand.write(up(A))),
    attempt(A, "writes its own in a transaction", lambda hand: hand.write(up(A), as_producer=T.trainer(A, JOB))),
    attempt(A_B, "writes its own in a transaction", lambda hand: hand.write(up(A_B), as_producer=T.trainer(A_B, JOB))),
    attempt(A, "reads the rounds", lambda hand: hand.read(T.rounds(JOB))),
    attempt(A, "reads the model", lambda hand: hand.read(T.model(JOB))),
    attempt(A_B, "reads the model", lambda hand: hand.read(T.model(JOB))),
    attempt(A, "reads its own uploads", lambda hand: hand.read(up(A)), TOPIC_DENIED),
    attempt(A_B, "reads its own uploads", lambda hand: hand.read(up(A_B)), TOPIC_DENIED),
    attempt(A, "reads another's uploads", lambda hand: hand.read(up(AB)), TOPIC_DENIED),
    attempt(A, "reads the aggregator's state", lambda hand: hand.read(T.state(JOB)), TOPIC_DENIED),
    attempt(A, "reads the rounds of another job", lambda hand: hand.read(T.rounds(OTHER_JOB)), TOPIC_DENIED),
    attempt(A, "reads the model of another job", lambda hand: hand.read(T.model(OTHER_JOB)), TOPIC_DENIED),
    attempt(A, "reads what is not ours", lambda hand: hand.read(UNRELATED), TOPIC_DENIED),
    attempt(A, "writes where ab does", lambda hand: hand.write(up(AB)), TOPIC_DENIED),
    attempt(A, "writes where a-b does", lambda hand: hand.write(up(A_B)), TOPIC_DENIED),
    attempt(AB, "writes where a does", lambda hand: hand.write(up(A)), TOPIC_DENIED),
    attempt(A_B, "writes where a does", lambda hand: hand.write(up(A)), TOPIC_DENIED),
    attempt(A, "writes the rounds", lambda hand: hand.write(T.rounds(JOB)), TOPIC_DENIED),
    attempt(A, "writes the model", lambda hand: hand.write(T.model(JOB)), TOPIC_DENIED),
    attempt(A, "writes the state", lambda hand: hand.write(T.state(JOB)), TOPIC_DENIED),
    attempt(A, "takes over from ab", lambda hand: hand.write(up(A), as_producer=T.trainer(AB, JOB)), PRODUCER_DENIED),
    attempt(A, "takes over from a-b", lambda hand: hand.write(up(A), as_producer=T.trainer(A_B, JOB)), PRODUCER_DENIED),
    attempt(
        A, "takes over from the aggregator", lambda hand: hand.write(up(A), as_producer=T.aggregator(JOB)),
        PRODUCER_DENIED,
    ),
    attempt(A, "looks at the aggregator's transaction", lambda hand: hand.see_transactions(GROUP), PRODUCER_DENIED),
    attempt(A, "commits as the aggregator's group", lambda hand: hand.consume(T.rounds(JOB), GROUP), GROUP_DENIED),
    attempt(A, "commits as a group of its own", lambda hand: hand.consume(T.rounds(JOB), A), GROUP_DENIED),
    attempt(A, "looks at the aggregator's offsets", lambda hand: hand.look_at(GROUP, T.rounds(JOB)), GROUP_DENIED),
    attempt(
        A, "commits for the aggregator in a transaction",
        lambda hand: hand.write(up(A), as_producer=T.trainer(A, JOB), group=GROUP), GROUP_DENIED,
    ),
    attempt(A, "ends the aggregator's group", lambda hand: hand.end_session(GROUP), GROUP_DENIED),
    attempt(A, "creates a topic of its own", lambda hand: hand.create(T.up(A, f"new-{UNIQUE}")), TOPIC_DENIED),
    attempt(A, "creates any topic", lambda hand: hand.create(f"new-{UNIQUE}"), TOPIC_DENIED),
    attempt(A, "deletes its own topic", lambda hand: hand.delete(up(A)), TOPIC_DENIED),
    attempt(A, "deletes the rounds", lambda hand: hand.delete(T.rounds(JOB)), TOPIC_DENIED),
    attempt(A, "lets go of its own records", lambda hand: hand.trim(up(A), 1), TOPIC_DENIED),
    attempt(A, "lets go of the model", lambda hand: hand.trim(T.model(JOB), 1), TOPIC_DENIED),
    attempt(A, "changes its own topic", lambda hand: hand.alter(up(A)), TOPIC_DENIED),
    attempt(A, "adds partitions to its own topic", lambda hand: hand.add_partitions(up(A)), TOPIC_DENIED),
    attempt(A, "looks up how its topic is kept", lambda hand: hand.look_up(up(A)), TOPIC_DENIED),
    attempt(A, "lists the rules", Hand.list_rules, CLUSTER_DENIED),
    attempt(A, "grants itself everything", lambda hand: hand.grant_itself(A), CLUSTER_DENIED),
    attempt(A, "sets another's password", lambda hand: hand.set_password(AGGREGATOR), CLUSTER_DENIED),
]  # fmt: skip
OTHERS = [
    attempt(
        AGGREGATOR, "publishes and commits in a transaction",
        lambda hand: hand.write(T.model(JOB), as_producer=T.aggregator(JOB), group=GROUP),
    ),
    attempt(AGGREGATOR, "writes the rounds", lambda hand: hand.write(T.rounds(JOB))),
    attempt(AGGREGATOR, "writes the state", lambda hand: hand.write(T.state(JOB))),
    attempt(AGGREGATOR, "reads the state", lambda hand: hand.read(T.state(JOB))),
    attempt(AGGREGATOR, "reads a hospital's uploads", lambda hand: hand.read(up(A_B))),
    attempt(AGGREGATOR, "lets go of a hospital's records", lambda hand: hand.trim(up(AB), 1)),
    attempt(AGGREGATOR, "looks up how a topic is kept", lambda hand: hand.look_up(T.model(JOB))),
    attempt(AGGREGATOR, "looks at its offsets", lambda hand: hand.look_at(GROUP, up(A))),
    attempt(AGGREGATOR, "writes for a hospital", lambda hand: hand.write(up(A)), TOPIC_DENIED),
    attempt(
        AGGREGATOR, "takes over from a hospital", lambda hand: hand.write(T.rounds(JOB), as_producer=T.trainer(A, JOB)),
        PRODUCER_DENIED,
    ),
    attempt(AGGREGATOR, "reads another job's", lambda hand: hand.read(T.up(A, OTHER_JOB)), TOPIC_DENIED),
    attempt(AGGREGATOR, "creates any topic", lambda hand: hand.create(f"new-{UNIQUE}"), TOPIC_DENIED),
    attempt(AGGREGATOR, "deletes another job's", lambda hand: hand.delete(T.rounds(OTHER_JOB)), TOPIC_DENIED),
    attempt(AGGREGATOR, "changes a topic", lambda hand: hand.alter(T.rounds(JOB)), TOPIC_DENIED),
    attempt(AGGREGATOR, "grants itself everything", lambda hand: hand.grant_itself(AGGREGATOR), CLUSTER_DENIED),
    attempt(WATCHER, "reads the rounds", lambda hand: hand.read(T.rounds(JOB))),
    attempt(
        AGGREGATOR, "takes over from another job's",
        lambda hand: hand.write(T.rounds(JOB), as_producer=T.aggregator(OTHER_JOB)),
        PRODUCER_DENIED,
    ),
    attempt(
        AGGREGATOR, "commits as another job's", lambda hand: hand.consume(T.rounds(JOB), T.aggregator(OTHER_JOB)),
        GROUP_DENIED,
    ),
    attempt(WATCHER, "reads the rounds of another job", lambda hand: hand.read(T.rounds(OTHER_JOB)), TOPIC_DENIED),
    attempt(WATCHER, "reads the model", lambda hand: hand.read(T.model(JOB)), TOPIC_DENIED),
    attempt(WATCHER, "reads a hospital's uploads", lambda hand: hand.read(up(A)), TOPIC_DENIED),
    attempt(WATCHER, "writes the rounds", lambda hand: hand.write(T.rounds(JOB)), TOPIC_DENIED),
    attempt(STRANGER, "reads the rounds", lambda hand: hand.read(T.rounds(JOB)), TOPIC_DENIED),
    attempt(STRANGER, "writes for a hospital", lambda hand: hand.write(up(A)), TOPIC_DENIED),
    attempt(
        STRANGER, "takes over from a hospital", lambda hand: hand.write(up(A), as_producer=T.trainer(A, JOB)),
        PRODUCER_DENIED,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("who", "deed", "error"), [*HOSPITALS, *OTHERS])
def test_the_authorizer_lets_a_party_do_its_part_and_nothing_else(hands, who, deed, error):
    if error is None:
        deed(hands[who])
        return
    with pytest.raises(kafka_errors.KafkaError) as caught:
        deed(hands[who])
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        (A, {topics.rounds(JOB), topics.model(JOB), up(A), topics.up(A, OTHER_JOB)}),
        (A_B, {topics.rounds(JOB), topics.model(JOB), up(A_B)}),
        (AGGREGATOR, set(ALL_TOPICS)),
        (WATCHER, {topics.rounds(JOB)}),
        (STRANGER, set()),
    ],
    ids=lambda value: value.replace(UNIQUE, "") if isinstance(value, str) else "",
)
def test_a_listing_shows_nobody_what_is_not_its_business(hands, who, seen):
    assert set(hands[who].admin.list_topics()) == seen


def test_nobody_but_the_aggregator_sees_its_group(hands):
    assert not [group for who in (A, A_B, WATCHER, STRANGER) for group in hands[who].admin.list_groups()]
