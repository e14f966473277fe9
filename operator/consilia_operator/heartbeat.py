"""Whether the watches live: a heartbeat must come back through kopf's, and every watcher must be at work.

kopf forgets a watcher that ends without an error, and goes on as if nothing had happened: a process that hears nothing
any more, with a green liveness probe (kopf#1276). The heartbeat object is a PodTemplate, a kind that nobody else uses,
so that its watch is silent but for us.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from itertools import product
from time import monotonic, time_ns
from typing import Any

from consilia_operator.api_server import ApiServer
from consilia_operator.errors import ApiRefused, ApiUnavailable
from consilia_operator.kinds import POD_TEMPLATE
from consilia_operator.names import FIELD_MANAGER, GROUP, labels
from consilia_operator.store import Key

logger = logging.getLogger("consilia.operator.heartbeat")

NAME = "consilia-operator-heartbeat"
BEAT = f"{GROUP}/heartbeat"
WATCHED = ("podtemplates", "federatedjobs", "hospitals", "datasets", "hospitaltasks")
"""The kinds that kopf watches for us, by plural."""


@dataclass(slots=True)
class Heartbeat:
    """Beats, and knows when a beat last came back."""

    api: ApiServer
    namespace: str
    patience: float
    """How long a beat may be away, in seconds."""
    namespaces: tuple[str, ...] = ()
    """Those that kopf watches one by one; empty: all at once."""
    plurals: tuple[str, ...] = WATCHED
    _sent: str = ""
    _back: float = field(default_factory=monotonic)
    _missing: dict[str, float] = field(default_factory=dict)
    """Since when a kind, in a namespace, has no watcher."""
    _expected: dict[Key, tuple[int, float]] = field(default_factory=dict)
    """What a list found and the watch has not shown: the version, and since when."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            try:
                await self.beat()
            except (ApiRefused, ApiUnavailable) as error:
                logger.warning("no heartbeat: %s", error)
            await asyncio.sleep(self.patience / 4)

    async def beat(self) -> None:
        """Write another beat."""
        self._sent = str(time_ns())
        await self.api.apply(document(self.namespace, self._sent))

    def came_back(self, found: dict[str, Any]) -> None:
        """The watch showed the object: alive, if it is the newest beat."""
        if found["metadata"].get("annotations", {}).get(BEAT, "") == self._sent:
            self._back = monotonic()

    def expect(self, key: Key, version: int) -> None:
        """A list found this object in this version; the watch of its kind must show it, too."""
        self._expected.setdefault(key, (version, monotonic()))

    def delivered(self, key: Key, version: int) -> None:
        """The watch showed the object in this version."""
        if key in self._expected and version >= self._expected[key][0]:
            del self._expected[key]

    def gone(self, key: Key) -> None:
        """The object is no more: nothing is to be shown."""
        self._expected.pop(key, None)

    def _deaf(self) -> list[str]:
        now = monotonic()
        return sorted({key.kind.plural for key, (_, since) in self._expected.items() if now - since > self.patience})

    def problems(self) -> list[str]:
        """What is wrong with the watches, in words."""
        found = []
        away = monotonic() - self._back
        if away > self.patience:
            found.append(f"the heartbeat did not come back through the watch for {away:.0f} s")
        found += [f"nobody watches {plural}" for plural in self._unwatched()]
        found += [f"the watch of {plural} does not show what is there" for plural in self._deaf()]
        return found

    def _unwatched(self) -> list[str]:
        """Kinds without a watcher for longer than it takes kopf to start one anew."""
        names = [task.get_name() for task in asyncio.all_tasks() if not task.done()]
        now = monotonic()
        for plural, namespace in product(self.plurals, self.namespaces or (None,)):
            what = f"{plural} in namespace {namespace}" if namespace else plural
            # As kopf calls them: "watcher for federatedjobs.v1alpha1.consilia.dev@clinic", and "@None" for all.
            if any(name.startswith(f"watcher for {plural}.") and name.endswith(f"@{namespace}") for name in names):
                self._missing.pop(what, None)
            else:
                self._missing.setdefault(what, now)
        return [what for what, since in self._missing.items() if now - since > self.patience]


def document(namespace: str, beat: str) -> dict[str, Any]:
    """The heartbeat object; nothing is ever made from it."""
    own = labels("heartbeat")
    return {
        "apiVersion": POD_TEMPLATE.api_version,
        "kind": POD_TEMPLATE.kind,
        "metadata": {"name": NAME, "namespace": namespace, "labels": own, "annotations": {BEAT: beat}},
        "template": {
            "metadata": {"labels": own},
            "spec": {"containers": [{"name": "none", "image": FIELD_MANAGER}]},
        },
    }
