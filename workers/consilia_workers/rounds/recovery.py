"""Where a job stands, read back from the log alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from consilia.errors import RecordGoneError
from consilia.log import Log, follow, topics
from consilia.wire.identity import PublicKey
from consilia.wire.messages import (
    EvaluationOpened,
    FromAggregator,
    JobFinished,
    RoundClosed,
    RoundExtended,
    RoundOpened,
)
from consilia_workers.model_reader import VERSION, chunk_index
from consilia_workers.rounds.combining import Stored
from consilia_workers.rounds.history import History
from consilia_workers.rounds_reader import RoundsReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the rounds topic says."""

    closed: int = 0
    """The last closed round; 0 before the first."""
    opened: RoundOpened | None = None
    """The open round, if one is."""
    extensions: int = 0
    """How often its deadline was moved."""
    evaluation: EvaluationOpened | None = None
    finished: JobFinished | None = None
    last: RoundClosed | None = None
    """What the last closed round said."""

    history: History = field(default_factory=History)
    """What else it tells."""

    def after(self, message: FromAggregator, at: float) -> "Standing":
        """The standing once `message` was said, `at` in seconds since the epoch."""
        return replace(self._now(message), history=self.history.after(message, at))

    def _now(self, message: FromAggregator) -> "Standing":
        match message:
            case RoundOpened():
                return replace(self, opened=message, extensions=0)
            case RoundExtended():
                return replace(self, extensions=message.extension)
            case RoundClosed():
                return replace(self, closed=message.round, opened=None, extensions=0, last=message)
            case EvaluationOpened():
                return replace(self, evaluation=message)
            case JobFinished():
                return replace(self, finished=message)

    def resumed(self, deadline: float) -> "Standing":
        """With another deadline, in seconds since the epoch, for what was open before a restart."""
        return replace(self, history=replace(self.history, deadline=deadline))


def read_standing(log: Log, job: str, key: PublicKey) -> Standing:
    """Fold the rounds topic.

    Raises:
        RefusedMessage: a message on it is of another version of Consilia.
    """
    standing = Standing()
    for heard in RoundsReader(log, job, key).news():
        standing = standing.after(heard.message, heard.timestamp)
    return standing


def find_model(log: Log, job: str, version: int) -> Stored:
    """Where the chunks of the model lie that round `version` gave; 0 is the initial model.

    Raises:
        RecordGoneError: it is not there (any more).
    """
    topic = topics.model(job)
    if stored := find_chunks(log, topic, version).get("model"):
        return stored
    raise RecordGoneError(f"model {version} is not on {topic}.")


def find_chunks(log: Log, topic: str, version: int) -> dict[str, Stored]:
    """Where the chunks of one version lie on a compacted topic, by what stands in their keys before the last slash.

    Raises:
        RecordGoneError: a chunk in the middle is missing.
    """
    found: dict[str, dict[int, int]] = {}
    for record in follow(log, topic, 0):
        if record.headers.get(VERSION) == str(version) and record.key:
            found.setdefault(record.key.rpartition("/")[0], {})[chunk_index(record)] = record.offset
            log.keep(record)
    return {name: Stored(topic=topic, offsets=_in_order(topic, offsets)) for name, offsets in found.items()}


def _in_order(topic: str, offsets: Mapping[int, int]) -> Sequence[int]:
    if sorted(offsets) != list(range(len(offsets))):
        raise RecordGoneError(f"chunks are missing on {topic}: only {len(offsets)} are there.")
    return [offsets[index] for index in sorted(offsets)]
