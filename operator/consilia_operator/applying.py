"""Makes the cluster as desired, and asks the API server only about what may differ."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Any

from consilia_operator import kinds
from consilia_operator.api_server import ApiServer
from consilia_operator.kinds import Kind
from consilia_operator.names import APPLIED, JOB_UID
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
    labels: Mapping[str, str]
    """By which it is known whose it is, whatever it is called."""


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
        labels = document["metadata"].get("labels", {})
        self._known[key] = _Applied(digest, metadata["uid"], metadata.get("generation"), monotonic(), labels)
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

    def forget_labelled(self, namespace: str | None, labels: Mapping[str, str], *, living: str | None = None) -> None:
        """Forget what was applied with all these labels, in one namespace or everywhere: it went with its owner.

        What is of the job with the uid `living` stays: it was made anew under the name.
        """
        for key, known in list(self._known.items()):
            here = namespace is None or key.namespace == namespace
            spared = living is not None and known.labels.get(JOB_UID) == living
            if here and not spared and labels.items() <= known.labels.items():
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
