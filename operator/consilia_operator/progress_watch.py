"""Hears from the running programs where they stand: one long poll each, every answer's signature checked."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from pydantic import ValidationError

from consilia.progress import STATUS_PORT, JobProgress, TrainerProgress
from consilia.wire.identity import PublicKey
from consilia_operator.store import Key

logger = logging.getLogger("consilia.operator.progress")

_WAIT = 30
"""How long a program may let us wait for news, in seconds."""
_PAUSE = 1.0
_CALM = 0.5
"""How long nothing more is asked after an answer, in seconds: small models have many rounds a second, a status
need not; and who answers at once that there is no news keeps nobody busy."""
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


def new_session() -> ClientSession:
    """For however many programs: each holds a connection nearly all the time, and aiohttp has 100 unless it is told."""
    return ClientSession(connector=TCPConnector(limit=0))


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
        """Until cancelled: whatever the pod answers, and whatever is wrong with us, nobody would begin it anew."""
        version, complained = 0, False
        while True:
            pause = _PAUSE
            try:
                version = await self._hear(key, source, version)
                pause = _CALM
            except (ClientError, TimeoutError, OSError, ValueError) as error:
                logger.debug("%s does not tell where it stands: %r", key, error)
            except Exception:
                if not complained:
                    logger.exception("%s cannot be heard at %s: a bug in Consilia", key, source.address)
                complained = True
            await asyncio.sleep(pause)

    async def _hear(self, key: Key, source: Source, version: int) -> int:
        """Ask once; the version that is known then."""
        progress = await self._ask(source, version)
        if progress is None or progress.version <= version:
            return version
        self._heard[key] = progress
        self.changed(key)
        return progress.version

    async def _ask(self, source: Source, version: int) -> Progress | None:
        query = {"after": str(version), "wait": str(_WAIT)}
        limit = ClientTimeout(total=_WAIT + 15, sock_connect=5)
        # No program of ours sends us elsewhere; a stranger's pod could, into all of the cluster.
        asked = self.session.get(source.url, params=query, timeout=limit, allow_redirects=False)
        async with asked as response:
            if response.status == 204:
                return None
            if response.status != 200:
                raise ValueError(f"it answers {response.status}")
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
    body, signature = _letter(answer)
    if not source.key.signed(body.encode(), signature):
        raise ValueError("its signature is not that of the program")
    try:
        progress = source.kind.model_validate_json(body)
    except ValidationError as error:
        raise ValueError(f"it is no snapshot: {error}") from error
    if progress.job != source.job:
        raise ValueError(f"it is about {progress.job}, not {source.job}")
    return progress


def _letter(answer: bytes) -> tuple[str, str]:
    """The text, and what is said to be its signature: nothing else of it is looked at before that is checked."""
    try:
        message = json.loads(answer)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    match message:
        case {"body": str(body), "signature": str(signature)}:
            return body, signature
    raise ValueError("it has no text with a signature")
