"""The certificates of managed Kafka's nodes and of the operator: when they are due, and new ones. Pure but for keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from consilia.certificates import Credentials, issue_client, issue_server
from consilia.errors import IdentityError

BROKER, OPERATOR = "consilia.broker", "consilia.operator"
"""Whom no access rule binds. A hospital's user is its namespace's name, which has no dot; an aggregator's begins with
`aggregator.`: nobody is ever called like these."""
CERTIFICATE, KEY = "tls.crt", "tls.key"
"""Keys of their Secrets, as cert-manager has them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a certificate is to say."""

    principal: str
    hosts: tuple[str, ...] = ()
    """Where its holder listens, by name; nowhere, if it only calls."""

    def is_due(self, data: Mapping[str, bytes], signer: Credentials, now: datetime, early: timedelta) -> bool:
        """Whether the certificate in a Secret has to be replaced: it is absent, or says or is something else."""
        try:
            found = Credentials.parse(data.get(CERTIFICATE, b""), data.get(KEY, b""), self.principal).certificate
            found.verify_directly_issued_by(signer.certificate)
        except (IdentityError, InvalidSignature, ValueError, TypeError):
            return True
        lasts = found.not_valid_after_utc - found.not_valid_before_utc
        in_time = found.not_valid_before_utc <= now < found.not_valid_after_utc - min(early, lasts / 2)
        return not (in_time and _principal(found) == self.principal and _hosts(found) == set(self.hosts))

    def issue(self, signer: Credentials, now: datetime, lasts: timedelta) -> dict[str, bytes]:
        """A new one for a Secret; it does not outlive its signer."""
        lasts = min(lasts, signer.certificate.not_valid_after_utc - now)
        if self.hosts:
            made = issue_server(signer, self.principal, self.hosts, lasts=lasts, since=now)
        else:
            made = issue_client(signer, self.principal, lasts=lasts, since=now)
        return {CERTIFICATE: made.certificate_pem, KEY: made.key_pem}


def _principal(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _hosts(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
