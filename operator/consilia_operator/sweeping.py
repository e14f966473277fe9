"""Clears away what a job leaves outside its namespace.

There is no finalizer: nothing can be stuck, and what a dead operator missed is found again. Nothing goes before the API
server itself said that the job is gone.
"""

import logging
from collections.abc import Iterable

from consilia.api.federated_job import name_on_log
from consilia.errors import ConsiliaError
from consilia_operator.context import Context
from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import FEDERATED_JOB, HOSPITAL, HOSPITAL_TASK, STATEFUL_SET
from consilia_operator.names import JOB, JOB_NAMESPACE, JOB_UID, KAFKA
from consilia_operator.store import Document, Key, key_of
from consilia_operator.transport.interface import GoneJob

logger = logging.getLogger("consilia.operator")


async def clear_away(context: Context, key: Key) -> None:
    """What is left of all jobs of that name that are no more."""
    living = await context.api.get(FEDERATED_JOB, key.namespace, key.name)
    uid = living["metadata"]["uid"] if living and not living["metadata"].get("deletionTimestamp") else None
    if uid is None:
        context.progress.forget(key)
    for task in older(context, key, uid):
        await _delete(context, task)
    context.applying.forget_labelled(None, {JOB: key.name, JOB_NAMESPACE: key.namespace}, living=uid)
    context.look_at(STATEFUL_SET, key.namespace, KAFKA)


def older(context: Context, key: Key, uid: str | None) -> list[Document]:
    """HospitalTasks of jobs that were called so, and are not the one with this uid; one by hand is of none."""
    own = {JOB: key.name, JOB_NAMESPACE: key.namespace}
    tasks = context.store.matching(HOSPITAL_TASK, None, own)
    return [task for task in tasks if task["metadata"]["labels"].get(JOB_UID, uid) != uid]


def has_older(context: Context, job: Document) -> bool:
    """Whether hospitals have tasks of a job that was made anew under the same name."""
    metadata = job["metadata"]
    return bool(older(context, key_of(FEDERATED_JOB, job), metadata["uid"]))


async def _delete(context: Context, task: Document) -> None:
    """Who refuses keeps it until the next look, and does not keep the others theirs."""
    metadata = task["metadata"]
    try:
        await context.applying.delete(HOSPITAL_TASK, metadata["namespace"], metadata["name"], uid=metadata["uid"])
    except ApiRefused as error:
        logger.warning("%s/%s cannot be deleted: %s", metadata["namespace"], metadata["name"], error)
        return
    if theirs := metadata["labels"].get(JOB_UID):
        context.remembered.forget(theirs)


async def sweep_log(context: Context, key: Key) -> None:
    """What jobs that are no more left on the managed Kafka of a namespace.

    Raises:
        ConsiliaError: of a job that could not be dealt with; the others were.
    """
    namespace, failed = key.namespace, list[ConsiliaError]()
    known = {log_name(job) for job in context.store.all(FEDERATED_JOB, namespace)}
    for orphan in await context.transport.orphans(namespace, known.__contains__):
        name = orphan.rpartition(".")[0] or orphan
        living = await context.api.get(FEDERATED_JOB, namespace, name)
        if living is None or log_name(living) != orphan:
            try:
                await context.transport.retire(GoneJob(namespace=namespace, name=name, log_name=orphan))
            except ConsiliaError as error:
                failed.append(error)
    if failed:
        raise failed[0]


async def sweep_members(context: Context, namespace: str) -> None:
    """Hospitals in other clusters whose Hospital was deleted, perhaps while no operator ran, have no rights on the log.

    Raises:
        ConsiliaError: the log does not answer.
    """
    known = {each["metadata"]["name"] for each in context.store.all(HOSPITAL, namespace)}
    for name in sorted(set(await context.transport.members(namespace)) - known):
        if await context.api.get(HOSPITAL, namespace, name) is None:
            logger.warning("there is no Hospital %s/%s any more: it is expelled from the log", namespace, name)
            await context.transport.expel(namespace, name)


def log_name(job: Document) -> str:
    """The job's name on the log, whether or not its spec is valid."""
    metadata = job["metadata"]
    return name_on_log(metadata["name"], metadata["uid"])


def orphaned(context: Context) -> Iterable[Key]:
    """Jobs that only their HospitalTasks still speak of."""
    for task in context.store.all(HOSPITAL_TASK):
        labels = task["metadata"].get("labels", {})
        key = Key(FEDERATED_JOB, labels.get(JOB_NAMESPACE, ""), labels.get(JOB, ""))
        living = context.store.get(key)
        if key.name and key.namespace and (living is None or living["metadata"]["uid"] != labels.get(JOB_UID)):
            yield key
