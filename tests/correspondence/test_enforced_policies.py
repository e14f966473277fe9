"""Where NetworkPolicies are not enforced, a hospital lets no job in that could carry patients out."""

import socket
from contextlib import closing

import pytest
from api_documents import document
from hospital_in_memory import PRIVATE, SETTINGS

from consilia.api import HospitalTask
from consilia_operator import isolation
from consilia_operator.isolation import Isolation, lets_out, objection, way_out

OWN = SETTINGS.model_copy(update={"hospital": "riverside"})
PLAIN = HospitalTask.model_validate(document("HospitalTask"))
CHARGED = HospitalTask.model_validate(document("HospitalTask", PRIVATE))


@pytest.mark.parametrize(
    ("settings", "proven", "task", "refused"),
    [
        (OWN, True, PLAIN, False),
        (OWN, False, PLAIN, True),
        (OWN, None, PLAIN, True),
        (OWN, False, CHARGED, False),
        (SETTINGS, False, PLAIN, False),
        (OWN.model_copy(update={"isolation": "Ignored"}), False, PLAIN, False),
    ],
)
def test_a_job_without_privacy_needs_a_cluster_that_keeps_its_pods_in(settings, proven, task, refused):
    found = objection(settings, Isolation(proven), task)
    assert bool(found) == refused
    if found:
        assert (found.type, found.holds, found.reason) == ("Approved", False, "NotIsolated")


def test_whoever_answers_at_all_shows_that_packets_get_out(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        monkeypatch.setattr(isolation, "_PORT", server.getsockname()[1])
        assert lets_out("127.0.0.1:9093")
    assert lets_out("127.0.0.1:9093")  # refused now, which is an answer too


def test_where_nothing_comes_back_nothing_gets_out(monkeypatch):
    """An address of the range for documentation (RFC 5737), which this machine's guard routes make unreachable."""
    monkeypatch.setattr(isolation, "SECONDS", 0.2)
    monkeypatch.setattr(socket, "create_connection", silence)
    assert not lets_out("192.0.2.1:9093")


def silence(address, timeout):
    raise TimeoutError


def test_what_is_tried_is_the_host_that_may_be_reached():
    assert way_out({"kafka.json": b'{"bootstrapServers": ["kafka.example:30093", "b:1"]}'}) == "kafka.example:30093"
    told = b'{"bootstrapServers": ["kafka.example:30093"], "proxy": "socks5h://proxy.example:1080"}'
    assert way_out({"kafka.json": told}) == "proxy.example:1080"
