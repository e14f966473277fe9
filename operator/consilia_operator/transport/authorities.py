"""The authority that signs managed Kafka's certificates, and its successor. Pure but for the keys that it draws.

An authority is replaced in steps, so that nobody meets a certificate that they cannot check: the new one is believed
for a while by everybody before it signs anything, and the old one as long as it lasts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from consilia.certificates import EARLIER, Credentials, create_authority
from consilia.errors import IdentityError

LASTS = timedelta(days=3650)
"""How long an authority is valid."""
SUCCEEDED = timedelta(days=365)
"""How long before its end it gets a successor."""
BELIEVED = timedelta(days=30)
"""How long a successor is believed before it signs: the time for running programs to end and hear of it."""
NAME = "Consilia managed Kafka"
BUNDLE = "ca.crt"
_SIGNER, _NEXT = "signer", "next"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """Who signs, who will, and who did."""

    signer: Credentials
    successor: Credentials | None = None
    earlier: tuple[x509.Certificate, ...] = ()

    @classmethod
    def begin(cls, now: datetime) -> Self:
        """The first of them."""
        return cls(signer=create_authority(NAME, lasts=LASTS, since=now))

    @classmethod
    def read(cls, data: Mapping[str, bytes]) -> Self | None:
        """What `files` gave; None if there is none.

        Raises:
            IdentityError: it is damaged.
        """
        if f"{_SIGNER}.key" not in data:
            return None
        signer = _pair(data, _SIGNER)
        successor = _pair(data, _NEXT) if f"{_NEXT}.key" in data else None
        known = {signer.certificate, *([successor.certificate] if successor else [])}
        earlier = tuple(each for each in parse_bundle(data.get(BUNDLE, b"")) if each not in known)
        return cls(signer=signer, successor=successor, earlier=earlier)

    def files(self) -> dict[str, bytes]:
        """For a Secret."""
        files = {f"{_SIGNER}.crt": self.signer.certificate_pem, f"{_SIGNER}.key": self.signer.key_pem}
        if self.successor:
            files |= {f"{_NEXT}.crt": self.successor.certificate_pem, f"{_NEXT}.key": self.successor.key_pem}
        return files | {BUNDLE: self.bundle}

    @property
    def bundle(self) -> bytes:
        """All that are to be believed."""
        successors = [self.successor.certificate] if self.successor else []
        return write_bundle([self.signer.certificate, *successors, *self.earlier])

    def at(self, now: datetime) -> Self:
        """As they should be at that time; the same if all is well."""
        found = replace(self, earlier=tuple(each for each in self.earlier if each.not_valid_after_utc > now))
        if found.successor and found.successor.certificate.not_valid_after_utc <= now:
            found = replace(found, successor=None)
        ends = found.signer.certificate.not_valid_after_utc
        if found.successor is None and ends - now < SUCCEEDED:
            found = replace(found, successor=create_authority(NAME, lasts=LASTS, since=now))
        if found.successor and (ends <= now or now - _begins(found.successor) >= BELIEVED):
            earlier = (*found.earlier, found.signer.certificate) if ends > now else found.earlier
            return replace(found, signer=found.successor, successor=None, earlier=earlier)
        return found


def _begins(authority: Credentials) -> datetime:
    return authority.certificate.not_valid_before_utc + EARLIER


def _pair(data: Mapping[str, bytes], name: str) -> Credentials:
    what = f"the authority {name}.crt with {name}.key"
    return Credentials.parse(data.get(f"{name}.crt", b""), data[f"{name}.key"], what)


def parse_bundle(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM text.

    Raises:
        IdentityError: it is something else.
    """
    if not pem.strip():
        return []
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise IdentityError(f"cannot read certificates: {error}.", remedy="Restore them.") from None


def write_bundle(certificates: Iterable[x509.Certificate]) -> bytes:
    """Each of them once, in PEM form."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in dict.fromkeys(certificates))


def united(now: datetime, *bundles: bytes) -> bytes:
    """All certificates of the bundles that are still valid.

    Raises:
        IdentityError: one is no bundle.
    """
    found = [each for bundle in bundles for each in parse_bundle(bundle)]
    return write_bundle(each for each in found if each.not_valid_after_utc > now)
