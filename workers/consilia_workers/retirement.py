"""The end of a job on the log: what was there is recorded on `consilia.retired`, then its topics are deleted.

Killed at any point and repeated, it ends the same: the record is written before anything is deleted, and the rounds
topic, from which the record can be told to be this job's, goes last.
"""

import logging
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Annotated, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from consilia.errors import RefusedMessage, RunError
from consilia.log import Log, Record, follow, topics
from consilia.wire.identity import PublicKey, canonical
from consilia.wire.messages import Count, Digest, FromAggregator, JobName, claimed, from_aggregator
from consilia_workers.rounds.recovery import Standing

logger = logging.getLogger("consilia.retirement")


class Retired(BaseModel):
    """What is left of a job: the value of its record on `consilia.retired`, as canonical JSON (RFC 8785)."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    job: JobName
    """Its name on the log; the record's key, too."""
    outcome: Literal["Succeeded", "Failed", "Unfinished"]
    """Unfinished: it was retired by force."""
    reason: Annotated[str, Field(max_length=63)] = ""
    """In one word, as the aggregator gave it."""
    rounds: Count
    """How many were closed."""
    model: Digest | None = None
    """Of the last global model; absent where no round was closed."""
    verified: bool
    """Whether the aggregator's signatures were checked; if not, they can be on an exported copy."""
    topics: dict[str, Count]
    """All that were there, each with the offset that its next record would have had."""
    rounds_digest: Digest
    """Of the rounds topic, as `export_rounds` writes it: what `sha256sum` prints for an exported copy."""
    when: float
    """In seconds since the epoch."""


def retire(log: Log, job: str, key: PublicKey | None, *, force: bool = False) -> Retired:
    """Record what was there, then delete the job's topics; whoever of the job still writes is fenced or fails.

    `job` is its name on the log; `key`, the aggregator's, is None where the log's own access rules are trusted to let
    nobody else write on the rounds topic. Repeating it does no harm, and completes what was cut off.

    Raises:
        RunError: the job is not finished and `force` is not set, or the log knows no such job.
        LogAccessError: the log does not allow it.
    """
    existing = topics.of_job(job, log.topics())
    known = retired_jobs(log).get(job)
    if not existing:
        return known or _nothing_there(log, job)
    if known is None or topics.rounds(job) in existing:
        known = _record(log, job, key, known, force=force)
    for topic in sorted(existing, key=lambda topic: topic == topics.rounds(job)):
        log.delete_topic(topic)
    logger.info("retired %s: %d topics deleted", job, len(existing))
    return known


def _nothing_there(log: Log, job: str) -> NoReturn:
    others = ", ".join(topics.jobs(log.topics())) or "no job"
    message = f"the log has no topics of the job {job}; it has those of {others}."
    raise RunError(message, remedy="Give the job's name as it is on the log.")


def _record(log: Log, job: str, key: PublicKey | None, known: Retired | None, *, force: bool) -> Retired:
    """Append the record, unless one that says the same is there from an attempt that was cut off."""
    if describe(log, job, key).outcome == "Unfinished" and not force:
        message = f"the job {job} is not finished, so its topics are still needed."
        raise RunError(message, remedy="Wait for its end; or end its processes, and retire it with --force.")
    # Of two at once one is fenced; so is an aggregator that still runs, and could add to what is about to be recorded.
    producer = log.producer(topics.aggregator(job))
    found = describe(log, job, key)
    if known and known.rounds_digest == found.rounds_digest:
        return known
    log.create_topic(topics.RETIRED, compacted=True)
    with producer.transaction() as transaction:
        value = canonical(found.model_dump(mode="json", by_alias=True, exclude_none=True))
        transaction.append(topics.RETIRED, value, key=job)
    return found


def describe(log: Log, job: str, key: PublicKey | None) -> Retired:
    """What would be recorded now; `key` is as for `retire`."""
    standing, digest = Standing(), sha256()
    for record in follow(log, topics.rounds(job), 0):
        digest.update(_line(record))
        for message in _heard(record, job, key):
            standing = standing.after(message, record.timestamp)
    finished = standing.finished
    return Retired(
        job=job,
        outcome=finished.outcome if finished else "Unfinished",
        reason=finished.reason if finished else "",
        rounds=standing.closed,
        model=standing.last.model.sha256 if standing.last else None,
        verified=key is not None,
        topics={topic: log.end_offset(topic) for topic in topics.of_job(job, log.topics())},
        rounds_digest=f"sha256:{digest.hexdigest()}",
        when=time(),
    )


def _heard(record: Record, job: str, key: PublicKey | None) -> Iterator[FromAggregator]:
    try:
        yield from_aggregator(record, key=key, job=job) if key else claimed(record, job=job)
    except RefusedMessage as error:
        logger.warning("passed over: %s", error)


def retired_jobs(log: Log) -> dict[str, Retired]:
    """Everything recorded on `consilia.retired`, by the job's name on the log."""
    found: dict[str, Retired] = {}
    for record in follow(log, topics.RETIRED, 0):
        try:
            retired = Retired.model_validate_json(bytes(record.value), strict=True)
        except ValidationError as error:
            logger.warning("passed over: offset %d of %s: %s", record.offset, record.topic, error)
        else:
            found[retired.job] = retired
    return found


def export_rounds(log: Log, job: str, path: Path) -> None:
    """Write the rounds topic to a file, a JSON object a line: offset, key, timestamp, headers, and value as text.

    A value that is no text in UTF-8 stands in `base64` instead. The same topic always gives the same bytes (RFC 8785).
    """
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.writelines(map(_line, follow(log, topics.rounds(job), 0)))
    partial.replace(path)


def _line(record: Record) -> bytes:
    value = bytes(record.value)
    try:
        shown = {"value": value.decode()}
    except UnicodeDecodeError:
        shown = {"base64": b64encode(value).decode()}
    place = {"offset": record.offset, "key": record.key, "timestamp": record.timestamp}
    return canonical({**place, "headers": dict(record.headers), **shown}) + b"\n"
