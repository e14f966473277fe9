"""Where a finished update lies, on durable storage, before and until it is on the log.

An update counts as made once its header file exists; what was made is only ever sent, never made again.
"""

import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from consilia.wire.messages import Payload, RoundOpened, Update
from consilia.wire.payload import describe, read_file, write
from consilia_workers.learner import Pieces

logger = logging.getLogger("consilia.trainer")

_PARTIAL = ".partial"
_ATTEMPTS = "attempts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An update that is made."""

    update: Update
    payload: Path
    """The file with the payload's bytes."""
    sent: bool
    """Whether the log is known to have it."""
    reservation: int | None = None
    """What pays for it in the hospital's ledger; None where nothing is charged."""


class Attempts(BaseModel):
    """The trainings begun in this job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    round: int = 0
    """The round that was begun last."""
    attempt: int = 0
    """How often that one was begun."""
    total: int = 0
    """How many of all rounds, crashed ones included."""


class Outbox:
    """One hospital's folder for one job."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made if absent, for its owner only; what an older process was at, is thrown away.

        That one may live still, stopped or on a node that was given up: nothing it writes has the name of ours.
        """
        self._folder, self._mark = folder, secrets.token_hex(4)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.glob(f"*{_PARTIAL}"):
            path.unlink(missing_ok=True)

    def begin(self, round_number: int) -> "Attempts":
        """Count and remember one more attempt at a round."""
        before = self.attempts()
        again = before.attempt if before.round == round_number else 0
        begun = Attempts(round=round_number, attempt=again + 1, total=before.total + 1)
        self._store(self._folder / _ATTEMPTS, begun.model_dump_json().encode())
        return begun

    def attempts(self) -> "Attempts":
        """What was begun so far, in this and earlier processes."""
        path = self._folder / _ATTEMPTS
        return Attempts.model_validate_json(path.read_bytes()) if path.exists() else Attempts()

    def seal(self, trained: Pieces, describe: Callable[[Payload], Update], reservation: int | None = None) -> Sealed:
        """Write the payload, then the header that makes it count; both are on the disk when this returns.

        `reservation` is what pays for it.
        """
        partial = self._partial("payload")
        with partial.open("wb") as file:
            payload = write(file, trained)
            file.flush()
            os.fsync(file.fileno())
        update = describe(payload)
        path = self._payload(update.round)
        partial.replace(path)
        self._sent(update.round).unlink(missing_ok=True)  # of an update for another offer of this round
        if reservation is not None:
            self._store(self._charge(update.round), str(reservation).encode())
        self._store(self._header(update.round), update.model_dump_json(by_alias=True).encode())
        return Sealed(update=update, payload=path, sent=False, reservation=reservation)

    def find(self, opened: RoundOpened) -> Sealed | None:
        """The update already made for this very round, if there is one."""
        sealed = self._sealed(opened.round)
        if sealed is None:
            return None
        update = sealed.update
        agreed = (opened.model.sha256, opened.config_digest, opened.roster_digest)
        return sealed if (update.base_digest, update.config_digest, update.roster_digest) == agreed else None

    def unsent(self, round_number: int) -> Update | None:
        """The update made for a round that the log is not known to have."""
        sealed = self._sealed(round_number)
        return None if sealed is None or sealed.sent else sealed.update

    def _sealed(self, round_number: int) -> Sealed | None:
        """What lies here for a round. What is damaged counts as never made: its bytes would only be refused."""
        header, payload = self._header(round_number), self._payload(round_number)
        if not header.exists():
            return None
        with suppress(FileNotFoundError, ValueError):
            update = Update.model_validate_json(header.read_bytes())
            paid = self._charge(round_number)
            reservation = int(paid.read_bytes()) if paid.exists() else None
            sent = self._sent(round_number).exists()
            if sent or describe(read_file(payload)) == update.payload:
                return Sealed(update=update, payload=payload, sent=sent, reservation=reservation)
        logger.warning("the update of round %d in %s is damaged: it is made again", round_number, self._folder)
        return None

    def mark_sent(self, sealed: Sealed) -> None:
        """The log has it. Lost in a crash, this only means that the same bytes are sent once more."""
        self._sent(sealed.update.round).touch()

    def forget(self, round_number: int) -> None:
        """The round is closed: neither its update nor what an earlier one left is needed any more; the count is."""
        for path in list(self._folder.iterdir()):
            if path.stem.isdecimal() and int(path.stem) <= round_number:
                path.unlink(missing_ok=True)

    def _store(self, path: Path, data: bytes) -> None:
        partial = self._partial(path.stem)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _partial(self, name: str) -> Path:
        return self._folder / f"{name}.{self._mark}{_PARTIAL}"

    def _header(self, round_number: int) -> Path:
        return self._folder / f"{round_number}.json"

    def _charge(self, round_number: int) -> Path:
        return self._folder / f"{round_number}.charge"

    def _payload(self, round_number: int) -> Path:
        return self._folder / f"{round_number}.safetensors"

    def _sent(self, round_number: int) -> Path:
        return self._folder / f"{round_number}.sent"
