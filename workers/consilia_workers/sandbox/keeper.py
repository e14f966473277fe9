"""The keeper's side: fork a process, have it confine itself, ask it questions, end it."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from consilia.errors import ConsiliaError, DataError, DivergedError, PermanentError, RunError, TaskError
from consilia_workers.sandbox import kernel
from consilia_workers.sandbox.frames import BrokenFrameError, Frame, receive, send
from consilia_workers.sandbox.places import open_code

Serve = Callable[[dict[str, Any], bytearray | memoryview | bytes], tuple[dict[str, Any], Sequence[bytes | memoryview]]]
"""From a question's head and body to the answer's."""

_ERRORS: dict[str, type[PermanentError]] = {
    "TaskError": TaskError,
    "DataError": DataError,
    "DivergedError": DivergedError,
}
_LAST_WORDS = 2000
_LONGEST_FILE = 1 << 26
"""What a confined process may write to one file, in bytes; records go another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What a confined process may touch."""

    readable: tuple[Path, ...] = ()
    """Beside Python itself and the code."""
    hidden: tuple[Path, ...] = ()
    """What must not be readable: of a folder with code in it that holds one of these, only the other entries are."""
    output: Path | None = None
    """The file that it prints to; none: wherever its keeper prints."""
    discreet: bool = False
    """Whether what it says of its errors may hold patients' data: then it is written to `output` only."""
    required: bool = True
    """Whether it is an error if the kernel cannot confine. Only on a machine where everything belongs to one person
    anyway may it be done without."""


class Confined:
    """One confined process. Begin it before any secret is in this process's memory: it is a fork."""

    def __init__(self, name: str, make_server: Callable[[], Serve], confinement: Confinement) -> None:
        """`make_server` runs in the new process, confined already; what it raises is raised by the first question."""
        self.name, self._confinement = name, confinement
        ours, theirs = socket.socketpair()
        self._scratch = Path(tempfile.mkdtemp(prefix="consilia-"))
        self._process = os.fork()
        if self._process == 0:
            ours.close()
            _live(theirs, make_server, confinement, self._scratch)
        theirs.close()
        self._connection = ours

    def ask(self, question: dict[str, Any], body: Sequence[bytes | memoryview] = ()) -> Frame:
        """The answer.

        Raises:
            TaskError: the process ended, or answered what is no answer.
            PermanentError: what the code in it raised.
        """
        try:
            send(self._connection, question, body)
            answer = receive(self._connection)
        except BrokenFrameError as error:
            raise self._ended(error) from None
        if "error" in answer.head:
            raise self._raised(answer.head)
        return answer

    def _ended(self, error: BrokenFrameError) -> TaskError:
        """What went wrong is told by the other side's bytes, and may count something in the records."""
        why = "" if self._confinement.discreet else f" ({error})"
        remedy = "Look at its output above; it may have needed more memory than there is."
        return TaskError(f"the process that {self.name} ended in the middle of its work{why}.", remedy=remedy)

    def _raised(self, head: dict[str, Any]) -> PermanentError:
        """The error as it was, as far as its words may be repeated: near data not even of which kind it was."""
        if self._confinement.discreet:
            remedy = (
                f"Read {self._confinement.output or 'its output'}: it stays in the hospital, for it may hold records."
            )
            return TaskError(f"the process that {self.name} failed.", remedy=remedy)
        kind = _ERRORS.get(str(head["error"]), TaskError)
        return kind(str(head.get("message", "")), remedy=str(head.get("remedy", "")))

    def end(self) -> None:
        """Kill it, and remove what it wrote."""
        self._connection.close()
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
            self._process = 0
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def _live(connection: socket.socket, make_server: Callable[[], Serve], confinement: Confinement, scratch: Path) -> None:
    """The whole life of the forked process; never returns."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        _print_to(confinement.output)
        _close_all_but(connection.fileno())
        confine(confinement, scratch)
        _serve(connection, make_server)
    except BaseException as error:  # noqa: BLE001 (nothing may go on as the keeper's own program)
        with contextlib.suppress(BrokenFrameError):
            send(connection, _told(error))
    finally:
        os._exit(0)


def _serve(connection: socket.socket, make_server: Callable[[], Serve]) -> None:
    serve: Serve | None = None
    while True:
        try:
            question = receive(connection)
        except BrokenFrameError:
            return  # the keeper has ended
        try:
            serve = serve or make_server()
            head, body = serve(question.head, question.body)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (told to the keeper, whatever it is)
            head, body = _told(error), ()
        send(connection, head, body)


def confine(confinement: Confinement, scratch: Path) -> None:
    """Take from this process all but what it needs.

    Raises:
        RunError: the kernel cannot, and it is required.
    """
    try:
        kernel.refuse_new_privileges()
        kernel.hide_memory()
        code = open_code(confinement.hidden, scratch)
        kernel.restrict_files([*code, *confinement.readable], [scratch, Path("/dev/null")])
        kernel.restrict_calls()
    except kernel.KernelError as error:
        if confinement.required:
            message = f"the task's code cannot be confined here: {error}."
            remedy = "Run it on Linux 5.13 or later with Landlock, on x86-64 or arm64."
            raise RunError(message, remedy=remedy) from error


def _print_to(output: Path | None) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LONGEST_FILE, _LONGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if output is not None:
        opened = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, 1)
        os.dup2(opened, 2)
    # Whatever the keeper had in their place may lie on a file that is closed now.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115


def _close_all_but(kept: int) -> None:
    """Files that the keeper had open are none of its business; its output may stay."""
    highest = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, kept)
    os.closerange(kept + 1, highest if 0 < highest < 1 << 20 else 1 << 20)


def _told(error: BaseException) -> dict[str, Any]:
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
    kind = type(error).__name__ if isinstance(error, ConsiliaError) else "TaskError"
    message = error.message if isinstance(error, ConsiliaError) else f"{type(error).__name__}: {error}"
    remedy = error.remedy if isinstance(error, ConsiliaError) else ""
    return {"error": kind, "message": str(message)[:_LAST_WORDS], "remedy": remedy[:_LAST_WORDS]}
