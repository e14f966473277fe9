"""One visit to the brokers serves all jobs that wait for it, and nobody waits in vain when one of them goes."""

import asyncio
import tempfile
import threading

import pytest
from brokers_on_loopback import resolving

from consilia.certificates import create_authority, issue_client
from consilia.errors import LogUnavailableError
from consilia_operator.transport import deputy as visiting
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


def test_a_call_that_failed_is_not_repeated_for_nobody_and_a_later_one_is_answered(reach, tmp_path, monkeypatch):
    async def answers_of(deputy, number):
        calls = [asyncio.wait_for(deputy.bring_about("hub", reach, WANTED), 30) for _ in range(number)]
        return {type(answer) for call in calls for answer in await asyncio.gather(call, return_exceptions=True)}

    async def without_files_and_with():
        deputy = Deputy()
        with monkeypatch.context() as patched:
            patched.setattr(tempfile, "tempdir", str(tmp_path / "no-such-folder"))
            without = await answers_of(deputy, 150)  # more than one visit takes
        return without, await answers_of(deputy, 1)

    with resolving(NOBODY):
        assert asyncio.run(without_files_and_with()) == ({FileNotFoundError}, {LogUnavailableError})


def test_for_one_who_was_called_off_before_the_door_no_visit_is_made(reach, monkeypatch):
    visits, inside, go_on = [], threading.Event(), threading.Event()

    def visit(_, jobs):
        visits.append([each.log_name for each in jobs])
        inside.set()
        assert go_on.wait(30)

    def of(name):
        return Wanted(log_name=name, aggregator="word", hospitals={})

    async def second_called_off():
        deputy = Deputy()
        first, second, third = (
            asyncio.create_task(deputy.bring_about("hub", reach, of(name))) for name in ("first", "second", "third")
        )
        assert await asyncio.to_thread(inside.wait, 30)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        go_on.set()
        await asyncio.gather(first, third)

    monkeypatch.setattr(visiting, "bring_about", visit)
    asyncio.run(second_called_off())
    assert visits == [["first"], ["third"]]


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
