"""Who may come in to a secured broker: its certificate authority, its SCRAM users, and what each is told."""

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from consilia.broker.properties import ANONYMOUS, PRINCIPAL, Stores
from consilia.certificates import Credentials, create_authority, issue_client, issue_server, write_private
from consilia.errors import BrokerError
from consilia.kafka.connection import make_admin
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings

BROKER = "broker"
"""The principal of the nodes among themselves."""
AUTHORITY_LASTS, CERTIFICATES_LAST = timedelta(days=3650), timedelta(days=397)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """A folder of keys for one broker or cluster; only its owner can look in."""

    folder: Path
    authority: Credentials

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The folder with its authority, which is made the first time."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate, key = folder / "ca.pem", folder / "ca-key.pem"
        if not certificate.exists():
            create_authority("Consilia embedded broker", lasts=AUTHORITY_LASTS).save(certificate, key)
        return cls(folder=folder, authority=Credentials.load(certificate, key))

    @property
    def ca(self) -> Path:
        """What clients trust."""
        return self.folder / "ca.pem"

    def stores(self, node: int, host: str) -> Stores:
        """A fresh certificate for a node at `host`, with what it trusts."""
        path = self.folder / f"node-{node}.pem"
        issue_server(self.authority, BROKER, [host, "localhost"], lasts=CERTIFICATES_LAST).save(path, path)
        return Stores(keystore=path, truststore=self.ca)

    def by_certificate(self, principal: str, addresses: tuple[str, ...]) -> KafkaSettings:
        """Issue a client certificate, and say how its holder reaches the brokers.

        Raises:
            BrokerError: the name cannot be a principal, or is that of a super user.
        """
        _check_name(principal)
        certificate, key = self.folder / f"{principal}.pem", self.folder / f"{principal}-key.pem"
        issue_client(self.authority, principal, lasts=CERTIFICATES_LAST).save(certificate, key)
        return KafkaSettings(bootstrap_servers=addresses, tls=True, ca=self.ca, certificate=certificate, key=key)

    def by_password(self, user: str, addresses: tuple[str, ...], owner: KafkaSettings) -> KafkaSettings:
        """Give a SCRAM user a new password, and say how that user reaches the brokers; `owner` may create users.

        Raises:
            BrokerError: the cluster refuses the user; or the name cannot be a principal, or is that of a super user.
            LogUnavailableError: the cluster cannot be reached.
        """
        _check_name(user)
        path, password = self.folder / f"{user}.password", secrets.token_urlsafe(24)
        set_password(owner, user, password)
        write_private(path, password.encode())
        return KafkaSettings(bootstrap_servers=addresses, tls=True, ca=self.ca, username=user, password=path)


def set_password(owner: KafkaSettings, user: str, password: str) -> None:
    """Create a SCRAM-SHA-512 user (RFC 5802, RFC 7677), or change the password.

    Raises:
        BrokerError: the cluster refuses.
        LogUnavailableError: it cannot be reached.
    """
    credential = UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, password)
    with plain_errors(owner, doing=f"set the password of {user}"), make_admin(owner) as admin:
        refused = admin.alter_user_scram_credentials([credential])[user]
    if refused:
        raise BrokerError(f"Kafka refuses the user {user}: {refused}.", remedy="Ask as a super user.")


def _check_name(principal: str) -> None:
    if not re.fullmatch(PRINCIPAL, principal) or principal in {BROKER, ANONYMOUS}:
        message = f"{principal!r} cannot be the name of a client."
        remedy = f"Use letters, digits, dots, dashes and underscores, and neither {BROKER} nor {ANONYMOUS}."
        raise BrokerError(message, remedy=remedy)
