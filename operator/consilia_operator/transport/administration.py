"""What is done on a Kafka as its administrator: users and access rules of jobs brought about, and taken away.

Everything here waits for the brokers, so it is called in a thread; see `Deputy`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka import KafkaAdminClient

from consilia.certificates import write_private
from consilia.kafka.access import Access
from consilia.kafka.acls import Parties, member_rules, rules
from consilia.kafka.cluster import Cluster
from consilia.kafka.connection import make_admin
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.users import Users
from consilia.log import topics
from consilia_operator.transport.interface import CA_FILE, CERTIFICATE_FILE, KEY_FILE

AGGREGATORS = "aggregator."
"""How the user of a job's aggregator begins; the job's name on the log follows."""


class _OperatorsSettings(KafkaSettings):
    @property
    def principal(self) -> str:
        """In messages no path of a moment: they stand in conditions, which shall change only when something does."""
        return "the operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How an administrator gets to a Kafka; the files' contents, not their places."""

    servers: tuple[str, ...]
    trust: bytes
    certificate: bytes
    key: bytes = field(repr=False)

    @contextmanager
    def settings(self) -> Iterator[KafkaSettings]:
        """As settings, within the block; kafka-python wants files."""
        with TemporaryDirectory() as name:
            folder = Path(name)
            for file, content in ((CA_FILE, self.trust), (CERTIFICATE_FILE, self.certificate), (KEY_FILE, self.key)):
                write_private(folder / file, content)
            yield _OperatorsSettings(
                bootstrap_servers=self.servers,
                tls=True,
                ca=folder / CA_FILE,
                certificate=folder / CERTIFICATE_FILE,
                key=folder / KEY_FILE,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job's parties on a Kafka: each a user with a password."""

    log_name: str
    aggregator: str = field(repr=False)
    """Its password."""
    hospitals: Mapping[str, str] = field(repr=False)
    """Passwords by the hospitals' names, which are their users' too."""
    members: tuple[str, ...] = ()
    """Hospitals in other clusters, which come with certificates."""

    @property
    def passwords(self) -> dict[str, str]:
        """By user."""
        return {aggregator_user(self.log_name): self.aggregator, **self.hospitals}

    @property
    def parties(self) -> Parties:
        """Whom Kafka takes them for."""
        hospitals = {name: f"User:{name}" for name in (*self.hospitals, *self.members)}
        return Parties(aggregator=f"User:{aggregator_user(self.log_name)}", hospitals=hospitals)


def aggregator_user(log_name: str) -> str:
    """The user that a job's aggregator is."""
    return AGGREGATORS + log_name


def bring_about(reach: Reach, wanted: Sequence[Wanted]) -> None:
    """See that all these users and their rules are there; repeating it does no harm.

    Raises:
        LogUnavailableError: the brokers do not answer.
        LogAccessError: they do not take us for an administrator.
    """
    with _administrator(reach, "prepare jobs") as (settings, admin):
        Users(settings, admin).put({name: word for each in wanted for name, word in each.passwords.items()})
        # Not asked which are there: Kafka passes over those, and to list all rules of all jobs takes longer than this.
        every = dict.fromkeys(rule for each in wanted for rule in rules(each.log_name, each.parties))
        Access(settings, admin).add(list(every))


def take_away(reach: Reach, log_name: str) -> None:
    """Topics, rules and the aggregator's user of a job; the hospitals' users are other jobs' too.

    Raises:
        LogUnavailableError: the brokers do not answer.
    """
    with reach.settings() as settings, plain_errors(settings, doing="retire a job"):
        cluster = Cluster(settings, make_admin(settings))
        try:
            for topic in topics.of_job(log_name, cluster.topics()):
                cluster.delete(topic)
        finally:
            cluster.close()
    with _administrator(reach, "retire a job") as (settings, admin):
        user = f"User:{aggregator_user(log_name)}"
        Access(settings, admin).forget(user, [topics.rounds(log_name), topics.model(log_name)])
        Users(settings, admin).remove([aggregator_user(log_name)])


def enrol(reach: Reach, hospital: str) -> None:
    """See that a hospital in another cluster can correspond with its hub; repeating it does no harm.

    Raises:
        LogUnavailableError: the brokers do not answer.
    """
    with _administrator(reach, "admit a hospital") as (settings, admin):
        cluster = Cluster(settings, admin)
        for topic in (topics.offers(hospital), topics.reports(hospital)):
            cluster.create(topic, compacted=True)
        Access(settings, admin).add(member_rules(hospital, f"User:{hospital}"))


def enrolled(reach: Reach) -> frozenset[str]:
    """The hospitals for which `enrol` would change nothing: asked at once for all, not for one after the other.

    Raises:
        LogUnavailableError: the brokers do not answer.
    """
    with _administrator(reach, "look for hospitals") as (settings, admin):
        there = set(Cluster(settings, admin).topics())
        known = {each.rule for each in Access(settings, admin).found() if each.plain}
    prefix = topics.reports("")
    names = (topic.removeprefix(prefix) for topic in there if topic.startswith(prefix))
    return frozenset(
        name for name in names if topics.offers(name) in there and known.issuperset(member_rules(name, f"User:{name}"))
    )


def expel(reach: Reach, hospital: str) -> None:
    """Let a hospital do nothing any more, at once, on connections that are open too; its topics stay.

    Raises:
        LogUnavailableError: the brokers do not answer.
    """
    with _administrator(reach, "expel a hospital") as (settings, admin):
        Access(settings, admin).forget(f"User:{hospital}", [])


def leftovers(reach: Reach) -> list[str]:
    """The log names of all jobs that have anything here.

    Raises:
        LogUnavailableError: the brokers do not answer.
    """
    with _administrator(reach, "look for jobs") as (settings, admin):
        users = [name for name in Users(settings, admin).names() if name.startswith(AGGREGATORS)]
    with reach.settings() as settings, plain_errors(settings, doing="look for jobs"):
        cluster = Cluster(settings, make_admin(settings))
        try:
            found = topics.jobs(cluster.topics())
        finally:
            cluster.close()
    return sorted({*found, *(name.removeprefix(AGGREGATORS) for name in users)})


@contextmanager
def _administrator(reach: Reach, doing: str) -> Iterator[tuple[KafkaSettings, KafkaAdminClient]]:
    with reach.settings() as settings, plain_errors(settings, doing=doing), make_admin(settings) as admin:
        yield settings, admin
