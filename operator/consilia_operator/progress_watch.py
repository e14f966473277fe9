"""Hears from the running programs where they stand: one long poll each, every answer's signature checked."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from pydantic import ValidationError

from consilia.progress import STATUS_PORT, JobProgress, TrainerProgress
from consilia.wire.identity import PublicKey
from consilia_operator.store import Key

logger = logging.getLogger("consilia.operator.progress")

_WAIT = 30
"""How long a program may let us wait for news, in seconds."""
_PAUSE = 1.0
_CALM = 0.5
"""How long nothing more is asked after news, in seconds: small models have many rounds a second, a status need not."""
_LONGEST = 1 << 20
Progress = JobProgress | TrainerProgress


@dataclass(frozen=True, slots=True)
class Source:
    """A program to be heard."""

    address: str
    """Its pod's IP address."""
    key: PublicKey
    kind: type[JobProgress] | type[TrainerProgress]
    job: str
    """The job's name on the log; who speaks of another job is not believed."""

    @property
    def url(self) -> str:
        """Where it tells."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{STATUS_PORT}/progress"


@dataclass(slots=True)
class ProgressWatch:
    """What the programs said last."""

    session: ClientSession
    changed: Callable[[Key], None]
    _sources: dict[Key, Source] = field(default_factory=dict)
    _tasks: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    _heard: dict[Key, Progress] = field(default_factory=dict)

    def heard(self, key: Key) -> Progress | None:
        """The newest word on the object, if any."""
        return self._heard.get(key)

    def follow(self, key: Key, source: Source | None) -> None:
        """Hear the program at `source` on the object, and no other; None: nobody speaks now."""
        if self._sources.get(key) == source:
            return
        self._stop(key)
        if source is not None:
            self._sources[key] = source
            self._tasks[key] = asyncio.create_task(self._listen(key, source), name=f"progress of {key}")

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._stop(key)
        self._heard.pop(key, None)

    def _stop(self, key: Key) -> None:
        self._sources.pop(key, None)
        if task := self._tasks.pop(key, None):
            task.cancel()

    async def _listen(self, key: Key, source: Source) -> None:
        version = 0
        while True:
            try:
                progress = await self._ask(source, version)
            except (ClientError, TimeoutError, OSError, ValueError) as error:
                logger.debug("%s does not tell where it stands: %r", key, error)
                await asyncio.sleep(_PAUSE)
                continue
            if progress is not None and progress.version > version:
                version = progress.version
                self._heard[key] = progress
                self.changed(key)
                await asyncio.sleep(_CALM)

    async def _ask(self, source: Source, version: int) -> Progress | None:
        query = {"after": str(version), "wait": str(_WAIT)}
        limit = ClientTimeout(total=_WAIT + 15, sock_connect=5)
        async with self.session.get(source.url, params=query, timeout=limit) as response:
            if response.status == 204:
                return None
            response.raise_for_status()
            return read(await _body(response), source)


async def _body(response: ClientResponse) -> bytes:
    """All of it, but no more than a snapshot can have."""
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} bytes")
    return bytes(found)


def read(answer: bytes, source: Source) -> Progress:
    """The snapshot in an answer.

    Raises:
        ValueError: it is none, its signature is another's, or it is about another job.
    """
    message = json.loads(answer)
    if not isinstance(message, dict) or not source.key.signed(
        str(message.get("body")).encode(), str(message.get("signature"))
    ):
        raise ValueError("its signature is not that of the program")
    try:
        progress = source.kind.model_validate_json(str(message["body"]))
    except ValidationError as error:
        raise ValueError(f"it is no snapshot: {error}") from error
    if progress.job != source.job:
        raise ValueError(f"it is about {progress.job}, not {source.job}")
    return progress
