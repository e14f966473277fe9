"""From a trainer's settings to a private learner and its purse: first processes are confined, then secrets read."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from torch.utils import _pytree as pytree

from consilia.api import FederatedJob
from consilia.errors import ManifestError, TaskError
from consilia.ledger.content import Content, content_of, content_of_bytes
from consilia.ledger.interface import PrivacyLedger
from consilia.privacy.plan import JobPlan, make_plan, noise_over_clipping_norm
from consilia.wire.identity import canonical
from consilia_workers.audit.own import OwnAudit
from consilia_workers.figures import KeptMetrics, Metrics, OpenMetrics
from consilia_workers.learner import LocalLearner
from consilia_workers.learning import Learning
from consilia_workers.privacy.charged_metrics import ChargedMetrics
from consilia_workers.privacy.cohort import Cohort
from consilia_workers.privacy.graph import GraphDescription
from consilia_workers.privacy.perturbed_learner import PerturbedLearner
from consilia_workers.privacy.private_learner import PrivateLearner
from consilia_workers.privacy.rebuilding import rebuild
from consilia_workers.privacy_files import AUDIT, CANARIES, KEPT_METRICS, TASK_OUTPUT
from consilia_workers.sandbox import roles
from consilia_workers.sandbox.keeper import Confined, Confinement
from consilia_workers.sandbox.records import Records, count_of
from consilia_workers.settings import TrainerSettings
from consilia_workers.source import DataSource, Split
from consilia_workers.spending import Purse

logger = logging.getLogger("consilia.trainer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What runs confined, or came from there; no secret was in memory yet."""

    job: FederatedJob
    settings: TrainerSettings
    records: dict[Split, Records]
    """Empty for mechanisms that perturb a finished update."""
    graph: GraphDescription | None
    in_the_dark: Confined | None
    """The learner that sees the data, for those mechanisms."""


def prepare(settings: TrainerSettings, job: FederatedJob, running: ExitStack) -> Prepared:
    """Fork and confine what runs the task's code; ended with `running`. Call it before anything secret is read.

    Raises:
        TaskError: the task's code failed, does what it may not, or does not find the data that it expects.
        RunError: the kernel cannot confine a process, and the settings demand it.
    """
    assert job.spec.privacy is not None, "only private jobs are prepared"
    source = DataSource(hospital=settings.hospital, path=settings.data, parameters=settings.data_parameters)
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    near = _near_data(settings)
    if job.spec.privacy.mechanism != "DPSGD":
        learner = running.enter_context(Confined("learns from the data", lambda: roles.learner(job, source), near))
        return Prepared(job=job, settings=settings, records={}, graph=None, in_the_dark=learner)
    # One after the other: who describes the task has ended before anybody reads data.
    with Confined("describes the task", lambda: roles.describer(job), _far_from_data(settings)) as describer:
        graph = GraphDescription.from_json(bytes(describer.ask({}).body))
    if graph.custom_parameter_groups:
        message = f"{job.spec.task.entrypoint} overrides parameter_groups(), which DPSGD does not carry over."
        raise TaskError(message, remedy="Remove it: one learning rate for all parameters.")
    reader = running.enter_context(Confined("reads the data", lambda: roles.reader(job, source), near))
    records = {split: Records(reader, split) for split in Split}
    if job.spec.privacy.unit == "Patient":
        _ = records[Split.TRAIN].patients
    if all(each.whole for each in records.values()):
        reader.end()  # whoever is asked nothing more can tell nothing by ending, or by taking its time
    return Prepared(job=job, settings=settings, records=records, graph=graph, in_the_dark=None)


def _far_from_data(settings: TrainerSettings) -> Confinement:
    hidden = (*_secrets(settings), *([settings.data] if settings.data else []))
    return Confinement(hidden=hidden, required=settings.confinement == "Required")


def _secrets(settings: TrainerSettings) -> tuple[Path, ...]:
    """What the task's code never reads, with or without data: keys, the ledger, and what this hospital keeps."""
    scheme, _, rest = (settings.ledger or "").partition("://")
    ledger = [Path(unquote(rest))] if scheme == "file" else []
    return (settings.key, settings.state, *ledger, *([settings.ledger_key] if settings.ledger_key else []))


def _near_data(settings: TrainerSettings) -> Confinement:
    return Confinement(
        readable=(settings.data,) if settings.data else (),
        hidden=_secrets(settings),
        output=settings.state / TASK_OUTPUT,
        discreet=True,
        required=settings.confinement == "Required",
    )


def open_private(found: Prepared, ledger: PrivacyLedger, job_name: str) -> Learning:
    """The learner, its purse filled with what the whole job needs.

    Raises:
        BudgetError: the budget does not afford it.
        LedgerError: the ledger is damaged, or the data belongs to another unit's account.
        ManifestError: the job hides another unit than the Dataset, or its ε is too small for what it releases beside
            training.
    """
    job, settings = found.job, found.settings
    if job.spec.privacy and job.spec.privacy.unit != settings.unit:
        message = f"the job hides each {job.spec.privacy.unit}, the Dataset {job.spec.dataset} each {settings.unit}."
        raise ManifestError(message, remedy=f"Set privacy.unit: {settings.unit} in the job.")
    account = ledger.register(job.spec.dataset, _content(found, ledger.content_key()), settings.unit)
    if settings.budget is not None:
        ledger.set_budget(account, settings.budget.as_budget())
    cohort = _cohort(found)
    plan = make_plan(job.spec, cohort.public)
    purse = Purse(ledger, account, job_name, plan)
    purse.open()
    learner = _learner(found, cohort, plan)
    metrics = _metrics(job, learner, purse, settings.state / KEPT_METRICS)
    return Learning(learner=learner, spending=purse, metrics=metrics, audit=_audit(found, learner, purse))


def _cohort(found: Prepared) -> Cohort:
    settings, privacy = found.settings, found.job.spec.privacy
    assert privacy is not None, "only private jobs are prepared"
    by_patient = privacy.unit == "Patient"
    if found.in_the_dark:
        count = count_of(found.in_the_dark.ask({"ask": "open"}).head.get("records"))
        return Cohort.of(count, None, by_patient=False, told=settings.public_size)
    records = found.records[Split.TRAIN]
    patients = records.patients if by_patient else None
    return Cohort.of(records.count, patients, by_patient=by_patient, told=settings.public_size)


def _content(found: Prepared, key: bytes) -> Content:
    """What the ledger knows the data by: its files; or, for data that a task brings along, the task, and the records.

    The task alone is all that is seen of data that is learned from in the dark. It goes before the data set's name,
    which anybody may change, and leaves out what the task is made with, which the researcher changes from job to job.
    """
    settings = found.settings
    if settings.data is not None:
        return content_of(settings.data, key)
    brought = [settings.hospital, found.job.spec.task.entrypoint, dict(settings.data_parameters)]
    source = content_of_bytes(canonical(brought), key)
    records = b"".join(_bytes(found.records[split]) for split in Split) if found.records else b""
    known = content_of_bytes(records, key) if records else source
    return Content(known.fingerprint, (source.fingerprint.removeprefix("sha256:")[:16],))


def _bytes(records: Records) -> bytes:
    leaves = pytree.tree_leaves(records.take(np.arange(records.count)))
    return b"".join(leaf.contiguous().numpy().tobytes() for leaf in leaves)


def _learner(found: Prepared, cohort: Cohort, plan: JobPlan) -> LocalLearner:
    job, privacy = found.job, found.job.spec.privacy
    assert privacy is not None, "only private jobs are prepared"
    if found.in_the_dark:
        return PerturbedLearner(job, found.in_the_dark, plan, cohort.public)
    assert found.graph is not None, "DPSGD has a graph"
    canaries = found.settings.state / CANARIES
    learner = PrivateLearner(job, rebuild(found.graph), found.records, plan, cohort, canaries)
    logger.info(
        "DP-SGD by %s: noise %.4g, sampling rate %s, %d steps a round",
        learner.style.style,
        noise_over_clipping_norm(plan.training),
        plan.training.sample_rate,
        plan.training.steps,
    )
    return learner


def _audit(found: Prepared, learner: LocalLearner, purse: Purse) -> Callable[[bytearray | None], None] | None:
    if not isinstance(learner, PrivateLearner):
        return None
    settings = found.settings
    audit = OwnAudit(
        job=found.job,
        hospital=settings.hospital,
        learner=learner,
        spending=purse,
        path=settings.state / AUDIT,
    )
    return audit.conclude


def _metrics(job: FederatedJob, learner: LocalLearner, purse: Purse, kept: Path) -> Metrics:
    own = KeptMetrics(OpenMetrics(job, learner), kept)
    privacy = job.spec.privacy
    if privacy and privacy.evaluation == "Charged" and isinstance(learner, PrivateLearner):
        return ChargedMetrics(job, learner, purse, own)
    return own
