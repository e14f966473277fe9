"""A hospital's link to its hub: what was handed out, through the hospital's proxy, and nothing that is for others."""

import asyncio
import json

import pytest
from hospital_in_memory import NAME, ApiServerOfHospital
from hub_by_hand import hub_and_riverside

from consilia.enrolment.keeping import LINK, secret
from consilia.errors import IdentityError
from consilia.kafka.settings import KafkaSettings
from consilia_operator.correspondence import agent
from consilia_operator.correspondence.link import find
from consilia_operator.manifests.network import address_of
from consilia_operator.settings import OutboundProxy

DIRECT = OutboundProxy()
PROXY = OutboundProxy(url="http://proxy.riverside.example:3128", username="consilia")


@pytest.fixture
def hub(tmp_path):
    with hub_and_riverside(tmp_path) as found:
        found.riverside.api.put(secret(NAME, LINK, found.handed_out()))
        yield found


def link_of(hub, proxy=DIRECT):
    return asyncio.run(find(hub.riverside.api, NAME, proxy))


def test_who_has_joined_no_hub_has_no_link():
    assert asyncio.run(find(ApiServerOfHospital(), NAME, OutboundProxy())) is None


def test_the_way_is_the_one_that_was_handed_out(hub):
    found = link_of(hub)
    assert (found.hub, found.hospital) == ("hub", NAME)
    settings = KafkaSettings.model_validate_json(found.log["kafka.json"])
    assert settings.bootstrap_servers == ("kafka.example:30093",)
    assert settings.tls
    assert address_of(found.log, "cluster.local").ports == (30093,)


def test_through_a_proxy_programs_reach_the_proxy_and_nothing_else(hub):
    hub.riverside.api.put(secret(NAME, "consilia-proxy", {"password": b"geheim"}))
    found = link_of(hub, PROXY)
    told = json.loads(found.log["kafka.json"])
    assert (told["proxy"], told["proxyUsername"]) == ("http://proxy.riverside.example:3128", "consilia")
    assert found.log[told["proxyPassword"]] == b"geheim"
    assert "geheim" not in found.log["kafka.json"].decode()
    assert address_of(found.log, "cluster.local").ports == (3128,)


def test_a_password_that_is_missing_is_named(hub):
    with pytest.raises(IdentityError, match="Secret riverside/consilia-proxy with the proxy's password"):
        link_of(hub, PROXY)


@pytest.mark.parametrize("changes", [{"hospital": "lakeside"}, {"public_key": None}], ids=["hospital", "key"])
def test_what_is_for_another_is_not_taken(hub, changes):
    if "public_key" in changes:
        changes = {"public_key": hub.identity.public().text()}
    hub.riverside.api.put(secret(NAME, LINK, hub.handed_out(**changes)))
    with pytest.raises(IdentityError, match="for another hospital, or another key"):
        link_of(hub)


def test_one_connection_lasts_until_the_link_is_another(hub, monkeypatch):
    """The agent as the operator runs it, over a log that is real, until it was handed out another way."""
    opened = []

    def connect(link, folder):
        opened.append(link)
        return hub.open()

    monkeypatch.setattr(agent, "_LINK_LOOKED_AT", 0.2)
    monkeypatch.setattr(agent, "_LISTENING", 0.05)
    monkeypatch.setattr(agent, "_AGAIN", 0.05)

    async def until(holds):
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.05)

    async def lasting():
        running = asyncio.create_task(agent.run(hub.riverside.context, NAME, connect))
        await until(lambda: opened and hub.reports())
        await asyncio.sleep(1)  # five looks at the link, which is the same
        assert len(opened) == 1
        hub.riverside.api.put(secret(NAME, LINK, hub.handed_out(bootstrap_servers=("elsewhere.example:1",))))
        await until(lambda: len(opened) == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(lasting())
