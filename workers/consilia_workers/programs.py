"""The processes of a job, and of a hospital's ledger: `python -m consilia_workers PROGRAM SETTINGS.json`.

Exit codes of the aggregator: 0 the job succeeded, 1 it failed, or the log does not let the aggregator in: a pod is
started again then, as often as the job's backoffLimit allows. Of a trainer: 0 this hospital's part is over, however
the job ended; 1 the hospital cannot go on, and starting again would not help; 77 its privacy budget is spent; 76 a
newer process of the same name has taken over. Of both: 75 try again later (EX_TEMPFAIL). With a `status_port` the
aggregator stays after the job's end, to tell of it, and ends with 0 on SIGTERM; before the end SIGTERM ends both at
once, with 143.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from consilia.errors import BudgetError, ConsiliaError, FencedError, TaskError, TemporaryError
from consilia.log.opening import open_log
from consilia.wire.identity import Identity
from consilia.wire.payload import write
from consilia_workers.aggregator import Aggregator
from consilia_workers.aggregator import run as run_aggregator
from consilia_workers.inspection import main as run_inspection
from consilia_workers.learner import make_learner
from consilia_workers.ledger_service import main as run_ledger
from consilia_workers.memory import give_back_memory, reuse_freed_memory
from consilia_workers.retirement import retire as retire_job
from consilia_workers.settings import AggregatorSettings
from consilia_workers.status.serving import end_at_once_on_sigterm, serve_job, stay_until_sigterm
from consilia_workers.trainer_program import EXIT_EXHAUSTED, EXIT_TRY_AGAIN
from consilia_workers.trainer_program import main as run_trainer

EXIT_FAILED = 1
EXIT_REPLACED = os.EX_PROTOCOL
INITIAL = "initial.safetensors"
LOWER_IS_BETTER = "lower-is-better.json"


def aggregator(path: Path) -> int:
    """Run the aggregator of the job that the settings name."""
    settings = AggregatorSettings.load(path)
    settings.start_logging("aggregator")
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


def retire(path: Path) -> int:
    """Delete the topics of a finished job, and leave a record of them; the settings are the aggregator's."""
    settings = AggregatorSettings.load(path)
    settings.start_logging("retire")
    with closing(open_log(settings.log)) as log:
        retire_job(log, settings.read_job().log_name, settings.read_roster().aggregator)
    return 0


PROGRAMS = {
    "aggregator": aggregator,
    "initial-model": initial_model,
    "trainer": run_trainer,
    "retire": retire,
    "ledger": run_ledger,
    "inspect": run_inspection,
}


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
        case BudgetError():
            return EXIT_EXHAUSTED
        case _:
            return EXIT_FAILED
