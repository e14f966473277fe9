"""What versions in use have written, word for word: papers, and messages of rounds (letters: test_correspondence.py).

Never edit the files in vectors/. A new minor version adds its own (CONTRIBUTING.md, "Raise the minor version").
"""

import json
from pathlib import Path
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consilia import __version__
from consilia.enrolment.papers import JoinBundle, JoinRequest
from consilia.log import Record
from consilia.wire.identity import Identity
from consilia.wire.messages import SIGNATURE, FromAggregator, FromHospital, from_aggregator, from_hospital

CLINIC, AGGREGATOR = (Identity("", Ed25519PrivateKey.from_private_bytes(bytes([n] * 32))) for n in (1, 2))
VECTORS, JOB = Path(__file__).parent / "vectors", "hearts.0a1b2c3d"
MINOR = __version__.rpartition(".")[0]


def said(path):
    """Who said what, and what stands there."""
    for each in json.loads(path.read_text()):
        body, headers = each["body"].encode(), {SIGNATURE: each["signature"]}
        yield each["by"], Record(topic="t", offset=3, key=None, value=memoryview(body), headers=headers)


def read(by, record):
    if by == "clinic":
        return from_hospital(record, hospital="clinic", key=CLINIC.public(), job=JOB)
    return from_aggregator(record, key=AGGREGATOR.public(), job=JOB)


def of(folder):
    return pytest.mark.parametrize("path", sorted((VECTORS / folder).glob("*.json")), ids=lambda path: path.stem)


@of("rounds")
def test_messages_of_earlier_versions_are_read_as_ever(path):
    kinds = set()
    for by, record in said(path):
        message, written = read(by, record), json.loads(bytes(record.value))
        again = message.model_dump(mode="json", by_alias=True, exclude_none=True)
        assert {name: again[name] for name in written} == written
        kinds.add(type(message))
    assert kinds == {*get_args(FromHospital), *get_args(FromAggregator)}


@of("papers")
def test_papers_of_earlier_versions_are_read_as_ever(path):
    texts = json.loads(path.read_text())
    for kind, text in zip((JoinRequest, JoinBundle), texts, strict=True):
        assert json.loads(kind.read(text).text()) == json.loads(text)


@pytest.mark.parametrize("name", ["rounds/", "papers/", "-handout", "-offer", "-recall", "-report"])
def test_this_version_has_added_its_own(name):
    folder, _, letter = name.rpartition("/")
    assert (VECTORS / folder / f"{MINOR}{letter}.json").is_file()
