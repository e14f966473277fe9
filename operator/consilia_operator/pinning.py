"""What is decided once in a job's life: the aggregator's key, and who is on the roster with which key."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consilia.enrolment.keeping import PUBLIC_FILE
from consilia.wire.identity import PublicKey, Roster
from consilia_operator.context import Context
from consilia_operator.kinds import CONFIG_MAP, HOSPITAL
from consilia_operator.manifests import aggregator
from consilia_operator.store import Document, Key


@dataclass(frozen=True, slots=True)
class Pinned:
    """A job's parties."""

    roster: Roster

    @property
    def hospitals(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(sorted(self.roster.hospitals))


def recall(context: Context, job: Document) -> Pinned | None:
    """What this process knows to be pinned."""
    found: Pinned | None = context.remembered.recall(job["metadata"]["uid"], "roster")
    return found


async def recover(context: Context, job: Document) -> Pinned | None:
    """What is pinned, if anything is: an earlier process may have done so."""
    if known := recall(context, job):
        return known
    namespace, uid, name = job["metadata"]["namespace"], job["metadata"]["uid"], aggregator.roster_name(job)
    if context.remembered.recall(uid, "no roster"):
        return None
    found = await context.api.get(CONFIG_MAP, namespace, name)
    if found is None or not _owned(found, job):
        # Nobody but this process could pin it from now on, and it remembers what it pins.
        context.remembered.keep(uid, "no roster", True)
        return None
    return _remember(context, job, found)


async def pin(context: Context, job: Document, hospitals: Sequence[str]) -> Pinned | str:
    """Pin the roster, with these hospitals unless it is pinned already; or why it cannot be."""
    if known := await recover(context, job):
        return known
    secret = await context.api.create_once(aggregator.identity(job))
    if not _owned(secret, job):
        return _taken(secret)
    key = PublicKey.from_text(base64.b64decode(secret["data"][PUBLIC_FILE]).decode())
    keys = {name: PublicKey.from_text(_key_of(context, job, name)) for name in sorted(hospitals)}
    roster = Roster(aggregator=key, hospitals=keys)
    found = await context.api.create_once(aggregator.pinned_roster(job, roster.as_json()))
    return _remember(context, job, found) if _owned(found, job) else _taken(found)


def _remember(context: Context, job: Document, config_map: Mapping[str, Mapping[str, str]]) -> Pinned:
    found = Pinned(Roster.parse(json.loads(config_map["data"][aggregator.ROSTER_FILE])))
    return context.remembered.keep(job["metadata"]["uid"], "roster", found)


def _key_of(context: Context, job: Document, name: str) -> str:
    hospital = context.store.get(Key(HOSPITAL, job["metadata"]["namespace"], name))
    assert hospital is not None, "admitted hospitals are in the store"
    return str(hospital["spec"].get("publicKey") or hospital["status"]["publicKey"])


def _taken(found: Document) -> str:
    kind, metadata = found["kind"], found["metadata"]
    where = f"-n {metadata['namespace']} delete {kind.lower()} {metadata['name']}"
    return f"There is another's {kind} {metadata['name']}. An older job's goes by itself; another: kubectl {where}."


def _owned(found: Document, job: Document) -> bool:
    """Whether it is this job's: an older one's of the same name may not be gone yet."""
    owners = found["metadata"].get("ownerReferences", ())
    return any(each["uid"] == job["metadata"]["uid"] for each in owners)
