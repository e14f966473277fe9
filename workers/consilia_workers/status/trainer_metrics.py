"""Every metric that a trainer exports. No figure about the hospital's data or its training is among them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consilia import __version__
from consilia_workers.status.buckets import DURATIONS
from consilia_workers.status.gpus import GpuMemory


class Metrics:
    """The definitions. `job` is the FederatedJob's name, `hospital` the hospital's on the roster."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers them all."""
        self.build = Gauge(
            "consilia_build_info", "Always 1; what runs here.", ["program", "version"], registry=registry
        )
        self.build.labels("trainer", __version__).set(1)
        self.training_seconds = Histogram(
            "consilia_training_duration_seconds",
            "How long the local training of a round took.",
            ["job", "hospital"],
            buckets=DURATIONS,
            registry=registry,
        )
        self.attempts = Counter(
            "consilia_trainer_attempts_total",
            "Trainings begun by this process; one that is begun again after a crash counts again.",
            ["job", "hospital"],
            registry=registry,
        )
        self.updates = Counter(
            "consilia_trainer_updates_total", "Updates sent by this process.", ["job", "hospital"], registry=registry
        )
        self.gpus = Gauge(
            "consilia_trainer_gpus", "GPUs that the job asks for at each hospital.", ["job", "hospital"],
            registry=registry,
        )  # fmt: skip
        self.epsilon = Gauge(
            "consilia_privacy_epsilon_spent",
            "What the job has spent of the dataset's privacy, by the hospital's own account. 0 without differential "
            "privacy: nothing is bounded then, so nothing is charged.",
            ["job", "hospital", "dataset"],
            registry=registry,
        )
        self.gpu_memory = GpuMemory(registry)

    def begin(self, job: str, hospital: str, dataset: str, gpus: int) -> None:
        """Have every series, so that the first event is an increase and not a beginning."""
        for each in (self.training_seconds, self.attempts, self.updates):
            each.labels(job, hospital)
        self.gpus.labels(job, hospital).set(gpus)
        self.gpu_memory.begin(job, hospital)
        self.epsilon.labels(job, hospital, dataset).set(0)
