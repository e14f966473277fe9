"""A hospital's key pair where it lies: read, made where nothing was ever signed with one, and never made twice."""

import base64

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from consilia.enrolment.keeping import IDENTITY_FILE, PUBLIC_FILE
from consilia.errors import IdentityError
from consilia.wire.identity import Identity, PublicKey
from consilia_operator.api_server import ApiServer
from consilia_operator.kinds import DEPLOYMENT, PVC, SECRET
from consilia_operator.manifests.identity import new_identity
from consilia_operator.names import IDENTITY, LEDGER
from consilia_operator.store import Document

_RESTORE = "Restore it from a backup: the hospital's ledger is signed with that key, and takes no other."


async def identity(api: ApiServer, namespace: str) -> Document:
    """The hospital's Secret; it is made where there is none.

    Raises:
        IdentityError: it is gone, and the hospital has a ledger: a new key would not be the one that it is signed with.
    """
    found = await api.get(SECRET, namespace, IDENTITY)
    if found is None and await _has_ledger(api, namespace):
        remedy = f"{_RESTORE} A ledger that was not started again since still has it: docs/guides/install.md#uninstall."
        raise IdentityError(f"the Secret {namespace}/{IDENTITY} is gone.", remedy=remedy)
    return found or await api.create_once(new_identity(namespace))


async def shown_key(api: ApiServer, namespace: str) -> str:
    """The hospital's public key, as PEM.

    Raises:
        IdentityError: the Secret is gone, or holds no key.
    """
    secret = await identity(api, namespace)
    try:
        return _public(secret)
    except IdentityError as error:
        if await _has_ledger(api, namespace):
            raise
        where = f"kubectl -n {namespace} delete secret {IDENTITY}"
        raise IdentityError(error.message, remedy=f"Restore it, or have it made anew: {where}") from error


def _public(secret: Document) -> str:
    """What it holds in public.pem, or else what follows from identity.pem: a backup may be of the private key alone."""
    try:
        shown = base64.b64decode(secret.get("data", {})[PUBLIC_FILE]).decode()
        PublicKey.from_text(shown)
    except (KeyError, ValueError, IdentityError):
        return Identity(secret["metadata"]["namespace"], private_key(secret)).public().text()
    return shown


def private_key(secret: Document) -> Ed25519PrivateKey:
    """What the hospital signs with.

    Raises:
        IdentityError: the Secret holds no key.
    """
    try:
        key = load_pem_private_key(base64.b64decode(secret["data"][IDENTITY_FILE]), password=None)
    except (KeyError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        where = f"{secret['metadata']['namespace']}/{secret['metadata']['name']}"
        raise IdentityError(f"the Secret {where} holds no key in {IDENTITY_FILE}.", remedy=_RESTORE) from None
    return key


async def _has_ledger(api: ApiServer, namespace: str) -> bool:
    """Either of what stays; the other may have been deleted by somebody who was let."""
    claim = await api.get(PVC, namespace, LEDGER)
    return claim is not None or await api.get(DEPLOYMENT, namespace, LEDGER) is not None
