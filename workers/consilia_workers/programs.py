"""The processes of a job: `python -m consilia_workers aggregator|trainer|initial-model|retire SETTINGS.json`.

Exit codes of the aggregator: 0 the job succeeded, 1 it failed. Of a trainer: 0 this hospital's part is over, however
the job ended; 1 the hospital cannot go on, and starting again would not help; 76 a newer process of the same name has
taken over. Of both: 75 try again later (EX_TEMPFAIL). With a `status_port` the aggregator stays after the job's end, to
tell of it, and ends with 0 on SIGTERM; before the end SIGTERM ends both at once, with 143.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from consilia.api import FederatedJob
from consilia.errors import ConsiliaError, FencedError, LogAccessError, TaskError, TemporaryError
from consilia.log.opening import open_log
from consilia.wire.identity import Identity, Roster
from consilia.wire.payload import write
from consilia_workers.aggregator import Aggregator
from consilia_workers.aggregator import run as run_aggregator
from consilia_workers.learner import make_learner
from consilia_workers.memory import give_back_memory, reuse_freed_memory
from consilia_workers.observers import UNOBSERVED, TrainerObserver
from consilia_workers.outbox import Outbox
from consilia_workers.retirement import retire as retire_job
from consilia_workers.settings import AggregatorSettings, Settings, TrainerSettings
from consilia_workers.source import DataSource
from consilia_workers.status.serving import (
    end_at_once_on_sigterm,
    serve_job,
    serve_trainer,
    stay_until_sigterm,
)
from consilia_workers.trainer import Trainer
from consilia_workers.trainer import run as run_trainer
from consilia_workers.uplink import Uplink

EXIT_FAILED = 1
EXIT_TRY_AGAIN = os.EX_TEMPFAIL
EXIT_REPLACED = os.EX_PROTOCOL
INITIAL = "initial.safetensors"
LOWER_IS_BETTER = "lower-is-better.json"


def aggregator(path: Path) -> int:
    """Run the aggregator of the job that the settings name."""
    settings = AggregatorSettings.load(path)
    start_logging(settings, "aggregator")
    reuse_freed_memory()
    job, identity, roster = settings.read_job(), Identity.load("the aggregator", settings.key), settings.read_roster()
    roster.require(identity, aggregator=True)
    if settings.status_port is None:
        log = open_log(settings.log)
        finished = run_aggregator(Aggregator(job, log, identity, roster, lambda: _initial(path, settings)))
        return 0 if finished.outcome == "Succeeded" else EXIT_FAILED
    end_at_once_on_sigterm()
    status = serve_job(settings.status_port, job, roster, identity)
    with closing(open_log(settings.log)) as log:
        run_aggregator(Aggregator(job, log, identity, roster, lambda: _initial(path, settings), status))
    status.rest()
    give_back_memory()
    logging.getLogger("consilia.aggregator").info("the job is over; its status is served until SIGTERM")
    stay_until_sigterm()
    return 0


def _initial(path: Path, settings: AggregatorSettings) -> Path:
    """The initial model's file, made before or made now; the task's code never runs in the aggregator itself."""
    target = settings.work / INITIAL
    if target.exists():
        return target
    command = [sys.executable, "-m", "consilia_workers", "initial-model", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise TaskError(f"the initial model could not be made: {done.stderr.strip()[-800:]}")
    return target


def initial_model(path: Path) -> int:
    """Make the job's initial model and leave its file in the aggregator's work folder."""
    settings = AggregatorSettings.load(path)
    settings.work.mkdir(parents=True, exist_ok=True)
    target = settings.work / INITIAL
    partial = target.with_suffix(".partial")
    learner = make_learner(settings.read_job(), None)
    (settings.work / LOWER_IS_BETTER).write_text(json.dumps(sorted(learner.lower_is_better)))
    with partial.open("wb") as file:
        made = write(file, learner.initial())
        file.flush()
        os.fsync(file.fileno())
    if made.size != learner.layout.size:
        message = f"the initial model has {made.size} bytes, its layout {learner.layout.size}."
        raise TaskError(message, remedy="Let the learner's initial() give the whole file.")
    partial.replace(target)
    return 0


def trainer(path: Path) -> int:
    """Run one hospital's trainer of the job that the settings name."""
    settings = TrainerSettings.load(path)
    start_logging(settings, settings.hospital)
    reuse_freed_memory()
    job, identity, roster = settings.read_job(), Identity.load(settings.hospital, settings.key), settings.read_roster()
    roster.require(identity)
    if settings.threads:
        limit_threads(settings.threads)
    outbox = Outbox(settings.state / "outbox")
    if settings.status_port is None:
        _take_part(settings, job, identity, roster, outbox, UNOBSERVED)
        return 0
    end_at_once_on_sigterm()
    status = serve_trainer(settings.status_port, job, identity, outbox)
    try:
        _take_part(settings, job, identity, roster, outbox, status)
    except LogAccessError as error:
        # In a cluster the operator sees to users and rules: what a broker does not know yet, it will know soon.
        status.failed(type(error).__name__)
        logging.getLogger("consilia").error("%s", error)  # noqa: TRY400 (its words are enough)
        return EXIT_TRY_AGAIN
    except Exception as error:
        status.failed(type(error).__name__)
        raise
    status.finished()
    return 0


def _take_part(
    settings: TrainerSettings,
    job: FederatedJob,
    identity: Identity,
    roster: Roster,
    outbox: Outbox,
    observer: TrainerObserver,
) -> None:
    log = open_log(settings.log)
    source = DataSource(hospital=settings.hospital, path=settings.data, parameters=settings.data_parameters)
    uplink = Uplink(log, job.log_name, identity)
    try:
        taking_part = Trainer(job, make_learner(job, source), log, uplink, roster, outbox, observer)
    except Exception as error:
        uplink.leave(error)
        raise
    run_trainer(taking_part)


def retire(path: Path) -> int:
    """Delete the topics of a finished job, and leave a record of them; the settings are the aggregator's."""
    settings = AggregatorSettings.load(path)
    start_logging(settings, "retire")
    with closing(open_log(settings.log)) as log:
        retire_job(log, settings.read_job().log_name, settings.read_roster().aggregator)
    return 0


def limit_threads(count: int) -> None:
    """Bound the threads of the arithmetic, whether PyTorch is loaded already (in a fork) or will be."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(count)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def start_logging(settings: Settings, party: str) -> None:
    """One line an event on standard error."""
    form = f"%(asctime)s %(levelname)s {party} %(message)s"
    logging.basicConfig(level=settings.log_level, format=form, stream=sys.stderr, force=True)


PROGRAMS = {"aggregator": aggregator, "initial-model": initial_model, "trainer": trainer, "retire": retire}


def main(arguments: Sequence[str]) -> int:
    """Run one program."""
    if len(arguments) != 2 or arguments[0] not in PROGRAMS:
        print(f"usage: python -m consilia_workers {'|'.join(PROGRAMS)} SETTINGS.json", file=sys.stderr)  # noqa: T201
        return 2
    return guarded(lambda: PROGRAMS[arguments[0]](Path(arguments[1])))


def guarded(program: Callable[[], int]) -> int:
    """Run it; an error of our own becomes a line on standard error and an exit code, any other a traceback."""
    try:
        return program()
    except ConsiliaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return _code(error)
    except Exception:
        logging.getLogger("consilia").exception("this is a bug in Consilia or in the task")
        return EXIT_FAILED


def _code(error: ConsiliaError) -> int:
    match error:
        case TemporaryError():
            return EXIT_TRY_AGAIN
        case FencedError():
            return EXIT_REPLACED
        case _:
            return EXIT_FAILED
