"""Signed messages: what is not signed, not well-formed or not for this job is refused."""

import base64
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilia.errors import IdentityError, Refusal, RefusedMessage
from consilia.log import Record
from consilia.wire.identity import Identity, PublicKey, Roster, canonical
from consilia.wire.messages import (
    FromAggregator,
    FromHospital,
    JobFinished,
    Joined,
    Payload,
    RoundOpened,
    Update,
    encode,
    from_aggregator,
    from_hospital,
)

DIGEST = "sha256:" + "0" * 64
CLINIC, OTHER = Identity.generate("clinic"), Identity.generate("other")

payloads = st.tuples(st.integers(0, 2**53 - 1), st.integers(0, 2**30)).map(
    lambda pair: Payload(sha256=DIGEST, size=pair[0], chunks=pair[1])
)
updates = st.fixed_dictionaries({
    "round": st.integers(1, 1000),
    "samples": st.integers(1, 2**40),
    "payload": payloads,
    "metrics": st.dictionaries(st.text(max_size=10), st.floats(-1e15, 1e15), max_size=3),
    "train_seconds": st.floats(0, 1e9),
}).map(
    lambda fields: Update(
        job="job", hospital="clinic", base_digest=DIGEST, config_digest=DIGEST, roster_digest=DIGEST, **fields
    )
)  # fmt: skip


def record(value: bytes, headers: dict[str, str]) -> Record:
    return Record(topic="consilia.up.clinic.job", offset=3, key=None, value=memoryview(value), headers=headers)


def joined(**changes) -> Joined:
    fields = {"job": "job", "hospital": "clinic", "config_digest": DIGEST, "roster_digest": DIGEST, "samples": 5}
    return Joined(**{**fields, "version": "1", **changes})


def read(value: bytes, headers: dict[str, str]):
    return from_hospital(record(value, headers), hospital="clinic", key=CLINIC.public(), job="job")


def refusal(value: bytes, headers: dict[str, str]) -> Refusal:
    with pytest.raises(RefusedMessage) as caught:
        read(value, headers)
    return caught.value.reason


@given(updates)
def test_a_message_survives_the_journey(update):
    assert read(*encode(update, CLINIC)) == update


@given(updates)
def test_a_message_has_one_form_only(update):
    value, _ = encode(update, CLINIC)
    assert value == canonical(json.loads(value))


@pytest.mark.parametrize("kind", [*get_args(FromHospital), *get_args(FromAggregator)], ids=lambda kind: kind.__name__)
def test_what_may_be_none_may_be_left_out(kind):
    """None is not sent: a reader must bear its absence, or a job that fails before its first round is never over."""
    optional = [name for name, field in kind.model_fields.items() if type(None) in get_args(field.annotation)]
    assert not [name for name in optional if kind.model_fields[name].is_required()]


def test_a_job_that_failed_without_a_model_is_over_for_everybody():
    finished = JobFinished(job="job", outcome="Failed", reason="Quorum", rounds=0, model=None)
    assert from_aggregator(record(*encode(finished, CLINIC)), key=CLINIC.public(), job="job") == finished


def test_another_hospitals_signature_is_a_forgery():
    assert refusal(*encode(joined(), OTHER)) is Refusal.FORGED


def test_one_changed_byte_is_a_forgery():
    value, headers = encode(joined(), CLINIC)
    assert refusal(value.replace(b'"samples":5', b'"samples":6'), headers) is Refusal.FORGED


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64!", "A" * 88])
def test_rubbish_for_a_signature_is_a_forgery(signature):
    value, _ = encode(joined(), CLINIC)
    assert refusal(value, {"signature": signature}) is Refusal.FORGED


def test_a_signature_that_was_made_for_something_else_is_a_forgery():
    """The same key over the same bytes, but not as a message of ours."""
    value, _ = encode(joined(), CLINIC)
    assert refusal(value, {"signature": base64.b64encode(CLINIC.key.sign(value)).decode()}) is Refusal.FORGED


def test_a_hospital_cannot_speak_for_another():
    assert refusal(*encode(joined(hospital="elsewhere"), CLINIC)) is Refusal.FORGED


def test_a_message_of_another_job_is_refused():
    assert refusal(*encode(joined(job="another"), CLINIC)) is Refusal.WRONG_JOB


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"\xff\xfe", b'{"type":"Nonsense"}', b"9" * 5000,
        canonical({**joined().model_dump(mode="json", by_alias=True), "samples": -1}),
        canonical({**joined().model_dump(mode="json", by_alias=True), "samples": "5"}),
        canonical({**joined().model_dump(mode="json", by_alias=True), "extra": 1}),
        canonical({**joined().model_dump(mode="json", by_alias=True), "hospital": "x" * 64}),
    ],
)  # fmt: skip
def test_signed_rubbish_is_malformed(body):
    assert refusal(body, {"signature": CLINIC.sign(body)}) is Refusal.MALFORMED


def test_a_hospital_cannot_open_a_round():
    opened = RoundOpened(
        job="job", round=1, model=Payload(sha256=DIGEST, size=1, chunks=1), config_digest=DIGEST, roster_digest=DIGEST,
        hospitals=["clinic"], deadline=0.0,
    )  # fmt: skip
    value, headers = encode(opened, CLINIC)
    assert refusal(value, headers) is Refusal.MALFORMED
    assert from_aggregator(record(value, headers), key=CLINIC.public(), job="job") == opened


def test_a_key_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "key.pem"
    CLINIC.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Identity.load("clinic", path).public().text() == CLINIC.public().text()


def test_a_private_key_is_never_shown():
    assert repr(CLINIC) == "Identity('clinic')"


@pytest.mark.parametrize("content", [b"", b"rubbish", CLINIC.public().text().encode()])
def test_a_bad_key_file_is_named(tmp_path, content):
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(IdentityError, match=r"cannot read the key of clinic from .*key\.pem"):
        Identity.load("clinic", path)


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(IdentityError, match=r"absent\.pem: No such file"):
        Identity.load("clinic", tmp_path / "absent.pem")


def test_a_roster_survives_json_and_its_digest_tells_keys_apart():
    roster = Roster(OTHER.public(), {"b": CLINIC.public(), "a": OTHER.public()})
    again = Roster.parse(json.loads(json.dumps(roster.as_json())))
    assert again.digest() == roster.digest()
    assert Roster(OTHER.public(), {"b": OTHER.public(), "a": OTHER.public()}).digest() != roster.digest()


@pytest.mark.parametrize("data", [None, {}, {"aggregator": "x", "hospitals": {}}, {"aggregator": 1, "hospitals": []}])
def test_a_bad_roster_is_refused(data):
    with pytest.raises(IdentityError):
        Roster.parse(data)


def test_a_public_key_of_another_kind_is_refused():
    with pytest.raises(IdentityError, match="not a public key"):
        PublicKey.from_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
