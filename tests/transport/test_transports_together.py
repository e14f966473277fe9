"""All transports as one: what gone jobs left is let go of wherever it is, though another transport cannot be asked."""

import asyncio

import pytest
import strimzi_by_hand
from api_server_in_memory import ApiServerInMemory
from strimzi_by_hand import a_kafka
from transports import HUB, federated_job, operator_settings, prepare, waits_for

from consilia.api import FederatedJob
from consilia.errors import LogUnavailableError
from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import STRIMZI_TOPIC, STRIMZI_USER
from consilia_operator.transport.choosing import Transports
from consilia_operator.transport.interface import GoneJob

GONE = federated_job("gone", transport={"strimzi": {"cluster": "events"}})
LOG_NAME = FederatedJob.model_validate(GONE).log_name


@pytest.fixture
def api():
    return ApiServerInMemory()


@pytest.fixture
def transports(api):
    return Transports(api, operator_settings(), "consilia-system")


def orphans(transports):
    return asyncio.run(transports.orphans(HUB, lambda name: False))


def retire(transports):
    asyncio.run(transports.retire(GoneJob(namespace=HUB, name="gone", log_name=LOG_NAME)))


def refuse(api, status):
    api.refuses = dict.fromkeys((STRIMZI_USER, STRIMZI_TOPIC), status)


def test_where_the_operator_may_not_see_strimzis_resources_there_are_none(api, transports):
    refuse(api, 403)
    assert orphans(transports) == []
    retire(transports)


def test_any_other_refusal_is_told(api, transports):
    refuse(api, 500)
    with pytest.raises(ApiRefused, match="kafkausers"):
        orphans(transports)
    with pytest.raises(ApiRefused, match="kafkausers"):
        retire(transports)


def test_a_kafka_that_is_down_keeps_nothing_of_strimzis_and_is_told_of_nevertheless(api, transports):
    waits_for(prepare(transports, federated_job("managed")), "KafkaStarting")
    api.put(a_kafka(HUB, "events"))
    strimzi_by_hand.answer(api)
    waits_for(prepare(transports, GONE), "KafkaUserPending")
    assert orphans(transports) == [LOG_NAME]
    with pytest.raises(LogUnavailableError, match="not up"):
        retire(transports)
    assert not [each for each in api.every() if each["kind"] in {"KafkaUser", "KafkaTopic"}]
    with pytest.raises(LogUnavailableError, match="not up"):
        orphans(transports)
