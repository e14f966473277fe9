"""Three brokers, with TLS among themselves: one is lost, the others go on, it comes back and catches up."""

from time import monotonic, sleep

import pytest
from kafka_topics import create_topic, read_all, write

from consilia.broker.ports import is_free
from consilia.kafka.connection import make_admin

TOO_LONG = 60.0


def in_sync(settings, topic):
    with make_admin(settings) as admin:
        return set(admin.describe_topics([topic])[0]["partitions"][0]["isr_nodes"])


def wait_for_all_copies(settings, topic):
    deadline = monotonic() + TOO_LONG
    while in_sync(settings, topic) != {1, 2, 3}:
        assert monotonic() < deadline
        sleep(0.1)


@pytest.mark.slow
def test_one_of_three_is_killed_the_others_go_on_and_it_comes_back(kafka_cluster):
    cluster = kafka_cluster(secured=True)
    create_topic(cluster.settings, "copied")
    write(cluster.settings, "copied", b"with all three")
    assert in_sync(cluster.settings, "copied") == {1, 2, 3}
    lost = cluster.brokers[0]
    lost.kill()
    write(cluster.settings, "copied", b"with two")
    assert not lost.running()
    lost.start()
    wait_for_all_copies(cluster.settings, "copied")
    write(cluster.settings, "copied", b"with all again")
    assert read_all(lost.settings, "copied", 3) == [b"with all three", b"with two", b"with all again"]
    cluster.stop()
    assert not any(each.running() for each in cluster.brokers)
    assert all(is_free(each.seat.ports.plain) for each in cluster.brokers)
