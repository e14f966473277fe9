"""Who says what: Ed25519 keys (RFC 8032), and signatures over canonical JSON (RFC 8785)."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import rfc8785
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from consilia.errors import IdentityError

MESSAGE = b"consilia.dev/v1alpha1 message\n"
"""Signed in front of every message, so that a signature made for something else never fits one."""
LEDGER_ENTRY = b"consilia.dev/v1alpha1 ledger entry\n"
"""Signed in front of every entry of a ledger."""
LEDGER_REQUEST = b"consilia.dev/v1alpha1 ledger request\n"
"""Signed in front of what a ledger is asked."""
LEDGER_ANSWER = b"consilia.dev/v1alpha1 ledger answer\n"
"""Signed in front of what a ledger answers."""
JOIN_REQUEST = b"consilia.dev/v1alpha1 join request\n"
"""Signed in front of a hospital's request to join a hub."""
JOIN_BUNDLE = b"consilia.dev/v1alpha1 join bundle\n"
"""Signed in front of what a hub hands a hospital that it admitted."""
OFFER = b"consilia.dev/v1alpha1 offer\n"
"""Signed in front of what a hub says to a hospital."""
REPORT = b"consilia.dev/v1alpha1 report\n"
"""Signed in front of what a hospital says to its hub."""


def canonical(value: object) -> bytes:
    """The one JSON text of `value` (RFC 8785): same value, same bytes, same digest."""
    return rfc8785.dumps(value)  # type: ignore[arg-type]


def digest(data: bytes | memoryview) -> str:
    """`sha256:` and the hexadecimal SHA-256 of `data`."""
    return f"sha256:{sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Checks what the holder of the private key signed."""

    key: Ed25519PublicKey

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From PEM.

        Raises:
            IdentityError: it is no Ed25519 public key.
        """
        try:
            key = load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise IdentityError(f"not a public key in PEM form: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise IdentityError(f"not an Ed25519 public key but {type(key).__name__}")
        return cls(key)

    def text(self) -> str:
        """As PEM."""
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def fingerprint(self) -> str:
        """For two people to compare over the telephone: the key's SHA-256, in groups of four hexadecimal digits."""
        raw = sha256(self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
        return " ".join(raw[at : at + 4] for at in range(0, len(raw), 4))

    def signed(self, body: bytes | memoryview, signature: str, *, purpose: bytes = MESSAGE) -> bool:
        """Whether `signature` (base64) is this key's over `body`, made for that purpose."""
        try:
            self.key.verify(base64.b64decode(signature, validate=True), purpose + bytes(body))
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Identity:
    """A party's name and private key. The key is never printed, logged or sent."""

    name: str
    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"Identity({self.name!r})"

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new key from the operating system's randomness."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, name: str, path: Path) -> Self:
        """From a PEM file.

        Raises:
            IdentityError: the file is missing, unreadable, or holds no Ed25519 private key.
        """
        try:
            pem = path.read_bytes()
        except OSError as error:
            raise IdentityError(f"cannot read the key of {name} from {path}: {error.strerror}") from error
        return cls.parse(name, pem, str(path))

    @classmethod
    def parse(cls, name: str, pem: bytes, where: str) -> Self:
        """From PEM; `where` it lies is for the message.

        Raises:
            IdentityError: it is no Ed25519 private key.
        """
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            reason = "not an unencrypted private key in PEM form"
            raise IdentityError(f"cannot read the key of {name} from {where}: {reason}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise IdentityError(f"the key of {name} in {where} is not Ed25519 but {type(key).__name__}")
        return cls(name, key)

    def save(self, path: Path) -> None:
        """To a new PEM file that only its owner can read. Killed half-way, it leaves no file of that name.

        Raises:
            IdentityError: the file exists; a key is never overwritten.
        """
        if path.exists():
            raise IdentityError(f"{path} exists already.", remedy="Choose another file.")
        pem, partial = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), f"{path}.partial"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).rename(path)

    def public(self) -> PublicKey:
        """The half that others may know."""
        return PublicKey(self.key.public_key())

    def sign(self, body: bytes, *, purpose: bytes = MESSAGE) -> str:
        """The signature over `body` for that purpose, in base64."""
        return base64.b64encode(self.key.sign(purpose + body)).decode()


@dataclass(frozen=True, slots=True)
class Roster:
    """Who may take part in a job, by name, with their keys; and the aggregator's."""

    aggregator: PublicKey
    hospitals: Mapping[str, PublicKey]

    @classmethod
    def parse(cls, data: object) -> Self:
        """From the JSON that `as_json` gives.

        Raises:
            IdentityError: it has another shape or holds no valid keys.
        """
        match data:
            case {"aggregator": str(aggregator), "hospitals": dict(hospitals)}:
                keys = {str(name): PublicKey.from_text(str(text)) for name, text in sorted(hospitals.items())}
                return cls(PublicKey.from_text(aggregator), keys)
            case _:
                raise IdentityError("a roster is an object with `aggregator` and `hospitals`, each key as PEM text")

    def as_json(self) -> dict[str, object]:
        """What `parse` reads."""
        hospitals = {name: key.text() for name, key in sorted(self.hospitals.items())}
        return {"aggregator": self.aggregator.text(), "hospitals": hospitals}

    def require(self, identity: Identity, *, aggregator: bool = False) -> None:
        """See that `identity` is the hospital of its name, or the aggregator: else nobody would hear what it says.

        Raises:
            IdentityError: the roster does not have it, or has another key for it.
        """
        key = self.aggregator if aggregator else self.hospitals.get(identity.name)
        if key is None:
            names = ", ".join(self.hospitals) or "nobody"
            raise IdentityError(f"{identity.name} is not on the job's roster: {names}.", remedy="Correct the name.")
        if key.text() != identity.public().text():
            message = f"the key of {identity.name} is not the one on the job's roster."
            raise IdentityError(message, remedy="Use the key that was enrolled, or enrol the new one.")

    def digest(self) -> str:
        """Stands for the whole roster in every message: parties with different rosters refuse each other."""
        return digest(canonical(self.as_json()))
