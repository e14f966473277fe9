"""The trainer as a program: its parts put together in the order that keeps secrets from the task's code."""

import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from consilia.api import FederatedJob
from consilia.errors import BudgetError, DataError, LogAccessError, PermanentError, RunError
from consilia.ledger.opening import open_ledger
from consilia.log.opening import open_log
from consilia.wire.identity import Identity, Roster
from consilia_workers.learner import make_learner
from consilia_workers.learning import Begin, Learning
from consilia_workers.memory import PRIVATE_STEPS, UPDATES, reuse_freed_memory
from consilia_workers.observers import UNOBSERVED, TrainerObserver
from consilia_workers.outbox import Outbox
from consilia_workers.settings import TrainerSettings
from consilia_workers.source import DataSource
from consilia_workers.status.serving import end_at_once_on_sigterm, serve_trainer
from consilia_workers.trainer import Trainer
from consilia_workers.trainer import run as run_trainer
from consilia_workers.uplink import Uplink

EXIT_TRY_AGAIN = os.EX_TEMPFAIL
EXIT_EXHAUSTED = os.EX_NOPERM


def main(path: Path) -> int:
    """Run one hospital's trainer of the job that the settings name."""
    settings = TrainerSettings.load(path)
    settings.start_logging(settings.hospital)
    job = settings.read_job()
    reuse_freed_memory(PRIVATE_STEPS if job.spec.privacy else UPDATES)
    if settings.threads:
        limit_threads(settings.threads)
    with ExitStack() as confined:
        # What runs the task's code near private data is forked first: nothing secret is in memory, no thread runs.
        begin = _private(settings, job, confined) if job.spec.privacy else lambda _identity: _open(settings, job)
        identity, roster = Identity.load(settings.hospital, settings.key), settings.read_roster()
        roster.require(identity)
        part = _Part(settings, job, identity, roster, begin)
        return part.take(UNOBSERVED) if settings.status_port is None else _observed(part, settings.status_port)


def _open(settings: TrainerSettings, job: FederatedJob) -> Learning:
    if settings.budgeted:
        message = (
            f"the data {job.spec.dataset} of {settings.hospital} has a privacy budget, but the job has no privacy."
        )
        raise DataError(message, remedy="Set spec.privacy in the job.")
    return Learning(learner=make_learner(job, source_of(settings)))


def source_of(settings: TrainerSettings) -> DataSource:
    """Where the hospital's data is."""
    return DataSource(hospital=settings.hospital, path=settings.data, parameters=settings.data_parameters)


def _private(settings: TrainerSettings, job: FederatedJob, confined: ExitStack) -> Begin:
    from consilia_workers.privacy import setup  # noqa: PLC0415 (torch takes seconds to load)

    try:
        if settings.ledger is None:
            raise RunError("a job with privacy needs the setting ledger.", remedy="Say where the hospital's ledger is.")
        address, found = settings.ledger, setup.prepare(settings, job, confined)
    except PermanentError as error:
        return _failing(error)

    def begin(identity: Identity) -> Learning:
        signer = Identity.load(settings.hospital, settings.ledger_key) if settings.ledger_key else identity
        return setup.open_private(found, open_ledger(address, signer), settings.ledger_job or job.log_name)

    return begin


def _failing(error: PermanentError) -> Begin:
    """The others are told as soon as there is a way to them."""

    def begin(_identity: Identity) -> Learning:
        raise error

    return begin


@dataclass(frozen=True, slots=True)
class _Part:
    """One hospital's part in a job, about to begin."""

    settings: TrainerSettings
    job: FederatedJob
    identity: Identity
    roster: Roster
    begin: Begin

    @property
    def outbox(self) -> Outbox:
        """Where finished updates lie."""
        return Outbox(self.settings.state / "outbox")

    def take(self, observer: TrainerObserver) -> int:
        """Take part until the job is over."""
        outbox, log = self.outbox, open_log(self.settings.log)
        uplink = Uplink(log, self.job.log_name, self.identity)
        try:
            learning = self.begin(self.identity)
            observer.spent(learning.spending.epsilon())
            trainer = Trainer(self.job, learning, log, uplink, self.roster, outbox, observer)
        except PermanentError as error:
            uplink.leave(error)
            raise
        try:
            run_trainer(trainer)
            learning.spending.finish()
        except PermanentError:
            _audit(learning, None)  # what left before is to be looked at all the same
            raise
        _audit(learning, trainer.final)
        return 0


def _audit(learning: Learning, model: bytearray | None) -> None:
    if learning.audit:
        learning.audit(model)


def _observed(part: _Part, port: int) -> int:
    """The same in a cluster, where it is served how it goes."""
    end_at_once_on_sigterm()
    status = serve_trainer(port, part.job, part.identity, part.outbox)
    try:
        part.take(status)
    except BudgetError as error:
        status.exhausted(str(error))
        raise
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


def limit_threads(count: int) -> None:
    """Bound the threads of the arithmetic, whether PyTorch is loaded already (in a fork) or will be."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(count)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
