"""Sockets that kafka-python opens by ours are closed, however their connection ends."""

import gc
import warnings

import listeners
import pytest
from kafka.net import KafkaConnectionManager, NetworkSelector

from consilia.kafka.connection import client_options
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
