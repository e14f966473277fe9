import asyncio

from event_loop import in_event_loop
from hypothesis import given
from hypothesis import strategies as st

from consilia_operator.work_queue import FIRST_RETRY, LAST_RETRY, WorkQueue


async def taken(queue):
    """All that can be taken now."""
    found = []
    while queue._ready.qsize():
        found.append(await queue.take())
    return found


@in_event_loop
async def test_a_key_is_looked_at_once_however_often_it_is_named():
    queue = WorkQueue()
    for key in "abab":
        queue.add(key)
    assert len(queue) == 2
    assert await taken(queue) == ["a", "b"]


@in_event_loop
async def test_what_is_named_again_while_it_is_looked_at_is_looked_at_again_afterwards():
    queue = WorkQueue()
    queue.add("a")
    await queue.take()
    queue.add("a")
    queue.add("a")
    assert await taken(queue) == []
    queue.done("a")
    assert await taken(queue) == ["a"]
    queue.done("a")
    assert len(queue) == 0


@in_event_loop
async def test_who_fails_is_looked_at_later_and_later_until_a_look_goes_well():
    queue, waits = WorkQueue(), []
    for _ in range(12):
        queue.add("a")
        await queue.take()
        waits.append(queue.failed("a"))
    assert waits[:4] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY, 8 * FIRST_RETRY]
    assert waits[-1] == LAST_RETRY
    queue.add("a")
    await queue.take()
    queue.done("a")
    queue.add("a")
    await queue.take()
    assert queue.failed("a") == FIRST_RETRY


@in_event_loop
async def test_who_failed_comes_back_by_itself():
    queue = WorkQueue()
    queue.add("a")
    await queue.take()
    wait = queue.failed("a")
    begun = asyncio.get_running_loop().time()
    assert await queue.take() == "a"
    assert asyncio.get_running_loop().time() - begun >= wait - 0.01


@in_event_loop
async def test_the_earlier_of_two_appointments_stands_and_now_is_before_both():
    queue = WorkQueue()
    queue.add_later("a", 60)
    queue.add_later("a", 0.01)
    queue.add_later("a", 30)
    assert await queue.take() == "a"
    queue.done("a")
    queue.add_later("b", 0.01)
    queue.add("b")
    assert await queue.take() == "b"
    queue.done("b")
    await asyncio.sleep(0.05)  # a second appointment would be due by now
    assert await taken(queue) == []


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "done", "failed"]), st.sampled_from("abc")), max_size=40))
def test_no_key_is_ever_worked_on_twice_at_a_time_and_none_is_forgotten(steps):
    async def walk():
        queue, working, owed = WorkQueue(), set(), set()
        for what, key in steps:
            if what == "add":
                queue.add(key)
                owed.add(key)
            elif what == "take" and queue._ready.qsize():
                got = await queue.take()
                assert got not in working
                working.add(got)
                owed.discard(got)
            elif what in ("done", "failed") and key in working:
                working.discard(key)
                getattr(queue, what)(key)
        for key in sorted(working):
            queue.done(key)
        assert owed <= set(await taken(queue))

    asyncio.run(walk())
