"""Who may come in to a secured broker: its certificate authority, its SCRAM users, and what each is told."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from consilia.broker.properties import ANONYMOUS, PRINCIPAL, Stores
from consilia.certificates import Credentials, create_authority, issue_client, issue_server
from consilia.errors import BrokerError, LogUnavailableError
from consilia.kafka.connection import make_admin
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.users import Users, password_file

BROKER = "broker"
"""The principal of the nodes among themselves."""
KNOWN_SECONDS = 10.0
"""How long a new user may take to be known to the brokers."""
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
        """Make a SCRAM user with a random password, unless there is one, and say how that user reaches the brokers.

        `owner` may make users.

        Raises:
            BrokerError: the name cannot be a principal, or is that of a super user.
            LogAccessError: the cluster refuses the user.
            LogUnavailableError: the cluster cannot be reached, or does not know the user after a while.
        """
        _check_name(user)
        with plain_errors(owner, doing=f"make the user {user}"), make_admin(owner) as admin:
            users = Users(owner, admin)
            list(users.create([user], self.folder))
            _wait_until_known(users, user)
        password = password_file(self.folder, user)
        return KafkaSettings(bootstrap_servers=addresses, tls=True, ca=self.ca, username=user, password=password)


def _wait_until_known(users: Users, user: str) -> None:
    """The brokers learn of a change from the controller, after it was answered."""
    deadline = monotonic() + KNOWN_SECONDS
    while users.missing([user]):
        if monotonic() > deadline:
            message = f"the user {user} is not known to the brokers after {KNOWN_SECONDS:.0f} s."
            raise LogUnavailableError(message, remedy="Look into the broker's log, and try again.")
        sleep(0.01)


def _check_name(principal: str) -> None:
    if not re.fullmatch(PRINCIPAL, principal) or principal in {BROKER, ANONYMOUS}:
        message = f"{principal!r} cannot be the name of a client."
        remedy = f"Use letters, digits, dots, dashes and underscores, and neither {BROKER} nor {ANONYMOUS}."
        raise BrokerError(message, remedy=remedy)
