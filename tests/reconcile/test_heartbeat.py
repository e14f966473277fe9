"""A real operator whose watches die: its liveness probe says so, and which."""

import asyncio
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from running_operator import LoopInThread, settings

from consilia.broker.ports import free_ports
from consilia_operator.run import Place, run

pytestmark = pytest.mark.slow  # a dead watch is found out after 15 seconds


def probe(port, path="/healthz"):
    """The status, and what is said."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def until(holds, seconds):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


async def kill_watcher_of(plural):
    """What befalls kopf (kopf#1276): the watcher ends, and nobody takes notice."""
    (watcher,) = [task for task in asyncio.all_tasks() if task.get_name().startswith(f"watcher for {plural}.")]
    watcher.cancel()


def dies_with(cluster, plural, told):
    """An operator for one namespace of its own, whose watch of one kind is killed."""
    namespace = f"operator-{plural}"
    (port,) = free_ports(1)
    chosen = settings(namespaces=[namespace], metricsPort=port, deadWatchSeconds=15)
    thread = LoopInThread()
    try:
        task = thread.start(run(chosen, Place(namespace=namespace, pod="one")))
        until(lambda: probe(port, "/readyz")[0] == 200, 20)
        time.sleep(1)
        assert probe(port) == (200, "ok\n")
        thread.do(kill_watcher_of(plural))
        killed = time.monotonic()
        _, said = until(lambda: found if (found := probe(port))[0] == 503 else None, 25)
        assert told in said
        assert 14 < time.monotonic() - killed < 25
        assert probe(port, "/readyz")[0] == 503
        assert not task.done()
        thread.end(task)
    finally:
        thread.close()


def test_a_dead_watch_fails_the_liveness_probe_which_says_what_is_deaf(cluster):
    cases = {"podtemplates": "nobody watches podtemplates", "federatedjobs": "nobody watches federatedjobs"}
    for plural in cases:
        cluster.namespace(f"operator-{plural}")
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(dies_with, cluster, plural, told) for plural, told in cases.items()]
        for each in running:
            each.result()
