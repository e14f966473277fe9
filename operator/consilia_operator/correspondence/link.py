"""A hospital's link to its hub: what it was handed when it joined, kept in a Secret of its own namespace."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from consilia.enrolment.papers import JoinBundle
from consilia.errors import IdentityError
from consilia.wire.identity import Identity, PublicKey
from consilia_operator.api_server import ApiServer
from consilia_operator.identities import identity, private_key
from consilia_operator.kinds import SECRET
from consilia_operator.transport.credentials import by_certificate

LINK = "consilia-hub"
"""The Secret."""
BUNDLE_FILE, KEY_FILE = "bundle.json", "user.key"
"""What the hub handed out, and the key to the certificate in it, which never left the hospital."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How a hospital and its hub reach each other, and know each other's words."""

    hub: str
    hub_key: PublicKey
    identity: Identity
    """The hospital's."""
    log: Mapping[str, bytes] = field(repr=False)
    """The hospital's way to the log: files by name, `kafka.json` among them."""

    @property
    def hospital(self) -> str:
        """Its name."""
        return self.identity.name


async def find(api: ApiServer, namespace: str) -> Link | None:
    """The link of the hospital of that namespace; None if it has joined no hub.

    Raises:
        IdentityError: what was handed out is damaged, or is for another hospital or another key.
    """
    secret = await api.get(SECRET, namespace, LINK)
    if secret is None or BUNDLE_FILE not in secret.get("data", {}):
        return None
    files = {name: base64.b64decode(text) for name, text in secret["data"].items()}
    own = Identity(namespace, private_key(await identity(api, namespace)))
    return read(files, own)


def read(files: Mapping[str, bytes], own: Identity) -> Link:
    """From what lies in the Secret.

    Raises:
        IdentityError: it is damaged, or is for another hospital or another key.
    """
    bundle = JoinBundle.read(files[BUNDLE_FILE])
    remedy = "Join again: consilia enroll request."
    if bundle.hospital != own.name or bundle.public_key.strip() != own.public().text().strip():
        message = f"the bundle of the hub {bundle.hub} is for another hospital, or another key, than {own.name}'s."
        raise IdentityError(message, remedy=remedy)
    if not (key := files.get(KEY_FILE)):
        raise IdentityError(f"the Secret {own.name}/{LINK} has no {KEY_FILE}.", remedy=remedy)
    log = by_certificate(bundle.bootstrap_servers, bundle.ca.encode(), bundle.certificate.encode(), key)
    return Link(hub=bundle.hub, hub_key=PublicKey.from_text(bundle.hub_key), identity=own, log=log.files)
