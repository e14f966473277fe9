"""What programs say of themselves is believed only with the right signature, and about the right job."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from event_loop import in_event_loop, until
from hypothesis import given
from hypothesis import strategies as st

from consilia.progress import STATUS_PORT, JobProgress, TrainerProgress
from consilia.wire.identity import Identity, canonical
from consilia_operator.kinds import FEDERATED_JOB
from consilia_operator.progress_watch import ProgressWatch, Source, new_session, read
from consilia_operator.store import Key

PROGRAM, NEIGHBOUR = Identity.generate("aggregator"), Identity.generate("neighbour")
JOB = "study.0123"
SOURCE = Source("127.77.0.0", PROGRAM.public(), JobProgress, JOB)
KEY = Key(FEDERATED_JOB, "hub", "study")


def answer(identity=PROGRAM, **said):
    body = canonical({"job": JOB, "version": 1, "phase": "Training", **said})
    return json.dumps({"body": body.decode(), "signature": identity.sign(body)}).encode()


def test_what_the_program_signed_is_believed():
    assert read(answer(round=3), SOURCE).round == 3


@pytest.mark.parametrize(
    ("forged", "told"),
    [
        (answer(NEIGHBOUR), "signature"),
        (answer().replace(b"Training", b"Finished"), "signature"),
        (b"{}", "signature"),
        (b"[]", "signature"),
        (b'"body"', "signature"),
        (answer(job="another.4567"), "it is about another.4567"),
        (answer(phase="Resting"), "no snapshot"),
        (answer(patients=["4711"]), "no snapshot"),
        (answer(started=1e300), "no snapshot"),
        (answer(ending={"outcome": "Succeeded", "reason": "not one word"}), "no snapshot"),
        (100_000 * b"[", "nested too deeply"),
        (b'{"body": ' + 900 * b"[" + 900 * b"]" + b', "signature": ""}', "signature"),
        (answer(hospitals=None).replace(b"null", 100_000 * b"["), "signature"),
        (b"rubbish", "Expecting value"),
        (b"", "Expecting value"),
    ],
)
def test_what_is_forged_or_rubbish_is_not(forged, told):
    with pytest.raises(ValueError, match=told):
        read(forged, SOURCE)


def test_a_trainer_cannot_speak_as_an_aggregator():
    with pytest.raises(ValueError, match="no snapshot"):
        read(answer(), Source(SOURCE.address, PROGRAM.public(), TrainerProgress, JOB))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
    lambda value: json.dumps({"body": value, "signature": value}).encode()))  # fmt: skip
def test_no_bytes_are_more_than_an_error(rubbish):
    with pytest.raises(ValueError):  # noqa: PT011 (whatever it says)
        read(rubbish, SOURCE)


@asynccontextmanager
async def program(address, *routes):
    """What answers so, on the status port; and who asks it. Every test has an address of its own."""
    site, woken = web.Application(), []
    site.add_routes(routes)
    runner = web.AppRunner(site, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, STATUS_PORT).start()
        async with new_session() as session:
            yield ProgressWatch(session, woken.append), Source(address, PROGRAM.public(), JobProgress, JOB), woken
    finally:
        await runner.cleanup()


@in_event_loop
async def test_the_newest_word_is_heard_an_older_one_is_not_and_silence_is_no_end():
    said, asked = [answer(version=5, round=1)], []

    async def progress(request):
        asked.append(request.query["after"])
        if not said:
            return web.Response(status=204)
        word = said.pop(0)
        return web.Response(status=500) if word is None else web.Response(body=word)

    async with program("127.77.0.1", web.get("/progress", progress)) as (watch, source, woken):
        watch.follow(KEY, source)
        await until(lambda: watch.heard(KEY))
        said += [None, answer(NEIGHBOUR, version=9, round=9), answer(version=4, round=0), answer(version=6, round=2)]
        await until(lambda: watch.heard(KEY).round == 2)
        assert woken == [KEY, KEY]
        assert asked[0] == "0"
        assert set(asked[1:]) <= {"5", "6"}
        watch.follow(KEY, None)
        assert watch.heard(KEY).round == 2  # what was said stands, until the object is forgotten
        watch.forget(KEY)
        assert watch.heard(KEY) is None


@in_event_loop
async def test_however_many_programs_there_are_all_are_heard_at_once():
    many, asked = 120, []  # aiohttp has 100 connections, unless it is told

    async def progress(request):
        asked.append(request)
        if request.query["after"] == "0":
            await until(lambda: len(asked) >= many)
            return web.Response(body=answer())
        return web.Response(status=204)

    async with program("127.77.0.2", web.get("/progress", progress)) as (watch, source, woken):
        keys = [Key(FEDERATED_JOB, "hub", f"study-{number}") for number in range(many)]
        for key in keys:
            watch.follow(key, source)
        await until(lambda: len(woken) == many)
        for key in keys:
            watch.forget(key)


@in_event_loop
async def test_nobody_is_followed_elsewhere():
    asked, lured = [], []

    async def progress(request):
        asked.append(request)
        raise web.HTTPFound("/elsewhere")

    async def elsewhere(request):
        lured.append(request)
        return web.Response(body=answer())

    routes = web.get("/progress", progress), web.get("/elsewhere", elsewhere)
    async with program("127.77.0.3", *routes) as (watch, source, woken):
        watch.follow(KEY, source)
        await until(lambda: len(asked) == 2)
        watch.forget(KEY)
    assert (lured, woken) == ([], [])


@in_event_loop
async def test_nothing_ends_a_listener_but_to_be_told_so_and_what_nobody_foresaw_is_told_once(caplog):
    said = [100_000 * b"[", answer(version=1), answer(version=2), answer(version=3)]

    async def progress(request):
        return web.Response(body=said.pop(0)) if said else web.Response(status=204)

    async with program("127.77.0.4", web.get("/progress", progress)) as (watch, source, woken):

        def failing(key):
            woken.append(key)
            if len(woken) < 3:
                raise MemoryError

        watch.changed = failing
        watch.follow(KEY, source)
        await until(lambda: len(woken) == 3)
        (listener,) = watch._tasks.values()
        watch.forget(KEY)
        await until(listener.cancelled)
    assert [source.address in each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == [True]


@in_event_loop
async def test_who_does_not_wait_for_news_is_not_asked_all_the_time():
    asked = []

    async def progress(request):
        asked.append(request)
        return web.Response(status=204)

    async with program("127.77.0.5", web.get("/progress", progress)) as (watch, source, _):
        watch.follow(KEY, source)
        await asyncio.sleep(1.2)
        watch.forget(KEY)
    assert len(asked) <= 3
