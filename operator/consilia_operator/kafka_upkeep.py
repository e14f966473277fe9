"""A namespace's log, looked at now and then: what gone jobs left there, and when managed Kafka's certificates end."""

import base64

from cryptography import x509

from consilia_operator.context import Context
from consilia_operator.kinds import SECRET
from consilia_operator.store import Key
from consilia_operator.sweeping import sweep_log
from consilia_operator.transport.leaves import CERTIFICATE
from consilia_operator.transport.managed_plan import BROKERS_SECRET, OPERATOR_SECRET


async def reconcile(context: Context, key: Key) -> float | None:
    """One look at the log of a namespace, whoever runs it."""
    if context.store.get(key) is not None:
        await tell_expiry(context, key.namespace)
    await sweep_log(context, key)
    return None


async def tell_expiry(context: Context, namespace: str) -> None:
    """Tell Prometheus when the first certificate ends: they are renewed long before, while jobs run."""
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
