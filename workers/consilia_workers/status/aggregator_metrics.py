"""Every metric that an aggregator exports."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consilia import __version__
from consilia.errors import Refusal
from consilia.progress import PartState
from consilia_workers.status.buckets import DURATIONS

PARTS = get_args(PartState)
RESULTS = ("Complete", "Partial", "Failed")
PHASES = ("transfer", "train", "wait", "aggregate")


class Metrics:
    """The definitions. `job` is the FederatedJob's name; its namespace is the pod's, which the scrape adds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers them all."""
        self.build = Gauge(
            "consilia_build_info", "Always 1; what runs here.", ["program", "version"], registry=registry
        )
        self.build.labels("aggregator", __version__).set(1)
        self.round_seconds = Histogram(
            "consilia_round_duration_seconds",
            "How long rounds took, from the announcement to the published result.",
            ["job"],
            buckets=DURATIONS,
            registry=registry,
        )
        self.phase_seconds = Histogram(
            "consilia_round_phase_duration_seconds",
            "Where a round's time went; the phases add up to it. Along the update that came last: train, as the "
            "hospital says; transfer, the rest until it was here (model down, evaluation, update up). Then wait, for "
            "hospitals that did not come; and aggregate.",
            ["job", "phase"],
            buckets=DURATIONS,
            registry=registry,
        )
        self.rounds = Counter(
            "consilia_rounds_total",
            "Rounds that ended: Complete, with all hospitals that were there; Partial, without stragglers; Failed.",
            ["job", "result"],
            registry=registry,
        )
        self.participants = Gauge(
            "consilia_round_participants", "Hospitals of the job, by where each stands now.", ["job", "state"],
            registry=registry,
        )  # fmt: skip
        self.update_bytes = Counter(
            "consilia_update_bytes_total",
            "Payloads: received, of updates that passed every check; sent, of global models, each counted once "
            "however many hospitals fetch it.",
            ["job", "direction"],
            registry=registry,
        )
        self.rejected = Counter(
            "consilia_updates_rejected_total", "Messages of hospitals that were refused.", ["job", "reason"],
            registry=registry,
        )  # fmt: skip
        self.round = Gauge("consilia_job_round", "The open round, or the last one.", ["job"], registry=registry)
        self.rounds_asked = Gauge("consilia_job_rounds", "Rounds that the job asks for.", ["job"], registry=registry)
        self.deadline = Gauge(
            "consilia_job_deadline_timestamp_seconds",
            "Until when hospitals may send for the open round, in seconds since 1970; 0 while none is open.",
            ["job"],
            registry=registry,
        )
        self.metric = Gauge(
            "consilia_job_metric",
            "The last evaluation of the global model: means over the hospitals, by the names in the job.",
            ["job", "name"],
            registry=registry,
        )

    def begin(self, job: str, rounds: int) -> None:
        """Have every series whose labels are known, so that the first event is an increase and not a beginning."""
        self.rounds_asked.labels(job).set(rounds)
        self.round.labels(job).set(0)
        self.deadline.labels(job).set(0)
        self.round_seconds.labels(job)
        for phase in PHASES:
            self.phase_seconds.labels(job, phase)
        for result in RESULTS:
            self.rounds.labels(job, result)
        for state in PARTS:
            self.participants.labels(job, state)
        for direction in ("received", "sent"):
            self.update_bytes.labels(job, direction)
        for reason in Refusal:
            self.rejected.labels(job, reason)
