"""Keeps the store up to date with what the operator made: list, then watch, by label on the server's side, for ever.

kopf watches our own resources. It cannot ask the API server for some of the pods only, and a hospital has many.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from consilia_operator.api_server import ApiServer
from consilia_operator.errors import ApiRefused, ApiUnavailable
from consilia_operator.kinds import Kind
from consilia_operator.store import Document, Key, Store, key_of

logger = logging.getLogger("consilia.operator.watching")

_LASTS = 300.0
"""How long one watch lasts before it is begun anew, in seconds: a dead connection is found out by then."""
_PAUSE = 2.0
Changed = Callable[[Key, Document], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One kind in one namespace, or in all if it is empty."""

    api: ApiServer
    store: Store
    kind: Kind
    namespace: str
    selector: str
    changed: Changed
    """Told of every object that is new, changed or gone."""

    async def run(self) -> None:
        """Until cancelled. What fails is begun again; nothing ends it quietly."""
        while True:
            try:
                version = await self.list()
                while True:
                    version = await self._follow(version)
            except ApiRefused as error:
                if error.status != HTTPStatus.GONE:
                    logger.warning("the watch of %s begins again: %s", self.kind.plural, error)
                    await asyncio.sleep(_PAUSE)
            except ApiUnavailable as error:
                logger.warning("the watch of %s begins again: %s", self.kind.plural, error)
                await asyncio.sleep(_PAUSE)

    async def list(self) -> str:
        """Take over what is there now; the resourceVersion to watch from."""
        found, version = await self.api.snapshot(self.kind, self.namespace, self.selector)
        known = {key_of(self.kind, each): each for each in self.store.all(self.kind, self.namespace or None)}
        news, gone = self.store.replace(self.kind, self.namespace or None, found, version)
        by_key = {key_of(self.kind, each): each for each in found}
        for key in news:
            self.changed(key, by_key[key])
        for key in gone:
            self.changed(key, known[key])
        return version

    async def _follow(self, version: str) -> str:
        async with self.api.watch(self.kind, self.namespace, self.selector, version, _LASTS) as events:
            async for event in events:
                found = event["object"]
                match event["type"]:
                    case "ADDED" | "MODIFIED":
                        found = {"apiVersion": self.kind.api_version, "kind": self.kind.kind} | found
                        if self.store.put(self.kind, found):
                            self.changed(key_of(self.kind, found), found)
                    case "DELETED":
                        if self.store.remove(self.kind, found):
                            self.changed(key_of(self.kind, found), found)
                    case "ERROR":
                        raise ApiRefused(int(found.get("code", 500)), str(found.get("message", "watch error")))
                version = found["metadata"]["resourceVersion"]
        return version
