"""Which hospitals of a hub are one and the same under two names. The oldest counts.

Every look at a Hospital asks, so that all of them are gone through now and then, not for each.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

Document = dict[str, Any]
Marks = tuple[str, str]
"""What no two hospitals have alike: the public key, and what stands for the cluster; empty where it is not known."""
_TRUSTED_SECONDS = 5.0


def marks(hospital: Document) -> Marks:
    """Of one hospital."""
    spec = hospital["spec"]
    key = (spec.get("publicKey") or hospital.get("status", {}).get("publicKey") or "").strip()
    return key, (spec.get("clusterDigest") or "") if spec.get("cluster") == "Own" else ""


@dataclass(slots=True)
class _Seen:
    """The accepted hospitals of a namespace at one moment."""

    at: float
    of: dict[str, Marks]
    """By name."""
    first: dict[tuple[int, str], str] = field(default_factory=dict)
    """Who had a mark first, by which it is and what it says."""


@dataclass(slots=True)
class Twins:
    """Of all namespaces."""

    clock: Callable[[], float] = monotonic
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def older(self, hospital: Document, every: Callable[[], Iterable[Document]]) -> str:
        """Another accepted one of the same namespace that is the same, and was there before; empty if there is none."""
        name, namespace, own = hospital["metadata"]["name"], hospital["metadata"]["namespace"], marks(hospital)
        seen = self._seen.get(namespace)
        if seen is None or self.clock() - seen.at > _TRUSTED_SECONDS or seen.of.get(name) != own:
            seen = self._seen[namespace] = _look(every(), self.clock())
        firsts = (seen.first.get((which, mark), name) for which, mark in enumerate(own) if mark)
        return next((each for each in firsts if each != name), "")


def _look(every: Iterable[Document], at: float) -> _Seen:
    found = _Seen(at, {})
    for each in sorted((one for one in every if one["spec"].get("accepted")), key=_age):
        name = each["metadata"]["name"]
        found.of[name] = own = marks(each)
        for which, mark in enumerate(own):
            if mark:
                found.first.setdefault((which, mark), name)
    return found


def _age(document: Document) -> tuple[str, str]:
    return document["metadata"].get("creationTimestamp", ""), document["metadata"]["name"]
