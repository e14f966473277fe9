"""The operator at work against a real API server, in a thread of its own; tests look at the cluster from outside."""

import asyncio
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

from prometheus_client import CollectorRegistry

from consilia_operator import kinds, run
from consilia_operator.api_server import connect
from consilia_operator.errors import Conflict
from consilia_operator.heartbeat import Heartbeat
from consilia_operator.names import HUB
from consilia_operator.progress_watch import new_session
from consilia_operator.settings import OperatorSettings

IMAGES = {"worker": "localhost/consilia-worker:test", "kafka": "localhost/consilia-kafka:test"}
PATIENCE = 20.0


def settings(**more):
    return OperatorSettings.model_validate({"images": IMAGES, **more})


class LoopInThread:
    """An event loop in a thread, and a way to have things done there."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def do(self, coroutine, seconds=PATIENCE):
        """What comes of it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def start(self, coroutine):
        """A task that goes on."""

        async def start():
            return asyncio.create_task(coroutine)

        return self.do(start())

    def end(self, task):
        """Cancel it, and wait until it is over; from outside, for kopf cancels all that it finds in the loop."""
        over = threading.Event()
        self.loop.call_soon_threadsafe(task.add_done_callback, lambda _: over.set())
        self.loop.call_soon_threadsafe(task.cancel)
        assert over.wait(PATIENCE)

    def close(self):
        self.do(self._let_go())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _let_go(self):
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.25)  # aiohttp closes its TLS connections a little later


class Cluster:
    """What a person with kubectl would do and see."""

    def __init__(self, thread):
        self.thread = thread
        self._held = connect()
        self.api = thread.do(self._held.__aenter__())

    def close(self):
        self.thread.do(self._held.__aexit__(None, None, None))

    def get(self, kind, namespace, name):
        return self.thread.do(self.api.get(kind, namespace, name))

    def list(self, kind, namespace=""):
        return self.thread.do(self.api.list(kind, namespace))

    def create(self, document):
        return self.thread.do(self.api.create(document))

    def create_other(self, path, document):
        """An object of a kind that the operator has no use for."""
        return self.thread.do(self.api._write("POST", path, document))

    def merge(self, kind, namespace, name, patch):
        return self.thread.do(self.api.merge(kind, namespace, name, patch))

    def delete(self, kind, namespace, name):
        self.thread.do(self.api.delete(kind, namespace, name))

    def set_status(self, document, status):
        """As whoever owns the object would; what is there is read anew until nobody writes in between."""
        kind, metadata = kinds.of(document), document["metadata"]
        while True:
            found = self.get(kind, metadata["namespace"], metadata["name"])
            with suppress(Conflict):
                return self.thread.do(self.api.write_status(found, {**found.get("status", {}), **status}))

    def namespace(self, name, hub=""):
        labels = {HUB: hub} if hub else {}
        return self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})

    def until(self, holds, seconds=PATIENCE):
        """Wait for what the operator brings about; what `holds` gave then."""
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, "in vain waited for the operator"
            time.sleep(0.05)
        return found

    def condition(self, kind, namespace, name, of_type):
        """The condition, once somebody has set it."""
        found = self.get(kind, namespace, name) or {}
        conditions = found.get("status", {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == of_type), None)

    def until_condition(self, kind, namespace, name, of_type, reason):
        def there():
            found = self.condition(kind, namespace, name, of_type)
            return found if found and found["reason"] == reason else None

        return self.until(there)


class AtWork:
    """An operator at work."""

    def __init__(self, context, registry):
        self.context, self.registry = context, registry

    def bugs(self):
        """Looks at an object that ended in an exception which nobody foresaw."""
        kinds_of_ours = ("FederatedJob", "Hospital", "Dataset", "HospitalTask", "StatefulSet")
        name = "consilia_reconcile_errors_total"
        values = [self.registry.get_sample_value(name, {"kind": kind, "reason": "Bug"}) for kind in kinds_of_ours]
        return sum(value or 0 for value in values)


@contextmanager
def operating(thread, chosen, namespace="consilia", transport=None):
    """All that `run.run` runs but the Lease and the probes; with another transport, if one is given."""
    ready, registry = threading.Event(), CollectorRegistry()
    found = []

    async def whole():
        async with connect() as api, new_session() as session:
            place = run.Place(namespace=namespace, pod="test")
            context = run.make_context(chosen, place, api, session, registry)
            context = replace(context, transport=transport or context.transport)
            await run.prepare(context)
            apart = run.apart_namespaces(chosen, namespace)
            heartbeat = Heartbeat(api, namespace, chosen.dead_watch_seconds, apart)
            found.append(AtWork(context, registry))
            thread.loop.call_soon(ready.set)
            await run.until_one_ends(run.programs(context, heartbeat))

    task = thread.start(whole())
    try:
        while not ready.wait(0.1):
            assert not task.done(), task.exception()
        yield found[0]
        assert not task.done(), "the operator ended by itself"
    finally:
        thread.end(task)
