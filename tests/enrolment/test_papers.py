"""The papers of joining: read only as they were signed, and by keys that are in their senders' hands."""

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from consilia.certificates import new_key, request_certificate
from consilia.enrolment.papers import JoinBundle, JoinRequest
from consilia.errors import IdentityError
from consilia.wire.identity import Identity

CLINIC, HUB = Identity.generate("clinic"), Identity.generate("hub")
KEY = new_key()
ASKED = request_certificate(KEY, "clinic").decode()
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def request(signer=CLINIC, **changes) -> JoinRequest:
    fields = {"hospital": "clinic", "public_key": CLINIC.public().text(), "certificate_request": ASKED, "version": "1"}
    return JoinRequest(**{**fields, **changes}).signed_by(signer)


def bundle(signer=HUB, **changes) -> JoinBundle:
    fields = {
        "hub": "hub",
        "hub_key": HUB.public().text(),
        "hospital": "clinic",
        "public_key": CLINIC.public().text(),
        "bootstrap_servers": ("kafka.example:30093",),
        "ca": CERTIFICATE,
        "certificate": CERTIFICATE,
    }
    return JoinBundle(**{**fields, **changes}).signed_by(signer)


def test_papers_are_read_as_they_were_written():
    assert JoinRequest.read(request().text()) == request()
    assert JoinBundle.read(bundle().text()) == bundle()


def test_neither_holds_a_secret():
    for paper in (request(), bundle()):
        assert "PRIVATE" not in paper.text()


@pytest.mark.parametrize("paper", [request(), bundle()])
@given(data=st.data())
def test_no_word_of_them_can_be_changed(paper, data):
    fields = json.loads(paper.text())
    name = data.draw(st.sampled_from(sorted(set(fields) - {"signature"})))
    fields[name] = data.draw(st.sampled_from(["other", "", None, ["a.example:1"], 1]))
    with pytest.raises(IdentityError):
        type(paper).read(json.dumps(fields))


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60), st.recursive(st.none(), st.lists).map(json.dumps)))
def test_nothing_else_is_taken_for_one(text):
    for kind in (JoinRequest, JoinBundle):
        with pytest.raises(IdentityError):
            kind.read(text)


def test_one_that_somebody_else_signed_is_refused():
    with pytest.raises(IdentityError, match="not signed with its own key"):
        JoinRequest.read(request(HUB).text())
    with pytest.raises(IdentityError, match="not signed with the key in it"):
        JoinBundle.read(bundle(CLINIC).text())


def asking(key, name):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())


def damaged() -> str:
    """Signed with a key that is not the one in it."""
    der = bytearray(asking(ec.generate_private_key(ec.SECP256R1()), "clinic").public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (asking(KEY, "lakeside").public_bytes(Encoding.PEM).decode(), "is for CN=lakeside, not for CN=clinic"),
        (asking(rsa.generate_private_key(65537, 2048), "clinic").public_bytes(Encoding.PEM).decode(), "no P-256 key"),
        (asking(ec.generate_private_key(ec.SECP384R1()), "clinic").public_bytes(Encoding.PEM).decode(), "no P-256 key"),
        (damaged(), "no P-256 key that signed it"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n", "cannot read"),
    ],
    ids=["another name", "RSA", "P-384", "not its key's", "rubbish"],
)
def test_a_request_for_a_certificate_that_nobody_should_have_is_refused(asked, words):
    with pytest.raises(IdentityError, match=words):
        JoinRequest.read(request(certificate_request=asked).text())
