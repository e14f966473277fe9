"""SCRAM users with passwords from the operating system's randomness, each in a file that only its owner can read."""

import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep

from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialDeletion, UserScramCredentialUpsertion

from consilia.errors import LogAccessError, LogError, LogUnavailableError
from consilia.kafka.access import as_administrator
from consilia.kafka.password import read_password
from consilia.kafka.settings import KafkaSettings

_ITERATIONS = 8192
"""Of PBKDF2 (RFC 5802). Passwords of 256 random bits need no more than Kafka's least, 4096; its most is 16384."""
_PASSWORD_BYTES = 32
_SETTLED_SECONDS = 10.0
"""How long a change may take to be known to the broker that is asked."""
_PAUSE = 0.01


def new_password() -> str:
    """One that nobody guesses: letters, digits, dashes and underscores."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


class Users:
    """An administrator's hand on the cluster's SCRAM users."""

    def __init__(self, settings: KafkaSettings, admin: KafkaAdminClient) -> None:
        """`admin` stays the caller's to close; it may Describe and Alter the cluster."""
        self._settings, self._admin = settings, admin

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those that the cluster has no SCRAM-SHA-512 password of.

        Raises:
            LogAccessError: these credentials may not see them.
        """
        names = list(names)
        if not names:
            return []
        with as_administrator(self._settings, "look up users"):
            found = self._admin.describe_user_scram_credentials(names)
        return [name for name in names if not _has_password(found.get(name))]

    def create(self, names: Iterable[str], folder: Path) -> Iterator[tuple[str, Path]]:
        """Make those that are missing, one after the other; who is there keeps the password that it has.

        Each password lies in its file before the user is made: a process that dies in between uses it the next time.

        Yields:
            The name and the file of each user that was made.

        Raises:
            LogAccessError: these credentials may not.
            LogError: a file cannot be written, or a name cannot be one.
        """
        for name in self.missing(names):
            path = password_file(folder, name)
            self._alter([_upsertion(name, read_password(path, "the password file"))], f"create the user {name}")
            yield name, path

    def put(self, passwords: Mapping[str, str]) -> None:
        """Make these users, or give them these passwords if they are there, and see them known.

        Raises:
            LogAccessError: these credentials may not.
            LogUnavailableError: the brokers do not know them after a while.
        """
        if not passwords:
            return
        self._alter([_upsertion(name, password) for name, password in passwords.items()], "create users")
        # The brokers learn of a change from the controller, after it was answered.
        deadline = monotonic() + _SETTLED_SECONDS
        while missing := self.missing(passwords):
            if monotonic() > deadline:
                message = f"the user {missing[0]} is not known to the brokers after {_SETTLED_SECONDS:.0f} s."
                raise LogUnavailableError(message, remedy="See that the controller and the brokers run; try again.")
            sleep(_PAUSE)

    def remove(self, names: Iterable[str]) -> None:
        """Have none of these names; who is not there stays so.

        Raises:
            LogAccessError: these credentials may not.
        """
        names = list(names)
        there = set(names) - set(self.missing(names))
        gone = [UserScramCredentialDeletion(name, ScramMechanism.SCRAM_SHA_512) for name in names if name in there]
        self._alter(gone, "remove users")

    def names(self) -> list[str]:
        """All that have a SCRAM-SHA-512 password, sorted.

        Raises:
            LogAccessError: these credentials may not see them.
        """
        with as_administrator(self._settings, "look up users"):
            found = self._admin.describe_user_scram_credentials()
        return sorted(name for name, user in found.items() if _has_password(user))

    def _alter(self, wanted: Sequence[UserScramCredentialUpsertion | UserScramCredentialDeletion], doing: str) -> None:
        if not wanted:
            return
        with as_administrator(self._settings, doing):
            answers = self._admin.alter_user_scram_credentials(wanted)
        for name, failed in answers.items():
            if failed:
                message = f"cannot {doing} on Kafka at {self._settings.where}: {name}: {failed}"
                remedy = "Use the settings of a super user, or of one with Alter on the cluster."
                raise LogAccessError(message, remedy=remedy)


def _upsertion(name: str, password: str) -> UserScramCredentialUpsertion:
    return UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password, iterations=_ITERATIONS)


def _has_password(found: dict[str, list[dict[str, object]]] | None) -> bool:
    mechanisms = [each["mechanism"] for each in found["credential_infos"]] if found else []
    return ScramMechanism.SCRAM_SHA_512 in mechanisms


def password_file(folder: Path, name: str) -> Path:
    """The file with the user's password, made if it is not there.

    Raises:
        LogError: it cannot be, or others could have read or written it.
    """
    path = folder / f"{name}.password"
    if path.parent != folder:
        raise LogError(f"{name!r} cannot name a file.", remedy="Use a user's name without slashes.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write(path, new_password())
        _require_private(path)
    except OSError as error:
        message = f"cannot write the password file {path}: {error.strerror}."
        raise LogError(message, remedy="Choose another folder, or correct its mode.") from error
    return path


def _write(path: Path, password: str) -> None:
    """Whole or not at all: half a password would be taken for one."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # readable by its owner only
    with os.fdopen(handle, "w") as file:
        file.write(password + "\n")
        file.flush()
        os.fsync(file.fileno())
    Path(partial).rename(path)


def _require_private(path: Path) -> None:
    """A password that others could have put there, or read, is none."""
    found = path.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        message = f"the password file {path} is not this user's alone."
        raise LogError(message, remedy="Remove it, or give it to this user with mode 0600.")
