"""A small certificate authority: who may listen as which host, and who may call as which principal (X.509, RFC 5280).

Keys are P-256, unencrypted PKCS#8 in PEM form, readable by their owner only: what Kafka, Python and OpenSSL all read.
"""

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from consilia.errors import IdentityError

PRINCIPAL = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a common name may be here: at most as long as X.520 allows, and nothing that means something in a subject."""
EARLIER = timedelta(minutes=5)
"""Certificates begin a little in the past, for the clocks that are slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            IdentityError: a file is missing or is something else, or the two do not belong together.
        """
        try:
            return cls.parse(certificate.read_bytes(), key.read_bytes(), f"the certificate {certificate} with {key}")
        except OSError as error:
            message = f"cannot read the certificate {certificate} with its key {key}: {error}."
            raise IdentityError(message, remedy="Restore the files.") from None

    @classmethod
    def parse(cls, certificate: bytes, key: bytes, what: str) -> Self:
        """From PEM texts; `what` they are is for the message.

        Raises:
            IdentityError: one is something else, or the two do not belong together.
        """
        try:
            read = x509.load_pem_x509_certificate(certificate)
            private = load_pem_private_key(key, password=None)
        except (ValueError, TypeError) as error:
            raise IdentityError(f"cannot read {what}: {error}.", remedy="Restore it.") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != read.public_key():
            raise IdentityError(f"{what} do not belong together.", remedy="Restore both.")
        return cls(certificate=read, key=private)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, for everybody."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, for its owner."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def save(self, certificate: Path, key: Path) -> None:
        """Write both; the key for its owner only. The same path twice puts both in one file, as Kafka likes it."""
        if certificate == key:
            write_private(key, self.key_pem + self.certificate_pem)
        else:
            write_private(key, self.key_pem)
            certificate.write_bytes(self.certificate_pem)


class _Span(NamedTuple):
    since: datetime | None
    lasts: timedelta


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, at no moment anybody else; it appears whole."""
    incomplete = path.with_name(f".{path.name}.incomplete")
    incomplete.unlink(missing_ok=True)
    with os.fdopen(os.open(incomplete, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    incomplete.replace(path)


def create_authority(name: str, *, lasts: timedelta, since: datetime | None = None) -> Credentials:
    """A new certificate authority, which signs for servers and clients and for no other authority.

    It is valid from `since` on, by default from now.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    public = key.public_key()
    builder = (
        _begun(subject, subject, public, _Span(since, lasts))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return Credentials(certificate=builder.sign(key, SHA256()), key=key)


def issue_server(
    authority: Credentials, principal: str, hosts: Sequence[str], *, lasts: timedelta, since: datetime | None = None
) -> Credentials:
    """A certificate for who listens at `hosts` (names or IP addresses); its holder may call others as `principal`, too.

    It is valid from `since` on, by default from now.

    Raises:
        IdentityError: the principal cannot be a name.
    """
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _issue(authority, principal, hosts, purposes, _Span(since, lasts))


def issue_client(
    authority: Credentials, principal: str, *, lasts: timedelta, since: datetime | None = None
) -> Credentials:
    """A certificate for who calls as `principal`, and is no server; valid from `since` on, by default from now.

    Raises:
        IdentityError: the principal cannot be a name.
    """
    return _issue(authority, principal, [], [ExtendedKeyUsageOID.CLIENT_AUTH], _Span(since, lasts))


def new_key() -> ec.EllipticCurvePrivateKey:
    """For a certificate; it is to stay where it was made."""
    return ec.generate_private_key(ec.SECP256R1())


def request_certificate(key: ec.EllipticCurvePrivateKey, principal: str) -> bytes:
    """Asks for a certificate of that name, and proves that the key is there (PKCS#10, RFC 2986); PEM.

    Raises:
        IdentityError: the principal cannot be a name.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(principal))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def certify(
    authority: Credentials, request: bytes, principal: str, *, lasts: timedelta, since: datetime | None = None
) -> bytes:
    """The certificate that `request` asks for, for who calls as `principal`; PEM.

    Of the request only the key is taken over, whatever else it wishes for.

    Raises:
        IdentityError: it is no request, asks for another name, or its key is not P-256 or not in its sender's hands.
    """
    public = requested_key(request, principal)
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    made = _certified(authority, principal, public, [], purposes, _Span(since, lasts))
    return made.public_bytes(Encoding.PEM)


def requested_key(request: bytes, principal: str) -> ec.EllipticCurvePublicKey:
    """The key for which a certificate of that name is asked.

    Raises:
        IdentityError: it is no request, asks for another name, or its key is not P-256 or not in its sender's hands.
    """
    remedy = "Have the hospital make a new one: consilia enroll request."
    try:
        read = x509.load_pem_x509_csr(request)
        valid = read.is_signature_valid
        public = read.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"cannot read the certificate request: {error}.", remedy=remedy) from None
    if read.subject != _subject(principal):
        named = read.subject.rfc4514_string()
        raise IdentityError(f"the certificate request is for {named}, not for CN={principal}.", remedy=remedy)
    if not valid or not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise IdentityError(f"the certificate request of {principal} has no P-256 key that signed it.", remedy=remedy)
    return public


def _issue(
    authority: Credentials,
    principal: str,
    hosts: Sequence[str],
    purposes: Sequence[x509.ObjectIdentifier],
    span: _Span,
) -> Credentials:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certified(authority, principal, key.public_key(), hosts, purposes, span)
    return Credentials(certificate=certificate, key=key)


def _certified(
    authority: Credentials,
    principal: str,
    public: ec.EllipticCurvePublicKey,
    hosts: Sequence[str],
    purposes: Sequence[x509.ObjectIdentifier],
    span: _Span,
) -> x509.Certificate:
    subject, issuer = _subject(principal), authority.certificate
    builder = (
        _begun(subject, issuer.subject, public, span)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general_name, hosts))), critical=False)
    return builder.sign(authority.key, SHA256())


def _subject(principal: str) -> x509.Name:
    if not PRINCIPAL.fullmatch(principal):
        message = f"{principal!r} cannot be the name in a certificate."
        raise IdentityError(message, remedy="Use at most 64 letters, digits, dots, dashes and underscores.")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, principal)])


def _begun(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, span: _Span
) -> x509.CertificateBuilder:
    since = span.since or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since - EARLIER)
        .not_valid_after(since + span.lasts)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
