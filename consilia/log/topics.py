"""The names of topics, groups and producers. Hospital before job, and a dot after it, so that prefix ACLs hold."""


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
    """A trainer's name as a producer."""
    return f"{hospital}.{job}"
