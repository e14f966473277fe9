"""Certificates: what TLS makes of them, whom they name, who can read their keys."""

import os
import re
import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from needed import missing

from consilia.broker.properties import PRINCIPAL_RULES
from consilia.certificates import Credentials, create_authority, issue_client, issue_server
from consilia.errors import IdentityError

DAY = timedelta(days=1)
AUTHORITY = create_authority("Test authority", lasts=DAY)
STRANGER = create_authority("Test authority", lasts=DAY)
PRINCIPALS = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)


def context(folder, purpose, own, *, trusted=AUTHORITY):
    """A side of a connection that insists on RFC 5280, and on the other side's certificate."""
    found = ssl.SSLContext(purpose)
    found.verify_flags |= ssl.VERIFY_X509_STRICT
    found.load_verify_locations(cadata=trusted.certificate_pem.decode())
    if purpose is ssl.PROTOCOL_TLS_SERVER:
        found.verify_mode = ssl.CERT_REQUIRED
    own.save(folder / "own.pem", folder / "own.pem")
    found.load_cert_chain(folder / "own.pem")
    return found


def shake_hands(server, client, host):
    """Whom either side takes the other for; raises what the side that refuses says."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(sides)
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    return [side.getpeercert()["subject"][0][0][1] for side in sides]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    issued = issue_server(AUTHORITY, "broker", ["127.0.0.1", "::1", "kafka-0.kafka.svc"], lasts=DAY)
    return context(tmp_path_factory.mktemp("server"), ssl.PROTOCOL_TLS_SERVER, issued)


def client(folder, issued, **more):
    return context(folder, ssl.PROTOCOL_TLS_CLIENT, issued, **more)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "kafka-0.kafka.svc"])
def test_both_sides_accept_each_other_at_every_name_of_the_server(tmp_path, server, host):
    issued = issue_client(AUTHORITY, "hospital-a", lasts=DAY)
    assert shake_hands(server, client(tmp_path, issued), host) == ["broker", "hospital-a"]


def test_a_server_is_not_accepted_at_another_name(tmp_path, server):
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(server, client(tmp_path, issue_client(AUTHORITY, "a", lasts=DAY)), "127.0.0.2")


@pytest.mark.parametrize(
    ("issued", "words"),
    [
        (issue_client(STRANGER, "hospital-a", lasts=DAY), "certificate signature failure|unable to get local issuer"),
        (issue_client(AUTHORITY, "hospital-a", lasts=-timedelta(seconds=1)), "certificate has expired"),
    ],
    ids=["another authority of the same name", "expired"],
)
def test_a_client_that_should_not_come_in_is_refused(tmp_path, server, issued, words):
    with pytest.raises(ssl.SSLError, match=words):
        shake_hands(server, client(tmp_path, issued), "127.0.0.1")


def test_a_client_cannot_pose_as_a_server(tmp_path):
    (tmp_path / "server").mkdir()
    posing = context(tmp_path / "server", ssl.PROTOCOL_TLS_SERVER, issue_client(AUTHORITY, "localhost", lasts=DAY))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(posing, client(tmp_path, issue_client(AUTHORITY, "a", lasts=DAY)), "localhost")


def test_a_holder_of_a_certificate_cannot_issue_others(tmp_path, server):
    forged = issue_client(issue_client(AUTHORITY, "hospital-a", lasts=DAY), "hospital-b", lasts=DAY)
    with pytest.raises(ssl.SSLError, match=r"unable to get local issuer|invalid CA"):
        shake_hands(server, client(tmp_path, forged), "127.0.0.1")


def test_the_authority_can_do_nothing_but_sign():
    usage = AUTHORITY.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    constraints = AUTHORITY.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)


def test_openssl_agrees(tmp_path):
    if shutil.which("openssl") is None:
        missing("no openssl")
    issue_server(AUTHORITY, "broker", ["localhost"], lasts=DAY).save(tmp_path / "own.pem", tmp_path / "key.pem")
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate_pem)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost"]
    subprocess.run([*command, "-CAfile", "ca.pem", "own.pem"], cwd=tmp_path, check=True, capture_output=True)


@given(PRINCIPALS)
def test_kafka_takes_the_holder_for_the_principal_that_was_asked_for(principal):
    """The mapping rule, applied as Kafka does: the first part of the pattern that matches the whole subject."""
    subject = issue_client(AUTHORITY, principal, lasts=DAY).certificate.subject.rfc4514_string()
    pattern = re.fullmatch(r"RULE:(.*)/\$1/,DEFAULT", PRINCIPAL_RULES)[1]
    assert re.fullmatch(pattern, subject)[1] == principal


@given(st.text(max_size=80).filter(lambda text: not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text)))
def test_a_name_that_could_be_read_as_another_is_refused(principal):
    with pytest.raises(IdentityError, match="cannot be the name in a certificate"):
        issue_client(AUTHORITY, principal, lasts=DAY)


@pytest.mark.parametrize("subject", ["CN=a,OU=x\\,CN=admin", "OU=CN=admin,CN=a", "CN=a+CN=admin", "CN=ad min,OU=x"])
def test_a_foreign_certificate_cannot_smuggle_a_name_in(subject):
    """From an authority that somebody else runs: the rule finds the first common name or nothing."""
    pattern = re.fullmatch(r"RULE:(.*)/\$1/,DEFAULT", PRINCIPAL_RULES)[1]
    found = re.fullmatch(pattern, subject)
    assert found is None or found[1] == "a"


def test_no_two_certificates_share_key_or_number():
    issued = [issue_client(AUTHORITY, "hospital-a", lasts=DAY) for _ in range(5)]
    assert len({each.certificate.serial_number for each in issued}) == 5
    assert len({each.key_pem for each in issued}) == 5


def test_a_certificate_lasts_as_long_as_asked_and_allows_for_slow_clocks():
    now = datetime.now(UTC)
    found = issue_client(AUTHORITY, "a", lasts=7 * DAY).certificate
    assert abs(found.not_valid_after_utc - now - 7 * DAY) < timedelta(minutes=1)
    assert timedelta(minutes=1) < now - found.not_valid_before_utc < timedelta(minutes=10)


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_a_key_is_for_its_owner_only(tmp_path, umask, request):
    before = os.umask(umask)
    request.addfinalizer(lambda: os.umask(before))
    (tmp_path / "key.pem").write_text("an older one, open to all")
    (tmp_path / "key.pem").chmod(0o666)
    AUTHORITY.save(tmp_path / "ca.pem", tmp_path / "key.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert (tmp_path / "key.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()
    assert load_pem_private_key((tmp_path / "key.pem").read_bytes(), None).curve.name == "secp256r1"


def test_what_was_saved_is_read_back(tmp_path):
    AUTHORITY.save(tmp_path / "ca.pem", tmp_path / "key.pem")
    read = Credentials.load(tmp_path / "ca.pem", tmp_path / "key.pem")
    assert (read.certificate, read.key_pem) == (AUTHORITY.certificate, AUTHORITY.key_pem)


@pytest.mark.parametrize("damage", ["missing", "rubbish", "foreign", "empty"])
def test_files_that_are_not_a_certificate_and_its_key_are_refused(tmp_path, damage):
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    AUTHORITY.save(certificate, key)
    if damage == "missing":
        key.unlink()
    else:
        key.write_bytes({"rubbish": b"\x00rubbish", "foreign": STRANGER.key_pem, "empty": b""}[damage])
    with pytest.raises(IdentityError, match=r"key\.pem"):
        Credentials.load(certificate, key)
