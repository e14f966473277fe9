"""What programs say of themselves is believed only with the right signature, and about the right job."""

import json

import pytest
from aiohttp import ClientSession, web
from event_loop import in_event_loop, until
from hypothesis import given
from hypothesis import strategies as st

from consilia.progress import STATUS_PORT, JobProgress, TrainerProgress
from consilia.wire.identity import Identity, canonical
from consilia_operator.kinds import FEDERATED_JOB
from consilia_operator.progress_watch import ProgressWatch, Source, read
from consilia_operator.store import Key

PROGRAM, NEIGHBOUR = Identity.generate("aggregator"), Identity.generate("neighbour")
JOB = "study.0123"
HOST = "127.77.0.1"
"""An address of loopback's that nobody else listens on."""
SOURCE = Source(HOST, PROGRAM.public(), JobProgress, JOB)
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
        (b"rubbish", "Expecting value"),
        (b"", "Expecting value"),
    ],
)
def test_what_is_forged_or_rubbish_is_not(forged, told):
    with pytest.raises(ValueError, match=told):
        read(forged, SOURCE)


def test_a_trainer_cannot_speak_as_an_aggregator():
    with pytest.raises(ValueError, match="no snapshot"):
        read(answer(), Source(HOST, PROGRAM.public(), TrainerProgress, JOB))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
    lambda value: json.dumps({"body": value, "signature": value}).encode()))  # fmt: skip
def test_no_bytes_are_more_than_an_error(rubbish):
    with pytest.raises(ValueError):  # noqa: PT011 (whatever it says)
        read(rubbish, SOURCE)


@in_event_loop
async def test_the_newest_word_is_heard_an_older_one_is_not_and_silence_is_no_end():
    said, woken, asked = [answer(version=5, round=1)], [], []

    async def progress(request):
        asked.append(request.query["after"])
        if not said:
            return web.Response(status=204)
        word = said.pop(0)
        return web.Response(status=500) if word is None else web.Response(body=word)

    site = web.Application()
    site.add_routes([web.get("/progress", progress)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, STATUS_PORT).start()
    async with ClientSession() as session:
        watch = ProgressWatch(session, woken.append)
        watch.follow(KEY, SOURCE)
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
    await runner.cleanup()
