"""A hospital's link to its hub: what it was handed when it joined, kept in a Secret of its own namespace."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from consilia.certificates import Credentials, new_key, request_certificate
from consilia.enrolment.papers import JoinBundle
from consilia.errors import IdentityError
from consilia.wire.identity import Identity, PublicKey
from consilia_operator.api_server import ApiServer
from consilia_operator.identities import identity, private_key
from consilia_operator.kinds import SECRET
from consilia_operator.names import HOSPITAL, labels
from consilia_operator.transport.credentials import by_certificate
from consilia_operator.transport.interface import CERTIFICATE_FILE

LINK = "consilia-hub"
"""The Secret."""
BUNDLE_FILE, KEY_FILE, NEXT_KEY_FILE = "bundle.json", "user.key", "next.key"
"""What the hub handed out; the key to the certificate in it, and the key that the next one is asked for: they never
leave the hospital."""
_RENEWED = 1 / 3
"""Of a certificate's life is left when the next one is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How a hospital and its hub reach each other, and know each other's words."""

    hub: str
    hub_key: PublicKey
    identity: Identity
    """The hospital's."""
    log: Mapping[str, bytes] = field(repr=False)
    """The hospital's way to the log: files by name, `kafka.json` among them."""
    files: Mapping[str, bytes] = field(repr=False)
    """As they lie in the Secret."""

    @property
    def certificate(self) -> x509.Certificate:
        """What the hospital logs in with."""
        return x509.load_pem_x509_certificate(self.log[CERTIFICATE_FILE])

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to ask for the next certificate."""
        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return now >= ends - (ends - begins) * _RENEWED

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
    key_of_hub = PublicKey.from_text(bundle.hub_key)
    return Link(hub=bundle.hub, hub_key=key_of_hub, identity=own, log=log.files, files=dict(files))


def renewed(link: Link, handed_out: Mapping[str, object]) -> dict[str, bytes]:
    """The Secret's files with what the hub hands out now.

    Raises:
        IdentityError: it is not from the hub that was joined, or for a key that is not here.
    """
    bundle = JoinBundle.read(json.dumps(handed_out))
    if bundle.hub != link.hub or bundle.hub_key.strip() != link.hub_key.text().strip():
        raise IdentityError(f"a bundle of another hub was handed out in the name of {link.hub}.")
    for name in (KEY_FILE, NEXT_KEY_FILE):
        if (key := link.files.get(name)) and _belongs(bundle.certificate.encode(), key):
            kept = (
                {NEXT_KEY_FILE: link.files[NEXT_KEY_FILE]} if name == KEY_FILE and NEXT_KEY_FILE in link.files else {}
            )
            files = {BUNDLE_FILE: bundle.text().encode(), KEY_FILE: key} | kept
            read(files, link.identity)
            return files
    raise IdentityError(f"the hub {link.hub} hands out a certificate for a key that {link.hospital} does not have.")


def _belongs(certificate: bytes, key: bytes) -> bool:
    try:
        Credentials.parse(certificate, key, "what the hub hands out")
    except IdentityError:
        return False
    return True


def next_request(link: Link) -> tuple[dict[str, bytes], str]:
    """The Secret's files with a key for the next certificate, and the request for that: the same until it is there."""
    if pem := link.files.get(NEXT_KEY_FILE):
        key = load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
    else:
        key = new_key()
    kept = {NEXT_KEY_FILE: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())}
    return dict(link.files) | kept, request_certificate(key, link.hospital).decode()


def secret(link: Link, files: Mapping[str, bytes]) -> dict[str, object]:
    """The Secret, with these files."""
    metadata = {"name": LINK, "namespace": link.hospital, "labels": labels("identity") | {HOSPITAL: link.hospital}}
    data = {name: base64.b64encode(content).decode() for name, content in sorted(files.items())}
    return {"apiVersion": "v1", "kind": SECRET.kind, "metadata": metadata, "type": "Opaque", "data": data}
