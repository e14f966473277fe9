"""Whoever waits for the log waits in a thread of its own, and nobody waits for that thread."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from consilia_operator.correspondence import mailbox
from consilia_operator.correspondence.mailbox import Clerk

STUCK = """
import asyncio, threading
from consilia_operator.correspondence.mailbox import Clerk

async def main():
    clerk = Clerk()
    asked = asyncio.ensure_future(clerk.have(threading.Event().wait))
    await asyncio.sleep(0.2)
    clerk.dismiss()
    asked.cancel()

asyncio.run(main())
"""


@pytest.fixture
def clerk():
    made = Clerk()
    yield made
    made.dismiss()


def test_what_is_asked_is_done_in_its_order_in_one_thread_and_errors_come_back(clerk):
    async def ask():
        names = await asyncio.gather(*(clerk.have(lambda: threading.current_thread().name) for _ in range(3)))
        assert set(names) == {"correspondence"}
        with pytest.raises(ZeroDivisionError):
            await clerk.have(lambda: 1 / 0)
        return await asyncio.gather(*(clerk.have(lambda n=n: n) for n in range(5)))

    assert asyncio.run(ask()) == [0, 1, 2, 3, 4]


def test_a_log_that_does_not_answer_is_left_all_the_same(clerk, monkeypatch):
    monkeypatch.setattr(mailbox, "_PARTING", 0.2)
    answers = threading.Event()

    async def leave():
        sending = asyncio.ensure_future(clerk.have(answers.wait))
        begun = time.monotonic()
        await clerk.close(mailbox.Mailbox.__new__(mailbox.Mailbox))
        assert time.monotonic() - begun < 2
        answers.set()
        await sending

    asyncio.run(leave())


def test_a_program_ends_though_the_log_does_not_answer():
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", STUCK], check=True, timeout=20)
    assert time.monotonic() - begun < 15
