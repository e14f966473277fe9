"""The log of a run on a Kafka cluster that others use too, and what it shares with one on a broker of the run's own.

Imported only by who chose Kafka: its client takes a while to load.
"""

import re
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from consilia.api import FederatedJob
from consilia.errors import ConsiliaError, RunError
from consilia.kafka.connection import make_admin
from consilia.kafka.diagnosis import require_entry
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.log import Log, topics
from consilia.log.opening import kafka_url, open_log
from consilia_workers.local.display import Display
from consilia_workers.local.folder import SeedFolder
from consilia_workers.local.run_log import RunLog
from consilia_workers.retirement import Retired, export_rounds, retire

EMBEDDED = "embedded"
"""What is said instead of an address to have a broker of the run's own."""
MODULES = ("consilia.kafka.log",)
"""What every party needs that talks through Kafka."""
_ADDRESSES = re.compile(r"[^/]+:[0-9]+(,[^/]+:[0-9]+)*")


def choose(kafka: str, *, keep_topics: bool, display: Display) -> RunLog:
    """What `--kafka` names: `embedded`, addresses as host:port, or a file of settings.

    Raises:
        RunError: it names none of these.
        BrokerError: no broker can be started here.
        LogError: the file of settings is not valid.
        LogAccessError, LogUnavailableError: the cluster does not let us in, or does not answer.
    """
    if kafka == EMBEDDED:
        from consilia_workers.local.embedded_run_log import EmbeddedRunLog  # noqa: PLC0415 (which needs what is here)

        return EmbeddedRunLog.ready(display)
    if Path(kafka).is_file():
        return ClusterRunLog(KafkaSettings.load(Path(kafka)), kafka_url(Path(kafka)), keep_topics=keep_topics)
    if not _ADDRESSES.fullmatch(kafka):
        message = f"--kafka {kafka.rpartition('@')[2]} is neither {EMBEDDED}, nor host:port, nor a file of settings."
        raise RunError(message, remedy="Correct it; the file is JSON, see docs/reference/kafka-settings.md.")
    return ClusterRunLog(_settings(kafka), f"kafka://{kafka}", keep_topics=keep_topics)


def _settings(addresses: str) -> KafkaSettings:
    try:
        return KafkaSettings(bootstrap_servers=tuple(addresses.split(",")))
    except ValidationError as error:
        message = f"--kafka {addresses.rpartition('@')[2]} is no list of addresses."
        raise RunError(message, remedy="Write host:port,host:port; credentials go into a file of settings.") from error


class ClusterRunLog:
    """On a cluster that outlives the run, so every seed's job has a name of its own there, and is cleared away."""

    def __init__(self, settings: KafkaSettings, url: str, *, keep_topics: bool) -> None:
        """See that the cluster lets us in, and which one it is.

        Raises:
            LogAccessError: it does not let us in.
            LogUnavailableError: it does not answer.
        """
        self._where, self._url, self._keep = settings.where, url, keep_topics
        self._cluster = _cluster_id(settings)

    modules = MODULES

    @property
    def mark(self) -> str:
        """The cluster may be reached by another address when the run is resumed."""
        return f"kafka {self._cluster}"

    @property
    def how(self) -> str:
        """With where it was found."""
        return f"with --kafka, on the cluster {self._cluster} at {self._where}"

    def serving(self, folder: Path, display: Display) -> AbstractContextManager[None]:
        """It serves, or would not have been chosen."""
        return nullcontext()

    def place(self, seed: SeedFolder) -> SeedFolder:
        """At the cluster's address."""
        return SeedFolder(seed.path, self._url)

    def named(self, job: FederatedJob, uid: UUID) -> FederatedJob:
        """With the uid, as in a cluster."""
        return with_uid(job, uid)

    def open(self, seed: SeedFolder) -> Log:
        """At once."""
        return open_log(seed.log)

    def look(self, display: Display) -> None:
        """Who waits for the cluster says so; whoever runs it must act."""

    def clear(self, job: FederatedJob, seed: SeedFolder, display: Display) -> None:
        """Keep a copy of what was said, and delete the topics. What fails here does not make the training fail."""
        if self._keep or seed.retired.exists():
            return
        try:
            retired = self._retire(job.log_name, seed)
        except ConsiliaError as error:
            display.note(f"the topics of {job.log_name} are still on Kafka at {self._where}: {error}")
        else:
            count, name = len(retired.topics), retired.job
            display.note(
                f"{count} topics of {name} deleted on Kafka at {self._where}; {topics.RETIRED} says what was there"
            )

    def _retire(self, name: str, seed: SeedFolder) -> Retired:
        with closing(open_log(self._url)) as log:
            if topics.rounds(name) in log.topics():
                export_rounds(log, name, seed.said)
            retired = retire(log, name, seed.read_roster().aggregator)
        partial = seed.retired.with_suffix(".partial")
        partial.write_text(retired.model_dump_json(by_alias=True, exclude_none=True))
        partial.replace(seed.retired)
        return retired


def with_uid(job: FederatedJob, uid: UUID) -> FederatedJob:
    """The job as if Kubernetes had made it."""
    return job.model_copy(update={"metadata": job.metadata.model_copy(update={"uid": str(uid)})})


def _cluster_id(settings: KafkaSettings) -> str:
    """Which cluster it is, whatever its address."""
    require_entry(settings, settings.connect_seconds)
    with plain_errors(settings, doing="look up the cluster"), make_admin(settings) as admin:
        return str(admin.describe_cluster()["cluster_id"])
