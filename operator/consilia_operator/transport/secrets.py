"""Secrets as the API server has them, and as files."""

import base64
import binascii
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from consilia.errors import IdentityError


def encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    """For a Secret's `data`."""
    return {name: base64.b64encode(content).decode() for name, content in sorted(files.items())}


def decoded(secret: Mapping[str, Any] | None) -> dict[str, bytes]:
    """A Secret's files; none if there is no Secret.

    Raises:
        IdentityError: its data is not what Kubernetes lets in.
    """
    if secret is None:
        return {}
    try:
        return {name: base64.b64decode(text, validate=True) for name, text in (secret.get("data") or {}).items()}
    except (binascii.Error, ValueError):
        where = f"{secret['metadata']['namespace']}/{secret['metadata']['name']}"
        raise IdentityError(f"the Secret {where} is damaged.", remedy="Delete it, or restore it.") from None


def digest(*parts: str | bytes) -> str:
    """Tells whether any of them changed."""
    each = (sha256(part.encode() if isinstance(part, str) else part).digest() for part in parts)
    return sha256(b"".join(each)).hexdigest()[:32]
