from aiohttp import ClientSession
from event_loop import in_event_loop
from prometheus_client import CollectorRegistry

from consilia.broker.ports import HOST, free_ports
from consilia_operator.health import serve
from consilia_operator.metrics import Metrics


async def ask(session, port, path):
    async with session.get(f"http://{HOST}:{port}{path}") as response:
        return response.status, await response.text()


@in_event_loop
async def test_probes_say_what_is_wrong_and_metrics_are_there_from_the_start():
    registry, dead, waiting = CollectorRegistry(), [], ["the operator is not at work yet"]
    Metrics(registry)
    (port,) = free_ports(1)
    probes = serve(port, registry, dead=lambda: dead, waiting=lambda: waiting)
    async with probes as served, ClientSession() as session:
        assert served == port
        assert await ask(session, port, "/healthz") == (200, "ok\n")
        assert await ask(session, port, "/readyz") == (503, "the operator is not at work yet\n")
        waiting.clear()
        assert await ask(session, port, "/readyz") == (200, "ok\n")
        dead.append("nobody watches datasets")
        assert await ask(session, port, "/healthz") == (503, "nobody watches datasets\n")
        assert (await ask(session, port, "/readyz"))[0] == 503
        status, text = await ask(session, port, "/metrics")
        assert status == 200
        assert 'consilia_reconcile_errors_total{kind="FederatedJob",reason="Bug"} 0.0' in text
        assert 'consilia_jobs{state="Running"} 0.0' in text
        assert (await ask(session, port, "/else"))[0] == 404


def test_the_certificates_of_a_kafka_that_is_gone_are_no_series():
    metrics = Metrics(registry := CollectorRegistry())
    metrics.certificate_expiry.labels("hub").set(1)
    for _ in range(2):
        metrics.forget_certificates("hub")
    name = "consilia_certificate_expiry_timestamp_seconds"
    assert registry.get_sample_value(name, {"namespace": "hub"}) is None
