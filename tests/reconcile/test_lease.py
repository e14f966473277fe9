"""One operator at a time, by the Lease of a real API server."""

import asyncio
from datetime import timedelta

import pytest
from event_loop import in_event_loop, until
from observed import NOON

from consilia.errors import FencedError
from consilia_operator.api_server import connect
from consilia_operator.kinds import LEASE
from consilia_operator.lease import NAME, Lease, free

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine
SECONDS = 2  # the chart asks for 10 at least


def spec(holder, renewed=0.0, lasts=10):
    since = NOON + timedelta(seconds=renewed)
    return {"spec": {"holderIdentity": holder, "renewTime": since.isoformat(), "leaseDurationSeconds": lasts}}


@pytest.mark.parametrize(
    ("lease", "mine"),
    [
        (spec("me"), True),
        (spec(""), True),
        (spec("another"), False),
        (spec("another", renewed=-11), True),
        ({"spec": {"holderIdentity": "another"}}, True),
    ],
)
def test_a_lease_is_free_that_is_ours_nobodys_or_not_renewed_in_time(lease, mine):
    assert free(lease, "me", NOON) is mine


async def holder(api, namespace):
    return (await api.get(LEASE, namespace, NAME))["spec"]["holderIdentity"]


@pytest.fixture
def namespace(cluster, request):
    name = "-".join(request.node.name.split("_")[1:6])
    cluster.namespace(name)
    return name


@in_event_loop
async def test_the_second_waits_until_the_first_lets_go(namespace):
    async with connect() as api:
        first, second = (Lease(api, namespace, name, SECONDS) for name in ("first", "second"))
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(1.5 * SECONDS)  # longer than the Lease lasts without renewal
        assert not waiting.done()
        assert await holder(api, namespace) == "first"
        keeping.cancel()
        await first.release()
        await waiting
        assert await holder(api, namespace) == "second"
        assert (await api.get(LEASE, namespace, NAME))["spec"]["leaseTransitions"] == 2


@in_event_loop
async def test_the_second_takes_over_from_one_that_died_and_who_comes_back_is_told(namespace):
    async with connect() as api:
        first, second = (Lease(api, namespace, name, SECONDS) for name in ("first", "second"))
        await first.acquire()
        await second.acquire()  # the first never renews it
        with pytest.raises(FencedError, match="was lost"):
            await first.keep()
        assert await holder(api, namespace) == "second"


@in_event_loop
async def test_two_that_come_at_once_never_both_hold_it(namespace):
    async with connect() as api:
        contenders = [Lease(api, namespace, f"number-{number}", 30) for number in range(5)]
        tasks = [asyncio.create_task(each.acquire()) for each in contenders]
        await until(lambda: any(task.done() for task in tasks))
        await asyncio.sleep(0.3)
        won = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(won) == 1
