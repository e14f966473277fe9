"""What stands for a job's spec in messages and tasks: whoever has another one does not take part."""

from consilia.api import FederatedJob
from consilia.wire.identity import canonical, digest


def config_digest(job: FederatedJob) -> str:
    """`sha256:` and the digest of all that the parties must agree on; how the job is run (`runPolicy`) may change."""
    return digest(canonical(job.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"run_policy"})))
