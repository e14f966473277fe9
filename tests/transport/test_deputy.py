"""One visit to the brokers serves all jobs that wait for it, and nobody waits in vain when one of them goes."""

import asyncio

import pytest
from brokers_on_loopback import resolving

from consilia.certificates import create_authority, issue_client
from consilia.errors import LogUnavailableError
from consilia_operator.transport.administration import Reach, Wanted
from consilia_operator.transport.authorities import LASTS
from consilia_operator.transport.deputy import Deputy

NOBODY = {"kafka.example": "127.254.254.254"}
WANTED = Wanted(log_name="demo", aggregator="word", hospitals={"riverside": "word"})


@pytest.fixture(scope="module")
def reach():
    """A way to where nobody listens."""
    authority = create_authority("test", lasts=LASTS)
    own = issue_client(authority, "operator", lasts=LASTS)
    servers = ("kafka.example:9094",)
    return Reach(servers=servers, trust=authority.certificate_pem, certificate=own.certificate_pem, key=own.key_pem)


def test_all_who_waited_for_a_visit_that_failed_hear_of_it(reach):
    async def three():
        deputy = Deputy()
        asked = (deputy.bring_about("hub", reach, WANTED) for _ in range(3))
        return await asyncio.gather(*asked, return_exceptions=True)

    with resolving(NOBODY):
        answers = asyncio.run(three())
    assert [type(each) for each in answers] == [LogUnavailableError] * 3


def test_when_the_one_who_visits_is_called_off_another_goes(reach):
    async def first_called_off():
        deputy = Deputy()
        first, second = (asyncio.create_task(deputy.bring_about("hub", reach, WANTED)) for _ in range(2))
        await asyncio.sleep(0)  # the first is at the door, the second waits
        await asyncio.sleep(0)
        first.cancel()
        return await asyncio.gather(first, second, return_exceptions=True)

    with resolving(NOBODY):
        one, other = asyncio.run(first_called_off())
    assert isinstance(one, asyncio.CancelledError)
    assert isinstance(other, LogUnavailableError)
    assert "operator" in str(other)


def test_what_else_is_asked_goes_through_the_same_door_and_gives_its_answer(reach):
    async def both():
        deputy = Deputy()
        visit = asyncio.create_task(deputy.bring_about("hub", reach, WANTED))
        await asyncio.sleep(0)
        answer = await deputy.ask("hub", "count", lambda: 3)
        (failed,) = await asyncio.gather(visit, return_exceptions=True)
        return answer, failed

    with resolving(NOBODY):
        answer, failed = asyncio.run(both())
    assert answer == 3
    assert isinstance(failed, LogUnavailableError)
