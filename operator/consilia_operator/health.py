"""/metrics, /healthz and /readyz: what Prometheus and the kubelet ask."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Problems = Callable[[], list[str]]


@asynccontextmanager
async def serve(port: int, registry: CollectorRegistry, *, dead: Problems, waiting: Problems) -> AsyncIterator[int]:
    """Serve while the context lasts; gives the port. `dead` fails the liveness probe, `waiting` the readiness probe."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def probe(problems: Problems) -> web.Response:
        found = problems()
        return web.Response(text="\n".join(found or ["ok"]) + "\n", status=503 if found else 200)

    async def healthz(_: web.Request) -> web.Response:
        return probe(dead)

    async def readyz(_: web.Request) -> web.Response:
        return probe(lambda: dead() + waiting())

    site = web.Application()
    site.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, None, port)
        await listener.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
