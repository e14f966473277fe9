"""The papers of an offer: job, roster and way to the log, read by the hospital and checked against its HospitalTask."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from consilia.api import FederatedJob, HospitalTask
from consilia.errors import ConsiliaError
from consilia.kafka.settings import KafkaSettings
from consilia.wire.config_digest import config_digest
from consilia.wire.identity import Roster
from consilia_operator.context import Context
from consilia_operator.kinds import CONFIG_MAP, SECRET
from consilia_operator.manifests.aggregator import JOB_FILE, ROSTER_FILE
from consilia_operator.manifests.offer import log_secret
from consilia_operator.store import Document
from consilia_operator.transport.interface import KAFKA_JSON

_DECIDED_ON = (
    "dataset", "task", "rounds", "training", "evaluation", "personalization", "privacy", "secure_aggregation",
    "compression", "stream", "transport",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """All that came with the offer."""

    job: FederatedJob
    roster: Roster
    log: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Incomplete:
    """What is wrong with them."""

    message: str
    final: bool


async def read(context: Context, task: HospitalTask, document: Document) -> Papers | Incomplete:
    """The papers of the offer, as they are there now."""
    uid = document["metadata"]["uid"]
    if (known := context.remembered.recall(uid, "papers")) is not None:
        assert isinstance(known, Papers)
        return known
    namespace, name = document["metadata"]["namespace"], document["metadata"]["name"]
    config = await context.api.get(CONFIG_MAP, namespace, name)
    secret = await context.api.get(SECRET, namespace, log_secret(name))
    if config is None or secret is None:
        return Incomplete(f"The hub has not sent the ConfigMap {name} and the Secret {log_secret(name)} yet.", False)
    log = {key: base64.b64decode(value) for key, value in secret.get("data", {}).items()}
    papers = parse(config.get("data", {}), log)
    if isinstance(papers, Papers) and (wrong := differences(task, papers)):
        return Incomplete(wrong, True)
    if isinstance(papers, Papers):
        context.remembered.keep(uid, "papers", papers)
    return papers


def parse(data: Mapping[str, str], log: Mapping[str, bytes]) -> Papers | Incomplete:
    """From what lies in the ConfigMap and the Secret."""
    try:
        job = FederatedJob.model_validate_json(data[JOB_FILE])
        KafkaSettings.model_validate_json(log[KAFKA_JSON])
        return Papers(job=job, roster=Roster.parse(json.loads(data[ROSTER_FILE])), log=log)
    except (KeyError, ValueError, ValidationError, ConsiliaError) as error:
        return Incomplete(f"The offer's papers cannot be read: {error}. Ask the hub to make the job anew.", True)


def differences(task: HospitalTask, papers: Papers) -> str:
    """In what the papers differ from what the hospital decides on; empty if they agree."""
    offered, spec = task.spec, papers.job.spec
    asked = spec.resources
    found = [name for name in _DECIDED_ON if getattr(offered, name) != getattr(spec, name)]
    if offered.gpu != (asked.gpu if asked else 0) or offered.pod_template != (asked.pod_template if asked else None):
        found.append("resources")
    if offered.job.config_digest != config_digest(papers.job):
        found.append("configDigest")
    if offered.job.roster_digest != papers.roster.digest():
        found.append("rosterDigest")
    if offered.job.uid != papers.job.metadata.uid or offered.job.name != papers.job.metadata.name:
        found.append("job")
    if offered.hospital not in papers.roster.hospitals:
        found.append("hospital")
    if not _by_that_log(task, papers):
        found.append("bootstrapServers")
    return f"The job that would run is not the one that was offered: {', '.join(found)} differ." if found else ""


def _by_that_log(task: HospitalTask, papers: Papers) -> bool:
    """Whether the way to somebody else's log is the one that was offered."""
    external = task.spec.transport.external if task.spec.transport else None
    given = KafkaSettings.model_validate_json(papers.log[KAFKA_JSON])
    return external is None or set(given.bootstrap_servers) <= set(external.bootstrap_servers)
