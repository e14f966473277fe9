"""What the watches have said: the newest known state of every object of interest, by kind, namespace and name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from time import monotonic
from typing import Any

from consilia_operator.kinds import Kind
from consilia_operator.names import JOB, JOB_UID, TASK

Document = dict[str, Any]
INDEXED = (JOB_UID, JOB, TASK)
"""Labels that are asked for at every look: found without going through all objects of a kind."""
_MOURNED = 600.0
"""How long it is known that an object is gone, in seconds: whatever still speaks of it is under way no longer."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which object; what the work queue holds."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind.kind} {self.name}"


def key_of(kind: Kind, document: Mapping[str, Any]) -> Key:
    """The key of an object."""
    metadata = document["metadata"]
    return Key(kind, metadata.get("namespace", ""), metadata["name"])


def version_of(document: Mapping[str, Any]) -> int:
    """Its resourceVersion, which grows over all objects of a kind, whatever their uids (KEP-5504)."""
    return int(document["metadata"]["resourceVersion"])


@dataclass(slots=True)
class Store:
    """One process's view of the cluster. Whoever reads gets the document itself: read, never write.

    Watches, lists and answers to our own writes are heard in any order. Of each name the newest resourceVersion counts.
    """

    _by_kind: dict[Kind, dict[tuple[str, str], Document]] = field(default_factory=dict)
    _spaces: dict[tuple[Kind, str], dict[str, Document]] = field(default_factory=dict)
    _labels: dict[tuple[Kind, str, str], dict[tuple[str, str], Document]] = field(default_factory=dict)
    """By kind, name and value of an indexed label; then by namespace and name."""
    _gone: dict[Key, tuple[int, float]] = field(default_factory=dict)
    """What is no more: since which resourceVersion, and when that was heard. The oldest come first."""

    def put(self, kind: Kind, document: Document) -> bool:
        """Remember the object; whether that was news. An older state never replaces a newer one, nor its end."""
        key = key_of(kind, document)
        old = self.get(key)
        if version_of(document) <= self._newest(key):
            return False
        self._gone.pop(key, None)
        trimmed = document | {"metadata": {k: v for k, v in document["metadata"].items() if k != "managedFields"}}
        self._by_kind.setdefault(kind, {})[key.namespace, key.name] = trimmed
        self._spaces.setdefault((kind, key.namespace), {})[key.name] = trimmed
        self._index(key, old, trimmed)
        return True

    def remove(self, kind: Kind, document: Document) -> bool:
        """Forget what a watch says is gone; whether it was known. One that was made later under the name stays."""
        return self._end(key_of(kind, document), version_of(document))

    def _newest(self, key: Key) -> int:
        """The newest resourceVersion that was heard of the name: of the object, or of its end."""
        if (there := self.get(key)) is not None:
            return version_of(there)
        return self._gone[key][0] if key in self._gone else 0

    def _end(self, key: Key, version: int) -> bool:
        """There was nothing of the name at this resourceVersion; whether that was news."""
        if version < self._newest(key):
            return False
        self._bury(key, version)
        self._spaces.get((key.kind, key.namespace), {}).pop(key.name, None)
        old = self._by_kind.get(key.kind, {}).pop((key.namespace, key.name), None)
        self._index(key, old, None)
        return old is not None

    def _bury(self, key: Key, version: int) -> None:
        """A list or an answer that is older than the end, and comes later, does not bring the object back."""
        now = monotonic()
        for past in list(takewhile(lambda each: now - self._gone[each][1] > _MOURNED, self._gone)):
            del self._gone[past]
        self._gone.pop(key, None)  # the newest is the last
        self._gone[key] = version, now

    def _index(self, key: Key, old: Document | None, new: Document | None) -> None:
        before, after = _entries(key.kind, old), _entries(key.kind, new)
        place = (key.namespace, key.name)
        for entry in before - after:
            del self._labels[entry][place]
            if not self._labels[entry]:
                del self._labels[entry]
        for entry in after:
            assert new is not None
            self._labels.setdefault(entry, {})[place] = new

    def get(self, key: Key) -> Document | None:
        """The object, if it is known."""
        return self._by_kind.get(key.kind, {}).get((key.namespace, key.name))

    def all(self, kind: Kind, namespace: str | None = None) -> list[Document]:
        """All of a kind, in one namespace or everywhere."""
        found = self._by_kind.get(kind, {}) if namespace is None else self._spaces.get((kind, namespace), {})
        return list(found.values())

    def matching(self, kind: Kind, namespace: str | None, labels: Mapping[str, str]) -> Iterator[Document]:
        """Those that carry all these labels."""
        for document in self._candidates(kind, namespace, labels):
            metadata = document["metadata"]
            own = metadata.get("labels", {})
            here = namespace is None or metadata.get("namespace", "") == namespace
            if here and all(own.get(name) == value for name, value in labels.items()):
                yield document

    def _candidates(self, kind: Kind, namespace: str | None, labels: Mapping[str, str]) -> list[Document]:
        indexed = next((name for name in INDEXED if name in labels), None)
        if indexed is None:
            return self.all(kind, namespace)
        return list(self._labels.get((kind, indexed, labels[indexed]), {}).values())

    def replace(
        self, kind: Kind, namespace: str | None, documents: Iterable[Document], version: str
    ) -> tuple[list[Key], list[Key]]:
        """What a list found is all there was at its resourceVersion: the keys that were news, and those that are gone.

        What was heard while the list was under way is newer, and stands.
        """
        documents = list(documents)
        there = {key_of(kind, document) for document in documents}
        known = [key_of(kind, document) for document in self.all(kind, namespace)]
        gone = [key for key in known if key not in there and self._end(key, int(version))]
        return [key_of(kind, document) for document in documents if self.put(kind, document)], gone


def _entries(kind: Kind, document: Document | None) -> set[tuple[Kind, str, str]]:
    labels = document["metadata"].get("labels", {}) if document else {}
    return {(kind, name, labels[name]) for name in INDEXED if name in labels}
