"""Where a hospital keeps its keys and what it was handed: two Secrets of its own namespace. Pure."""

import base64
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from consilia.certificates import Credentials
from consilia.enrolment.papers import JoinBundle
from consilia.errors import IdentityError
from consilia.wire.identity import Identity

IDENTITY, IDENTITY_FILE, PUBLIC_FILE = "consilia-identity", "identity.pem", "public.pem"
"""The Secret with the hospital's Ed25519 key: all that it says, its ledger included, is signed with it."""
LINK = "consilia-hub"
"""The Secret with its way to its hub."""
BUNDLE_FILE, KEY_FILE, NEXT_KEY_FILE = "bundle.json", "user.key", "next.key"
"""What the hub handed out; the key to the certificate in it, and the key that the next one is asked for: they never
leave the hospital."""
_LABELS = {"app.kubernetes.io/part-of": "consilia", "app.kubernetes.io/component": "identity"}


def secret(namespace: str, name: str, files: Mapping[str, bytes], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """One of the two, with these files."""
    metadata = {"name": name, "namespace": namespace, "labels": _LABELS | {"consilia.dev/hospital": namespace}}
    data = {each: base64.b64encode(content).decode() for each, content in sorted(files.items())}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data, **more}


def files_of(found: Mapping[str, Any] | None) -> dict[str, bytes]:
    """What a Secret holds."""
    data = (found.get("data") or {}) if found else {}
    return {str(name): base64.b64decode(text) for name, text in data.items()}


def identity_files(identity: Identity) -> dict[str, bytes]:
    """Both halves of a key, for a Secret."""
    private = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {IDENTITY_FILE: private, PUBLIC_FILE: identity.public().text().encode()}


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """For a Secret."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_key(pem: bytes, where: str) -> ec.EllipticCurvePrivateKey:
    """What `key_pem` gave; `where` it lies is for the message.

    Raises:
        IdentityError: it is something else.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise IdentityError(f"cannot read {where}: {error}.", remedy="Delete it, and ask again.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{where} is no P-256 key.", remedy="Delete it, and ask again.")
    return key


def require_ours(bundle: JoinBundle, own: Identity) -> None:
    """See that the bundle is for this hospital and its key.

    Raises:
        IdentityError: it is not.
    """
    if bundle.hospital != own.name or bundle.public_key.strip() != own.public().text().strip():
        message = f"the bundle of the hub {bundle.hub} is for another hospital, or another key, than {own.name}'s."
        raise IdentityError(message, remedy="Join again: consilia enroll request.")


def with_bundle(files: Mapping[str, bytes], bundle: JoinBundle) -> dict[str, bytes]:
    """The Secret's files with that bundle; the key that its certificate is for becomes the one that is used.

    Raises:
        IdentityError: it is for a key that is not here.
    """
    for name in (KEY_FILE, NEXT_KEY_FILE):
        if (key := files.get(name)) and _belongs(bundle.certificate.encode(), key):
            kept = (NEXT_KEY_FILE,) if name == KEY_FILE and NEXT_KEY_FILE in files else ()
            return {BUNDLE_FILE: bundle.text().encode(), KEY_FILE: key} | {each: files[each] for each in kept}
    message = f"the hub {bundle.hub} hands out a certificate for a key that {bundle.hospital} does not have."
    raise IdentityError(message, remedy="Join again: consilia enroll request.")


def _belongs(certificate: bytes, key: bytes) -> bool:
    try:
        Credentials.parse(certificate, key, "what the hub hands out")
    except IdentityError:
        return False
    return True
