"""The least that shows that a cluster works: a topic, records in, records out."""

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from consilia.kafka.connection import client_options, make_admin
from consilia.kafka.settings import KafkaSettings


def create_topic(settings: KafkaSettings, topic: str) -> None:
    """One partition, as many copies as the cluster makes by default."""
    with make_admin(settings) as admin:
        admin.create_topics({topic: {"num_partitions": 1}})
        admin.wait_for_topics([topic])


def write(settings: KafkaSettings, topic: str, *values: bytes) -> None:
    """Write records, and wait until the cluster has them on as many nodes as it promises."""
    with KafkaProducer(**client_options(settings), acks="all", delivery_timeout_ms=60_000) as producer:
        for sent in [producer.send(topic, value) for value in values]:
            sent.get(60)


def read_all(settings: KafkaSettings, topic: str, count: int) -> list[bytes]:
    """The first `count` records of a topic."""
    partition, found = TopicPartition(topic, 0), []
    with KafkaConsumer(**client_options(settings), consumer_timeout_ms=20_000) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        for record in consumer:
            found.append(record.value)
            if len(found) == count:
                break
    return found
