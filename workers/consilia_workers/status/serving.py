"""From a program's settings to a running status port, and what a program in a pod does when it is asked to end."""

import os
import signal
from threading import Event
from types import FrameType

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics

from consilia.api import FederatedJob
from consilia.progress import JobProgress, PartProgress
from consilia.wire.identity import Identity, Roster
from consilia_workers.outbox import Outbox
from consilia_workers.status import aggregator_metrics, trainer_metrics
from consilia_workers.status.board import Board
from consilia_workers.status.job_status import JobStatus
from consilia_workers.status.pulse import Pulse
from consilia_workers.status.routes import Routes
from consilia_workers.status.server import StatusServer
from consilia_workers.status.trainer_status import TrainerStatus, starting

_ENDED_BY_SIGTERM = 128 + signal.SIGTERM


def serve_job(port: int, job: FederatedJob, roster: Roster, identity: Identity) -> JobStatus:
    """The status of an aggregator, on `port` from now on.

    Raises:
        RunError: the port cannot be had.
    """
    absent = tuple(PartProgress(name=name, state="Absent") for name in sorted(roster.hospitals))
    board = Board(identity, JobProgress(job=job.log_name, version=0, phase="Starting", hospitals=absent))
    registry, pulse = new_registry(), Pulse()
    status = JobStatus(job, roster, board, aggregator_metrics.Metrics(registry), pulse)
    StatusServer(port, Routes(board, registry, pulse)).start()
    return status


def serve_trainer(port: int, job: FederatedJob, identity: Identity, outbox: Outbox) -> TrainerStatus:
    """The status of a trainer, on `port` from now on; `outbox` knows the attempts of earlier processes.

    Raises:
        RunError: the port cannot be had.
    """
    first = starting(job, identity.name, outbox.attempts().total)
    board, registry = Board(identity, first), new_registry()
    status = TrainerStatus(job, first, board, trainer_metrics.Metrics(registry))
    StatusServer(port, Routes(board, registry, Pulse())).start()
    return status


def new_registry() -> CollectorRegistry:
    """With the process's own figures: CPU, memory, open files."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def end_at_once_on_sigterm() -> None:
    """Being killed anywhere is what the programs are made for; but the first process of a container must say so itself.

    The system ends no process 1 by a signal that it does not handle.
    """

    def end(_signal: int, _frame: FrameType | None) -> None:
        os._exit(_ENDED_BY_SIGTERM)

    signal.signal(signal.SIGTERM, end)


def stay_until_sigterm() -> None:
    """The work is done; the status is served on."""
    asked = Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    asked.wait()
