"""Makes the cluster as desired, and asks the API server only about what may differ."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Any

from consilia_operator import kinds
from consilia_operator.api_server import ApiServer
from consilia_operator.kinds import Kind
from consilia_operator.names import APPLIED
from consilia_operator.store import Document, Key, Store, key_of

WATCHED = frozenset({kinds.DEPLOYMENT, kinds.JOB, kinds.STATEFUL_SET, kinds.POD, kinds.HOSPITAL_TASK})
"""Kinds whose changes by others are seen at once. The others are applied anew now and then."""
_TRUSTED_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Applied:
    digest: str
    uid: str
    generation: int | None
    at: float


@dataclass(slots=True)
class Applying:
    """What this process applied, and so need not apply again."""

    api: ApiServer
    store: Store
    _known: dict[Key, _Applied] = field(default_factory=dict)

    async def apply(self, document: Document) -> bool:
        """Make it so, unless it is so as far as is known; whether the API server was asked.

        Raises:
            ApiRefused: the API server does not take it.
            ApiUnavailable: it does not answer.
        """
        kind = kinds.of(document)
        key, digest = key_of(kind, document), digest_of(document)
        if self._is_so(key, digest):
            return False
        found = await self.api.apply(stamped(document, digest))
        metadata = found["metadata"]
        self._known[key] = _Applied(digest, metadata["uid"], metadata.get("generation"), monotonic())
        if kind in WATCHED:
            self.store.put(kind, found)
        return True

    def _is_so(self, key: Key, digest: str) -> bool:
        known = self._known.get(key)
        if known is None or known.digest != digest:
            return False
        if key.kind not in WATCHED:
            return monotonic() - known.at < _TRUSTED_SECONDS
        live = self.store.get(key)
        return live is not None and (live["metadata"]["uid"], live["metadata"].get("generation")) == (
            known.uid,
            known.generation,
        )

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> None:
        """Have it gone, and forget that it was applied."""
        self._known.pop(Key(kind, namespace, name), None)
        await self.api.delete(kind, namespace, name, uid=uid)

    def forget(self, namespace: str, prefix: str) -> None:
        """Forget what was applied under names that begin so: it went with its owner."""
        for key in [key for key in self._known if key.namespace == namespace and key.name.startswith(prefix)]:
            del self._known[key]


def digest_of(document: Document) -> str:
    """Stands for the whole document."""
    # Ours alone: no other program must come to the same digest, so not RFC 8785, which takes ten times as long.
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def stamped(document: Document, digest: str) -> Document:
    """The same, with the digest among its annotations."""
    metadata: dict[str, Any] = document["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED: digest}
    return document | {"metadata": metadata | {"annotations": annotations}}
