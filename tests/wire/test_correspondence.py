"""Letters between hub and hospital: believed only from whom, to whom and when they were written."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from consilia.errors import CorrespondenceError, Objection
from consilia.log import Record
from consilia.wire.correspondence import (
    SKEW_SECONDS,
    Handout,
    Offer,
    Recall,
    Report,
    TaskReport,
    key_of,
    read_offer,
    read_report,
    write,
)
from consilia.wire.identity import MESSAGE, REPORT, Identity, canonical
from consilia.wire.messages import SIGNATURE

HUB, CLINIC, OTHER = (Identity(name, Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)))
                      for n, name in enumerate(("hub", "clinic", "other")))  # fmt: skip
NOW = 1_800_000_000.0
VECTORS = Path(__file__).parent / "vectors"


def record(letter, signer, *, key=None, headers=None) -> Record:
    body, signed = write(letter, signer)
    return Record(
        topic="consilia.offers.clinic",
        offset=3,
        key=key_of(letter) if key is None else key,
        value=memoryview(body),
        headers=signed if headers is None else headers,
    )


def offer(**changes) -> Offer:
    fields = {"hub": "hub", "hospital": "clinic", "serial": 7, "issued": NOW, "uid": "u-1", "expires": NOW + 60}
    job = {"metadata": {"name": "hearts", "uid": changes.get("uid", "u-1")}}
    return Offer(**{**fields, "job": job, "roster": {}, **changes})


def recall(**changes) -> Recall:
    return Recall(**{"hub": "hub", "hospital": "clinic", "serial": 8, "issued": NOW, "uid": "u-1", **changes})


def handout(**changes) -> Handout:
    fields = {"hub": "hub", "hospital": "clinic", "serial": 8, "issued": NOW, "bundle": {"kind": "JoinBundle"}}
    return Handout(**{**fields, **changes})


def report(**changes) -> Report:
    fields = {"hub": "hub", "hospital": "clinic", "serial": 9, "issued": NOW, "version": "1", "heard": 8}
    return Report(**{**fields, "interval": 30.0, **changes})


def read(found: Record, *, key=HUB, now=NOW):
    return read_offer(found, hub="hub", key=key.public(), hospital="clinic", now=now)


def hear(found: Record, *, now=NOW):
    return read_report(found, hub="hub", key=CLINIC.public(), hospital="clinic", now=now)


@pytest.mark.parametrize("letter", [offer(), offer(suspend=True), recall(), handout()])
def test_a_hospital_reads_what_its_hub_wrote(letter):
    assert read(record(letter, HUB)) == letter


@given(
    serial=st.integers(0, 2**53 - 1),
    heard=st.integers(0, 2**53 - 1),
    tasks=st.lists(st.builds(TaskReport, uid=st.just("u"), message=st.text(max_size=60), round=st.integers(0, 9))),
)
def test_a_hub_reads_what_its_hospital_wrote(serial, heard, tasks):
    letter = report(serial=serial, heard=heard, tasks=tuple(tasks))
    assert hear(record(letter, CLINIC)) == letter


@pytest.mark.parametrize(
    ("found", "objection"),
    [
        (record(offer(), OTHER), Objection.FORGED),
        (record(offer(), CLINIC), Objection.FORGED),
        (record(offer(), HUB, headers={}), Objection.FORGED),
        (record(offer(), HUB, headers={SIGNATURE: "?"}), Objection.FORGED),
        (record(offer(hub="another"), HUB), Objection.OTHER_HUB),
        (record(offer(hospital="lakeside"), HUB), Objection.OTHER_HOSPITAL),
        (record(recall(hospital="lakeside"), HUB), Objection.OTHER_HOSPITAL),
        (record(offer(expires=NOW - SKEW_SECONDS), HUB), Objection.EXPIRED),
        (record(offer(issued=NOW + SKEW_SECONDS + 1), HUB), Objection.FROM_THE_FUTURE),
        (record(recall(issued=NOW + SKEW_SECONDS + 1), HUB), Objection.FROM_THE_FUTURE),
        (record(offer(), HUB, key="u-2"), Objection.MALFORMED),
        (record(offer(), HUB, key="report"), Objection.MALFORMED),
        (record(offer(job={"metadata": {"uid": "u-2"}}), HUB), Objection.MALFORMED),
        (record(offer(job={}), HUB), Objection.MALFORMED),
    ],
)
def test_a_hospital_does_not_believe(found, objection):
    with pytest.raises(CorrespondenceError) as caught:
        read(found)
    assert caught.value.objection == objection
    assert "offset 3 of consilia.offers.clinic" in caught.value.message


@pytest.mark.parametrize(
    ("found", "objection"),
    [
        (record(report(), OTHER), Objection.FORGED),
        (record(report(), HUB), Objection.FORGED),
        (record(report(hub="another"), CLINIC), Objection.OTHER_HUB),
        (record(report(hospital="lakeside"), CLINIC), Objection.OTHER_HOSPITAL),
        (record(report(issued=NOW + SKEW_SECONDS + 1), CLINIC), Objection.FROM_THE_FUTURE),
        (record(report(), CLINIC, key="u-1"), Objection.MALFORMED),
    ],
)
def test_a_hub_does_not_believe(found, objection):
    with pytest.raises(CorrespondenceError) as caught:
        hear(found)
    assert caught.value.objection == objection


def test_what_was_signed_for_one_purpose_is_nothing_for_another():
    body, _ = write(offer(), HUB)
    for purpose in (MESSAGE, REPORT):
        with pytest.raises(CorrespondenceError):
            read(record(offer(), HUB, headers={SIGNATURE: HUB.sign(body, purpose=purpose)}))


@given(st.data())
def test_no_bit_of_a_letter_can_be_changed(data):
    found = record(offer(), HUB)
    body = bytearray(found.value)
    at = data.draw(st.integers(0, len(body) * 8 - 1))
    body[at // 8] ^= 1 << at % 8
    changed = Record(topic=found.topic, offset=3, key=found.key, value=memoryview(body), headers=found.headers)
    with pytest.raises(CorrespondenceError):
        read(changed)


def signed(fields, signer, purpose) -> Record:
    body = canonical(fields)
    headers = {SIGNATURE: signer.sign(body, purpose=purpose)}
    key = "report" if fields["type"] == "Report" else fields["uid"]
    return Record(topic="consilia.offers.clinic", offset=3, key=key, value=memoryview(body), headers=headers)


def test_a_hospital_does_nothing_of_which_it_does_not_know_every_word():
    fields = json.loads(write(offer(), HUB)[0]) | {"mustTrainOn": "everything"}
    with pytest.raises(CorrespondenceError, match="Is its version newer than ours"):
        read(signed(fields, HUB, b"consilia.dev/v1alpha1 offer\n"))


def test_a_hub_passes_over_what_a_newer_hospital_tells():
    fields = json.loads(write(report(tasks=(TaskReport(uid="u"),)), CLINIC)[0])
    fields["mood"] = "good"
    fields["tasks"][0]["mood"] = "better"
    assert hear(signed(fields, CLINIC, REPORT)) == report(tasks=(TaskReport(uid="u"),))


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_letters_of_earlier_versions_are_read_as_ever(path):
    """Never edit these files: they are what versions in use have written. A new version adds its own."""
    vector = json.loads(path.read_text())
    found = Record(
        topic="consilia.offers.clinic",
        offset=3,
        key=vector["key"],
        value=memoryview(vector["body"].encode()),
        headers={SIGNATURE: vector["signature"]},
    )
    letter = hear(found) if vector["key"] == "report" else read(found)
    read_back, written = letter.model_dump(mode="json", by_alias=True, exclude_none=True), json.loads(vector["body"])
    assert {name: read_back[name] for name in written} == written


def test_there_are_letters_of_every_kind_to_read():
    kinds = {json.loads(json.loads(path.read_text())["body"])["type"] for path in VECTORS.glob("*.json")}
    assert kinds == {"Handout", "Offer", "Recall", "Report"}


def test_keys_and_signatures_are_those_of_rfc_8032():
    body, headers = write(recall(), HUB)
    HUB.key.public_key().verify(base64.b64decode(headers[SIGNATURE]), b"consilia.dev/v1alpha1 offer\n" + body)
