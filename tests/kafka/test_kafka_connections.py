"""Sockets and threads of kafka-python's clients end with them, however their connection ends."""

import gc
import warnings

import listeners
import pytest
from kafka.errors import KafkaTimeoutError
from kafka.net import KafkaConnectionManager, NetworkSelector
from kafka_threads import io_threads

from consilia.errors import LogUnavailableError
from consilia.kafka.connection import client_options, make_admin, make_consumer, make_producer
from consilia.kafka.log import KafkaLog
from consilia.kafka.settings import KafkaSettings


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_given_up_half_way_is_closed(tls, recwarn):
    warnings.simplefilter("always")
    with listeners.listening(listeners.silent) as port:
        settings = KafkaSettings(bootstrap_servers=(f"127.0.0.1:{port}",), tls=tls)
        net = NetworkSelector()
        manager = KafkaConnectionManager(net, **client_options(settings))
        manager.get_connection(manager.cluster.bootstrap_brokers()[0].node_id)
        net.poll(timeout_ms=200)
        manager.close()
        net.close()
        del manager, net
        gc.collect()
    assert [str(each.message) for each in recwarn if each.category is ResourceWarning] == []


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_fails_is_closed(tls, recwarn):
    warnings.simplefilter("always")
    with listeners.listening(listeners.hanging_up) as port:
        settings = KafkaSettings(bootstrap_servers=(f"127.0.0.1:{port}", "127.0.0.1:1"), tls=tls)
        net = NetworkSelector()
        manager = KafkaConnectionManager(net, **client_options(settings))
        for broker in manager.cluster.bootstrap_brokers():
            manager.get_connection(broker.node_id)
        net.poll(timeout_ms=300)
        manager.close()
        net.close()
        del manager, net
        gc.collect()
    assert [str(each.message) for each in recwarn if each.category is ResourceWarning] == []


@pytest.mark.parametrize(
    "make",
    [make_admin, lambda each: make_consumer(each, wait_ms=5), lambda each: make_producer(each, "p")],
    ids=["admin", "consumer", "producer"],
)
def test_a_client_that_is_not_let_in_leaves_no_thread_that_goes_on_trying(make):
    with listeners.listening(listeners.hanging_up) as port:
        settings = KafkaSettings(bootstrap_servers=(f"127.0.0.1:{port}",), connect_seconds=0.5)
        before = io_threads()
        with pytest.raises(KafkaTimeoutError):
            make(settings)
        assert io_threads() == before


@pytest.mark.parametrize("served", [0, 1, 2])
def test_a_log_of_which_a_part_cannot_connect_leaves_the_others(served, kafka_settings, monkeypatch):
    made = []

    def consumer(settings, *, wait_ms):
        if len(made) == served:
            raise KafkaTimeoutError("enough")
        made.append(make_consumer(settings, wait_ms=wait_ms))
        return made[-1]

    monkeypatch.setattr("consilia.kafka.log.make_consumer", consumer)
    before = io_threads()
    if served < 2:
        with pytest.raises(LogUnavailableError):
            KafkaLog(kafka_settings)
    else:
        KafkaLog(kafka_settings).close()
    assert io_threads() == before
