"""What the operator tells Prometheus. Each metric is exported by this process alone; no label grows with rounds."""

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consilia import __version__
from consilia.errors import Objection

JOB_STATES = ("Pending", "Running", "Suspended", "Succeeded", "Failed")
_RECONCILE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DENIALS = (
    "DeniedByHospital", "Invalid", "OfferMismatch", "PodTemplateRefused", "NotSupported",
    "PrivacyRequired", "UnitMismatch", "BudgetExceeded", "PrivacyImpossible",
)  # fmt: skip


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reconcile_seconds = Histogram(
            "consilia_reconcile_duration_seconds",
            "How long one look at an object took.",
            ["kind"],
            buckets=_RECONCILE_BUCKETS,
            registry=registry,
        )
        self.reconcile_errors = Counter(
            "consilia_reconcile_errors", "Looks at an object that failed and are repeated.", ["kind", "reason"],
            registry=registry,
        )  # fmt: skip
        self.watch_last_event = Gauge(
            "consilia_watch_last_event_timestamp_seconds",
            "When the watch of a kind last said something, in seconds since 1970.",
            ["kind"],
            registry=registry,
        )
        self.queue_depth = Gauge(
            "consilia_queue_depth", "Objects that are waiting to be looked at, or are being.", registry=registry
        )
        self.jobs = Gauge("consilia_jobs", "FederatedJobs by state.", ["state"], registry=registry)
        self.denials = Counter(
            "consilia_privacy_denials", "Offers that a hospital denied.", ["reason"], registry=registry
        )
        self.hub_connected = Gauge(
            "consilia_hub_connected",
            "1 while a hospital in a cluster of its own follows its hub over the log, 0 while it cannot.",
            ["hub"],
            registry=registry,
        )
        self.hospital_available = Gauge(
            "consilia_hospital_available",
            "1 while a hospital in another cluster is heard of, 0 while it is not; for the hub.",
            ["namespace", "hospital"],
            registry=registry,
        )
        self.letters_refused = Counter(
            "consilia_letters_refused", "Letters between hub and hospital that were not believed.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.certificate_expiry = Gauge(
            "consilia_certificate_expiry_timestamp_seconds",
            "When the first certificate of a managed Kafka ends, in seconds since 1970.",
            ["namespace"],
            registry=registry,
        )
        build = Gauge("consilia_build_info", "The version that runs.", ["version", "program"], registry=registry)
        build.labels(__version__, "operator").set(1)
        for state in JOB_STATES:
            self.jobs.labels(state).set(0)
        for objection in Objection:
            self.letters_refused.labels(objection)
        for reason in DENIALS:
            self.denials.labels(reason)
        for kind in ("FederatedJob", "Hospital", "Dataset", "HospitalTask"):
            self.reconcile_seconds.labels(kind)
            for reason in ("Unavailable", "Refused", "Bug"):
                self.reconcile_errors.labels(kind, reason)

    def forget_hospital(self, namespace: str, hospital: str) -> None:
        """There is no such Hospital any more."""
        with suppress(KeyError):
            self.hospital_available.remove(namespace, hospital)

    def forget_certificates(self, namespace: str) -> None:
        """That namespace has no managed Kafka any more."""
        with suppress(KeyError):
            self.certificate_expiry.remove(namespace)
