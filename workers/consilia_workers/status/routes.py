"""What the status port answers: /progress, /metrics, /healthz."""

import re
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from consilia_workers.status.board import Board
from consilia_workers.status.http import Answer, Request, refusal
from consilia_workers.status.pulse import Pulse

_VERSION, _SECONDS = re.compile("[0-9]{1,16}"), re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")
LONGEST_WAIT = 60.0
"""So long may a request for progress wait for news, in seconds."""


class Routes:
    """From a request to its answer."""

    def __init__(self, board: Board, registry: CollectorRegistry, pulse: Pulse) -> None:
        """What they answer from."""
        self.board, self._registry, self._pulse = board, registry, pulse

    async def answer(self, request: Request) -> Answer:
        """The answer; a refusal is one, too."""
        match request.path:
            case "/progress":
                return await self._progress(request)
            case "/metrics":
                encode, kind = choose_encoder(request.accept)
                return Answer(body=encode(self._registry), kind=kind)
            case "/healthz":
                return self._health()
            case _:
                return refusal(HTTPStatus.NOT_FOUND, "here are /progress, /metrics and /healthz")

    async def _progress(self, request: Request) -> Answer:
        after, wait = request.query.get("after", "0"), request.query.get("wait", "0")
        if not (_VERSION.fullmatch(after) and _SECONDS.fullmatch(wait) and float(wait) <= LONGEST_WAIT):
            words = f"after must be a version, wait a number of seconds from 0 to {LONGEST_WAIT:.0f}"
            return refusal(HTTPStatus.BAD_REQUEST, words)
        body = await self.board.newer(int(after), float(wait))
        return Answer(body=body, kind="application/json") if body else Answer(status=HTTPStatus.NO_CONTENT)

    def _health(self) -> Answer:
        if overdue := self._pulse.overdue():
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"the main thread is overdue by {overdue:.0f} seconds")
        return Answer(body=b"ok\n")
