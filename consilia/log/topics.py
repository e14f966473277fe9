"""The names of topics, groups and producers. Hospital before job, and a dot after it, so that prefix ACLs hold."""

import re
from collections.abc import Iterable

from consilia.errors import LogError

LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")
RETIRED = "consilia.retired"
"""What is left of the jobs whose topics are deleted: one record each, by the job's name; compacted."""


def rounds(job: str) -> str:
    """Aggregator → all: what opens, closes and ends."""
    return f"consilia.rounds.{job}"


def model(job: str) -> str:
    """Aggregator → all: the global model in chunks; compacted."""
    return f"consilia.model.{job}"


def state(job: str) -> str:
    """Aggregator → itself: the server optimizer's state in chunks; compacted."""
    return f"consilia.state.{job}"


def up(hospital: str, job: str) -> str:
    """One hospital → aggregator: updates and protocol messages."""
    return f"consilia.up.{hospital}.{job}"


def aggregator(job: str) -> str:
    """The aggregator's name as a producer and as a consumer group."""
    return f"consilia.aggregator.{job}"


def trainer(hospital: str, job: str) -> str:
    """A trainer's name as a producer; the first word keeps a hospital called `consilia` off the aggregator's name."""
    return f"consilia.trainer.{hospital}.{job}"


def offers(hospital: str) -> str:
    """Hub → one hospital: which jobs it is offered; compacted."""
    return f"consilia.offers.{hospital}"


def reports(hospital: str) -> str:
    """One hospital → hub: that it is there, and what came of the offers; compacted."""
    return f"consilia.reports.{hospital}"


def correspondent(hospital: str) -> str:
    """A hospital's operator's name as a producer."""
    return f"consilia.correspondent.{hospital}"


HUB = "consilia.hub"
"""The hub's operator's name as a producer."""


def of_job(job: str, existing: Iterable[str]) -> list[str]:
    """Those of the `existing` topics that are the job's, whichever hospitals it has."""
    uploads = re.compile(rf"consilia\.up\.[^.]+\.{re.escape(job)}")
    own = {rounds(job), model(job), state(job)}
    return [topic for topic in existing if topic in own or uploads.fullmatch(topic)]


def jobs(existing: Iterable[str]) -> list[str]:
    """The names of the jobs that have a rounds topic among the `existing` ones."""
    prefix = rounds("")
    return [topic.removeprefix(prefix) for topic in existing if topic.startswith(prefix)]


def check(topic: str) -> None:
    """Refuse a name that Kafka would refuse, so that a job that runs on one log runs on the other.

    Raises:
        LogError: the name is empty, too long or has other characters than letters, digits, dot, hyphen, underscore.
    """
    if not LEGAL.fullmatch(topic) or topic in {".", ".."}:
        raise LogError(
            f"{topic!r} cannot name a topic.", remedy="Use 1 to 249 letters, digits, dots, hyphens and underscores."
        )
