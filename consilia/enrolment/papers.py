"""The two papers of joining: the hospital's request, and the hub's bundle. Neither holds a secret.

Both are JSON files that people pass on as they like. Each is signed; of the bundle's signer the hospital knows nothing
before, so people compare its fingerprint once, over another channel.
"""

import json
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from consilia.api.hospital import PublicKeyText
from consilia.api.infrastructure import ServerAddress
from consilia.api.scalars import Name, Sha256, ShortText
from consilia.certificates import requested_key
from consilia.errors import IdentityError
from consilia.wire.correspondence import HubName
from consilia.wire.identity import JOIN_BUNDLE, JOIN_REQUEST, Identity, PublicKey, canonical

LARGEST = 1 << 20
"""Of a paper, in bytes."""

CertificateText = Annotated[str, Field(pattern=r"^-----BEGIN CERTIFICATE-----\n", max_length=1 << 16)]
CertificateRequestText = Annotated[str, Field(pattern=r"^-----BEGIN CERTIFICATE REQUEST-----\n", max_length=8192)]


class _Paper(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    api_version: Literal["consilia.dev/v1alpha1"] = "consilia.dev/v1alpha1"
    signature: str = ""

    def body(self) -> bytes:
        """What is signed."""
        return canonical(self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"signature"}))

    def text(self) -> str:
        """As it stands in a file."""
        return json.dumps(self.model_dump(mode="json", by_alias=True, exclude_none=True), indent=1) + "\n"


class JoinRequest(_Paper):
    """A hospital's: admit me. Signed with the key that all it says is signed with, its ledger included."""

    kind: Literal["JoinRequest"] = "JoinRequest"
    hospital: Name = Field(description="The name that it wants to be known by: its namespace's in its own cluster.")
    display_name: ShortText | None = Field(default=None, description="The name that people know it by.")
    public_key: PublicKeyText = Field(description="What it signs with, Ed25519 in PEM form.")
    certificate_request: CertificateRequestText = Field(description="For the certificate that it logs in with.")
    cluster: Sha256 | None = Field(default=None, description="Stands for its cluster: one that asks twice is noticed.")
    version: ShortText = Field(description="Of Consilia.")

    @classmethod
    def read(cls, text: str | bytes) -> "JoinRequest":
        """From a file, checked.

        Raises:
            IdentityError: it is no request, or not signed with its own keys.
        """
        found = _parsed(cls, text, "join request")
        key = PublicKey.from_text(found.public_key)
        if not key.signed(found.body(), found.signature, purpose=JOIN_REQUEST):
            message = f"the join request of {found.hospital} is not signed with its own key."
            raise IdentityError(message, remedy="It was changed on its way: have it sent again.")
        requested_key(found.certificate_request.encode(), found.hospital)
        return found

    def signed_by(self, identity: Identity) -> "JoinRequest":
        """The same, signed."""
        return self.model_copy(update={"signature": identity.sign(self.body(), purpose=JOIN_REQUEST)})


class JoinBundle(_Paper):
    """A hub's: you are admitted, this is the way."""

    kind: Literal["JoinBundle"] = "JoinBundle"
    hub: HubName = Field(description="The hub's name.")
    hub_key: PublicKeyText = Field(description="What the hub signs offers with, Ed25519 in PEM form.")
    hospital: Name = Field(description="Who is admitted.")
    public_key: PublicKeyText = Field(description="Its key, as the hub knows it.")
    bootstrap_servers: Annotated[tuple[ServerAddress, ...], Field(min_length=1, max_length=64)] = Field(
        description="Where the log is, as host:port."
    )
    ca: CertificateText = Field(description="Whose certificates the log's brokers have.")
    certificate: CertificateText = Field(description="What the hospital logs in with; the key to it is the hospital's.")

    @classmethod
    def read(cls, text: str | bytes) -> "JoinBundle":
        """From a file, checked but for whose it is: compare `hub_key`.

        Raises:
            IdentityError: it is no bundle, or not signed with the key in it.
        """
        found = _parsed(cls, text, "join bundle")
        if not PublicKey.from_text(found.hub_key).signed(found.body(), found.signature, purpose=JOIN_BUNDLE):
            message = f"the join bundle of the hub {found.hub} is not signed with the key in it."
            raise IdentityError(message, remedy="It was changed on its way: have it sent again.")
        return found

    def signed_by(self, identity: Identity) -> "JoinBundle":
        """The same, signed."""
        return self.model_copy(update={"signature": identity.sign(self.body(), purpose=JOIN_BUNDLE)})


_Kind = TypeVar("_Kind", bound=_Paper)


def _parsed(kind: type[_Kind], text: str | bytes, what: str) -> _Kind:
    if len(text) > LARGEST:
        raise IdentityError(f"a {what} has at most {LARGEST} bytes.", remedy="Name the right file.")
    try:
        return kind.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise IdentityError(f"this is no {what}: {where}: {first['msg']}.", remedy="Name the right file.") from None
    except ValueError as error:
        raise IdentityError(f"this is no {what}: {error}.", remedy="Name the right file.") from None
