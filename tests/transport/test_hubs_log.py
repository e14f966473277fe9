"""One log for a hub and its hospitals in other clusters: a job that has any of them runs over that, or not at all."""

import asyncio

import pytest
from api_server_in_memory import ApiServerInMemory
from transports import HUB, OPERATOR, federated_job, operator_settings, waits_for

from consilia_operator.transport.choosing import Transports
from consilia_operator.transport.managed_plan import Plan

STRIMZI = {"log": "Strimzi", "strimzi": {"cluster": "events"}, "type": "NodePort", "host": "hub.example"}
THEIRS = STRIMZI | {"strimzi": {"cluster": "events", "namespace": "kafka"}}


def transports(outside):
    api = ApiServerInMemory()
    return Transports(api, operator_settings(outside=outside), OPERATOR), api


OVER = {
    "nothing": None,
    "managed": {"managed": {}},
    "this": {"strimzi": {"cluster": "events"}},
    "this by name": {"strimzi": {"cluster": "events", "namespace": HUB}},
    "another": {"strimzi": {"cluster": "another"}},
    "far": {"strimzi": {"cluster": "events", "namespace": "kafka"}},
    "external": {"external": {"bootstrapServers": ["k.example:9093"]}},
}


@pytest.mark.parametrize(
    ("outside", "over", "lets_in"),
    [
        *(({}, over, over in {"nothing", "managed"}) for over in OVER),
        *((STRIMZI, over, over.startswith("this")) for over in OVER),
        *((THEIRS, over, over == "far") for over in OVER),
    ],
)
def test_a_job_with_members_runs_over_the_hubs_log_or_not_at_all(outside, over, lets_in):
    chosen, api = transports(outside)
    document = federated_job(transport=OVER[over])
    answer = asyncio.run(chosen.prepare(document, (), ("riverside",)))
    if lets_in:
        assert getattr(answer, "reason", "") != "MembersElsewhere"
        return
    assert waits_for(answer, "MembersElsewhere").permanent
    assert "riverside" in answer.message
    assert api.calls == [], "nothing was begun"
    alone = asyncio.run(chosen.prepare(document, ("lakeside",), ()))
    assert getattr(alone, "reason", "") != "MembersElsewhere"


def test_managed_kafka_has_no_door_where_the_log_is_strimzis():
    assert Plan.wanted(HUB, None, operator_settings(outside=STRIMZI)).members == ()
