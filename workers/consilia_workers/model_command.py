"""`consilia-model`: a job's newest global model as a safetensors file, from where its aggregator runs.

Reads the log and writes nothing there: the aggregator goes on undisturbed. Loads no framework, holds a few chunks.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from consilia.errors import ConsiliaError, RecordGoneError, RunError, TemporaryError
from consilia.log import Log
from consilia.log.opening import open_log
from consilia.wire.identity import PublicKey
from consilia_workers.newest_model import NewestModel, find_newest, pieces
from consilia_workers.settings import AggregatorSettings

SETTINGS = Path("/etc/consilia/settings.json")
"""Where an aggregator's pod has its settings."""
_ATTEMPTS = 5
"""So often a model may be replaced before its first byte was read."""


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    found = argparse.ArgumentParser(prog="consilia-model", description=__doc__)
    add = found.add_argument
    add(
        "--output",
        type=Path,
        help="Write this file, whole or not at all. Default: standard output.",
    )
    add("--settings", type=Path, default=SETTINGS, help="The aggregator's settings. Default: %(default)s.")
    return found


def main() -> None:
    """The console script. Exit codes: 0 written, 1 it could not be, 2 wrong usage, 75 try again later."""
    options = parser().parse_args()
    try:
        write_model(options.settings, options.output)
    except ConsiliaError as error:
        _say(f"error: {error}")
        sys.exit(os.EX_TEMPFAIL if isinstance(error, TemporaryError) else 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would complain at its end
        _say("error: whoever reads the model has gone away.")
        sys.exit(1)


def write_model(settings: Path, output: Path | None) -> None:
    """Write the newest model to `output`, or to standard output.

    Raises:
        RunError: there is no model yet, or standard output is a terminal.
        ConsiliaError: the log cannot be read, or the model's bytes are not what was signed.
    """
    if output is None and sys.stdout.isatty():
        raise RunError("a model is no text for a terminal.", remedy="Add `> model.safetensors`, or --output FILE.")
    told = AggregatorSettings.load(settings)
    job, key = told.read_job().log_name, told.read_roster().aggregator
    with closing(open_log(told.log)) as log, _target(output) as file:
        model = _transfer(log, job, key, file)
    state = "the job's last" if model.final else "the job goes on"
    _say(f"round {model.round} of {job} ({state}): {model.payload.size} bytes, {model.payload.sha256}")


def _transfer(log: Log, job: str, key: PublicKey, file: BinaryIO) -> NewestModel:
    """A model that is replaced before anything was written gives way to the newer one."""
    for attempt in range(1, _ATTEMPTS + 1):
        model, written = find_newest(log, job, key), 0
        try:
            with _progress(model.payload.size) as advance:
                for piece in pieces(log, model):
                    written += file.write(piece)
                    advance(len(piece))
            file.flush()
        except RecordGoneError:
            if written or attempt == _ATTEMPTS:
                raise
        else:
            return model
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            os.fsync(file.fileno())
        partial.replace(output)
    except OSError as error:
        message = f"cannot write {output}: {error.strerror}."
        raise RunError(message, remedy="Choose another place for --output.") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], object]]:
    """A bar for people; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 (only who looks at it waits for it)
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("model", total=size)
        yield lambda count: progress.advance(task, count)


def _say(words: str) -> None:
    print(words, file=sys.stderr)  # noqa: T201
