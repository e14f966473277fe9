"""What a hospital in another cluster is given of a log: where it is, and a certificate to log in with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from consilia.certificates import certify, requested_key
from consilia_operator.transport.authorities import Authorities

LASTS = timedelta(days=365)
"""How long a hospital's certificate is valid; it asks for the next one in time by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The hospital's way to the log."""

    servers: tuple[str, ...]
    trust: bytes
    """Whose certificates the brokers have."""
    certificate: bytes
    """The hospital's, for the key in its request."""


def certificate_for(
    authorities: Authorities, request: bytes, hospital: str, before: bytes | None, now: datetime
) -> bytes:
    """The certificate that it has, unless that is for another key, ends soon, or is another authority's.

    Raises:
        IdentityError: the request cannot be granted.
    """
    if before and not _is_due(authorities, request, hospital, before, now):
        return before
    lasts = min(LASTS, authorities.signer.certificate.not_valid_after_utc - now)
    return certify(authorities.signer, request, hospital, lasts=lasts, since=now)


def _is_due(authorities: Authorities, request: bytes, hospital: str, before: bytes, now: datetime) -> bool:
    try:
        found = x509.load_pem_x509_certificate(before)
        found.verify_directly_issued_by(authorities.signer.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return True
    same = found.public_key() == requested_key(request, hospital)
    return not same or now >= found.not_valid_after_utc - LASTS / 3


def as_bundle(found: Membership) -> Mapping[str, object]:
    """The part of a JoinBundle that is about the log."""
    return {
        "bootstrap_servers": found.servers,
        "ca": found.trust.decode(),
        "certificate": found.certificate.decode(),
    }
