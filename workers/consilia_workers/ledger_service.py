"""The program that keeps a hospital's ledger: it alone has the volume, and answers trainers and the operator over HTTP.

`POST /ask` takes a letter (consilia/ledger/requests.py) and answers with one; `GET /metrics` and `GET /healthz` are for
Prometheus and the kubelet. It may be killed anywhere: what it has not answered, it is asked again.
"""

import logging
import re
import secrets
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader, RawIOBase
from math import inf
from pathlib import Path
from threading import Event, Lock, Thread, active_count
from time import monotonic, time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from pydantic import Field, ValidationError

from consilia import __version__
from consilia.errors import BudgetError, LedgerError, LedgerUnavailableError, ManifestError, RunError
from consilia.ledger import requests
from consilia.ledger.answering import answer_of
from consilia.ledger.ledger import Ledger
from consilia.wire.identity import Identity, digest
from consilia_workers.settings import ProgramSettings
from consilia_workers.status.http import Answer, refusal
from consilia_workers.status.serving import end_at_once_on_sigterm, new_registry, stay_until_sigterm

logger = logging.getLogger("consilia.ledger")

_CLOCKS, _REMEMBERED = 300.0, 600.0
"""So far may the asker's clock be off; so long after it was seen may a letter's time be near enough; in seconds."""
_MEMORY, _EACH = 64 << 20, 500
"""So many bytes are remembered at most; so many are counted for each letter, beside its answer."""
_THREADS = 32
"""So many at once, and one for each connection; who comes then is let go."""
_PATIENCE = 10.0
"""So long may a caller take to ask, and to take the answer, in seconds."""
_REMINDER = 60.0
"""How often it is said that the ledger cannot be used, in seconds."""
_HERE = refusal(HTTPStatus.NOT_FOUND, "here are POST /ask, GET /metrics and GET /healthz")


class LedgerSettings(ProgramSettings):
    """What the program is told at its start, as one JSON file."""

    folder: Path = Field(description="The ledger's folder, on a volume that is backed up.")
    key: Path = Field(description="The hospital's Ed25519 private key, in PEM form, readable by its owner only.")
    hospital: str = Field(description="The hospital's name: who asks for another one's ledger is refused.")
    port: int = Field(
        default=requests.LEDGER_PORT, ge=0, le=65535,
        description="Where /ask, /metrics and /healthz are served, on all addresses; 0 takes any and logs which.",
    )  # fmt: skip


@dataclass(slots=True)
class _Letter:
    body_digest: str
    seen: float
    lock: Lock = field(default_factory=Lock)
    answer: bytes = b""


class Memory:
    """What was asked lately: a letter is answered once, and whoever sends it again is told the same."""

    def __init__(self) -> None:
        self._letters: OrderedDict[str, _Letter] = OrderedDict()
        self._bytes, self._lock = 0, Lock()

    def once(self, nonce: str, body: str, make: Callable[[], bytes]) -> bytes:
        """The answer to a letter. If `make` fails, there is none yet.

        Raises:
            ValueError: another letter had that nonce.
            LedgerUnavailableError: there was too much to remember lately.
        """
        with self._lock:
            letter = self._letter(nonce, digest(body.encode()))
        with letter.lock:
            if not letter.answer:
                letter.answer = make()
                with self._lock:
                    self._bytes += len(letter.answer)
            return letter.answer

    def _letter(self, nonce: str, body: str) -> _Letter:
        now = monotonic()
        while self._letters and next(iter(self._letters.values())).seen < now - _REMEMBERED:
            self._bytes -= len(self._letters.popitem(last=False)[1].answer) + _EACH
        if nonce not in self._letters:
            if self._bytes > _MEMORY:
                raise LedgerUnavailableError("the ledger was asked too much lately.", remedy="Ask again in a minute.")
            self._letters[nonce] = _Letter(body, now)
            self._bytes += _EACH
        if self._letters[nonce].body_digest != body:
            raise ValueError("its nonce was used for another question")
        return self._letters[nonce]


class Desk:
    """Where letters are handed in: who may ask is answered, once, in a letter."""

    def __init__(self, identity: Identity, ledger: Ledger | LedgerError, registry: CollectorRegistry) -> None:
        """`ledger`, or why there is none: then that is the answer to every question."""
        self._identity, self._ledger = identity, ledger
        self.session = secrets.token_hex(16)
        """Tells this process from others: what was said to an earlier one is not heard again."""
        self._memory = Memory()
        self._asked = Counter(
            "consilia_ledger_requests",
            "Questions to the ledger, each once, by what came of them: Answered; Budget, it affords no more; Ledger, "
            "it cannot be trusted; Unusable, its volume is full or broken; BadRequest; NewSession, meant for an "
            "earlier process; Refused, from a stranger.",
            ["question", "outcome"],
            registry=registry,
        )

    def answer(self, data: bytes) -> Answer:
        """The answer to a letter.

        Raises:
            LedgerUnavailableError: not now.
        """
        try:
            body = requests.body_of(data, self._identity.public(), requests.Asked)
        except ValueError as error:
            self._asked.labels("Unknown", "Refused").inc()
            return refusal(HTTPStatus.BAD_REQUEST, f"this is no letter to the ledger: {error}")
        return Answer(body=self._reply(body), kind="application/json")

    def _reply(self, body: str) -> bytes:
        try:
            asked = requests.Asked.model_validate_json(body)
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"])
            return self._letter(body, "Unknown", _bad(f"it is none that the ledger knows, because of {place}"))
        kind = asked.question.type
        if objection := self._objection(asked):
            return self._letter(body, kind, objection)
        try:
            return self._memory.once(asked.nonce, body, lambda: self._letter(body, kind, self._put(asked.question)))
        except ValueError as error:
            return self._letter(body, kind, _bad(str(error)))

    def _objection(self, asked: requests.Asked) -> requests.Answer | None:
        """Why it is not even put to the ledger."""
        if asked.hospital != self._identity.name:
            return _bad(f"the ledger is {self._identity.name}'s, and {asked.hospital} asks")
        if (off := abs(asked.asked - time())) > _CLOCKS:
            words = f"the clock of the one who asks and the ledger's differ by {off:.0f} seconds, more than 5 minutes"
            return _bad(words, "Have both machines' clocks set by NTP.")
        if asked.session != self.session:
            return requests.NewSession(session=self.session)
        return None

    def _put(self, question: requests.Question) -> requests.Answer:
        if isinstance(self._ledger, LedgerError):
            return requests.Refused.of(self._ledger)
        try:
            return answer_of(self._ledger, question)
        except (BudgetError, LedgerError, ManifestError) as error:
            logger.warning("%s: %s", question.type, error)
            return requests.Refused.of(error)
        except ValueError as error:  # the same question would meet the same fate again
            logger.exception("a question of type %s cannot be answered", question.type)
            return _bad(f"{type(error).__name__}: {error}"[:500])

    def _letter(self, body: str, question: str, said: requests.Answer) -> bytes:
        outcome = said.kind if isinstance(said, requests.Refused) else "Answered"
        self._asked.labels(question, "NewSession" if isinstance(said, requests.NewSession) else outcome).inc()
        answered = requests.Answered(to=digest(body.encode()), answer=said)
        return requests.letter(answered, self._identity)[1]


def _bad(reason: str, remedy: str = "Ask with the Consilia of the ledger's version.") -> requests.Refused:
    return requests.Refused(kind="BadRequest", message=f"the ledger does not take the question: {reason}.",
                            remedy=remedy)  # fmt: skip


class Figures(Collector):
    """What Prometheus is told of the ledger, looked up when it asks. One that cannot be trusted has no figures."""

    def __init__(self, registry: CollectorRegistry, hospital: str, ledger: Ledger) -> None:
        self._hospital, self._ledger = hospital, ledger
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metrics without series."""
        yield GaugeMetricFamily("consilia_ledger_entries", "Entries of the ledger.", labels=["hospital"])
        for name, meaning in (
            ("spent", "The ε that all jobs together have spent on the dataset."),
            ("reserved", "The ε that promises to jobs would add to what is spent on the dataset."),
            ("available", "The ε that is left for other jobs; +Inf where the hospital sets no limit."),
        ):
            metric = f"consilia_privacy_dataset_epsilon_{name}"
            yield GaugeMetricFamily(metric, meaning, labels=["hospital", "dataset"])

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics as they are now. Data of several names has one series for each."""
        families = entries, *figures = tuple(self.describe())
        with suppress(LedgerError, OSError):
            statements = self._ledger.statements()
            entries.add_metric([self._hospital], self._ledger.head().entries)
            for told in statements:
                available = inf if told.available is None else told.available
                for dataset in told.datasets:
                    for family, figure in zip(figures, (told.spent, told.reserved, available), strict=True):
                        family.add_metric([self._hospital, dataset], figure)
        return families


class _Hurried(RawIOBase):
    """What comes in on a connection: within `_PATIENCE`, however slowly it trickles, and no more than fits."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._until = connection, monotonic() + _PATIENCE
        self._left = requests.LONGEST + (16 << 10)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 (as RawIOBase has it)
        self._connection.settimeout(max(self._until - monotonic(), 1e-6))  # 0 would be a socket that never waits
        found = self._connection.recv_into(memoryview(buffer)[: self._left])
        self._left -= found
        return found


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: "LedgerServer"
    protocol_version, server_version, sys_version = "HTTP/1.1", "consilia", ""
    error_message_format, error_content_type = "%(message)s\n", "text/plain; charset=utf-8"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = BufferedReader(_Hurried(self.connection))

    def handle(self) -> None:
        with suppress(OSError):  # whoever breaks off harms nobody
            self.handle_one_request()

    def do_GET(self) -> None:
        match self.path:
            case "/healthz":
                self._send(Answer(body=b"ok\n"))
            case "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._send(Answer(body=encode(self.server.registry), kind=kind))
            case _:
                self._send(_HERE)

    def do_POST(self) -> None:
        self._send(self._asked() if self.path == "/ask" else _HERE)

    def _asked(self) -> Answer:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,16}", length):
            return refusal(HTTPStatus.LENGTH_REQUIRED, "say the Content-Length")
        if int(length) > requests.LONGEST:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"ask in {requests.LONGEST} bytes")
        data = self.rfile.read(int(length))
        try:
            return self.server.desk.answer(data)
        except LedgerUnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception:
            logger.exception("a question was not answered")
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the ledger has failed: see its log")

    def _send(self, answer: Answer) -> None:
        self.connection.settimeout(_PATIENCE)
        self.wfile.write(answer.as_bytes())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 (as the base class has it)
        logger.debug(format, *args)


class LedgerServer(ThreadingHTTPServer):
    """Serves from `start` until the process or `close` ends it: a thread for each connection, and not many."""

    daemon_threads, block_on_close = True, False

    def __init__(self, port: int, identity: Identity, ledger: Ledger | LedgerError) -> None:
        """Takes the port on all addresses; 0 takes any.

        Raises:
            RunError: the port cannot be had.
        """
        super().__init__(("", port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = _listen(port)
        self.port: int = self.socket.getsockname()[1]
        """The one that was taken."""
        self.registry = registry = new_registry()
        build = Gauge("consilia_build_info", "Always 1; what runs here.", ["program", "version"], registry=registry)
        build.labels("ledger", __version__).set(1)
        if isinstance(ledger, Ledger):
            Figures(registry, identity.name, ledger)
        self.desk = Desk(identity, ledger, registry)

    def start(self) -> None:
        """Begin to answer."""
        Thread(target=self.serve_forever, args=(0.05,), name="ledger", daemon=True).start()
        logger.info("ledger on port %d", self.port)

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether there is room for one more."""
        return active_count() < _THREADS

    def close(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()


def _listen(port: int) -> socket.socket:
    """On IPv6 and IPv4, or on IPv4 alone where there is no other."""
    both = socket.has_dualstack_ipv6()
    try:
        family = socket.AF_INET6 if both else socket.AF_INET
        return socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=_THREADS)
    except OSError as error:
        message = f"cannot serve the ledger on port {port}: {error.strerror}."
        raise RunError(message, remedy="Give port another value.") from error


def open_or_why_not(folder: Path, identity: Identity) -> Ledger | LedgerError:
    """The ledger; or what is wrong with it, which has to be told to whoever asks.

    Raises:
        RunError: the folder cannot be used.
    """
    try:
        return Ledger(folder, identity)
    except LedgerError as error:
        return error
    except OSError as error:
        message = f"cannot use the ledger's folder {folder}: {error.strerror}."
        raise RunError(message, remedy="Correct the volume, or its permissions.") from error


def remind(error: LedgerError, ended: Event) -> None:
    """Say it now and then, until the end: nobody may overlook it."""
    while not ended.is_set():
        logger.error("no question is answered: %s Then start this program again.", error)
        ended.wait(_REMINDER)


def main(path: Path) -> int:
    """Keep the ledger that the settings name, until SIGTERM."""
    settings = LedgerSettings.load(path)
    settings.start_logging("ledger")
    end_at_once_on_sigterm()
    identity = Identity.load(settings.hospital, settings.key)
    ledger = open_or_why_not(settings.folder, identity)
    server = LedgerServer(settings.port, identity, ledger)
    server.start()
    if isinstance(ledger, LedgerError):
        Thread(target=remind, args=(ledger, Event()), name="reminder", daemon=True).start()
    stay_until_sigterm()
    server.close()
    return 0
