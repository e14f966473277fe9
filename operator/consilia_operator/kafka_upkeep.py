"""A namespace's log, looked at now and then: kept up without jobs, what gone jobs left there, when certificates end."""

import base64

from cryptography import x509

from consilia_operator.conditions import finished, holds
from consilia_operator.context import Context
from consilia_operator.kinds import FEDERATED_JOB, SECRET
from consilia_operator.store import Document, Key
from consilia_operator.sweeping import sweep_log, sweep_members
from consilia_operator.transport.leaves import CERTIFICATE
from consilia_operator.transport.managed_plan import BROKERS_SECRET, OPERATOR_SECRET


async def reconcile(context: Context, key: Key) -> float | None:
    """One look at the log of a namespace, whoever runs it."""
    if context.store.get(key) is not None:
        if await context.transport.keep_up(key.namespace, jobs_over(context, key.namespace)):
            return None  # its brokers wake us when they are up
        await tell_expiry(context, key.namespace)
    else:
        context.metrics.forget_certificates(key.namespace)
    await sweep_members(context, key.namespace)
    await sweep_log(context, key)
    return None


def jobs_over(context: Context, namespace: str) -> list[Document]:
    """Jobs that have ended and are still there: their aggregators read the log when somebody asks for the model."""
    found = [(job, job.get("status", {}).get("conditions", ())) for job in context.store.all(FEDERATED_JOB, namespace)]
    return [job for job, conditions in found if finished(conditions) and holds(conditions, "Accepted")]


async def tell_expiry(context: Context, namespace: str) -> None:
    """Tell Prometheus when the first certificate ends: they are renewed long before."""
    ends = [end for name in (BROKERS_SECRET, OPERATOR_SECRET) if (end := await _end(context, namespace, name))]
    if ends:
        context.metrics.certificate_expiry.labels(namespace).set(min(ends))


async def _end(context: Context, namespace: str, name: str) -> float | None:
    secret = await context.api.get(SECRET, namespace, name)
    text = base64.b64decode(secret.get("data", {}).get(CERTIFICATE, "")) if secret else b""
    try:
        return x509.load_pem_x509_certificate(text).not_valid_after_utc.timestamp()
    except ValueError:
        return None
