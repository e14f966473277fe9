"""A real operator whose watches die: its liveness probe says so, and which."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

import operator_to_hurt
import pytest
from running_operator import settings

from consilia.broker.ports import HOST, free_ports
from consilia_operator.kinds import LEASE
from consilia_operator.lease import NAME

pytestmark = pytest.mark.slow  # a dead watch is found out after 15 seconds
PATIENCE_SECONDS = 15


def probe(port, path="/healthz"):
    """The status, and what is said; nothing where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Hurt:
    """An operator for two namespaces of its own, to be made deaf for a kind in the first."""

    def __init__(self, folder, namespace, plural):
        self.namespace, self.plural = namespace, plural
        (self.port,) = free_ports(1)
        chosen = settings(
            namespaces=[namespace, f"{namespace}-too"], metricsPort=self.port, deadWatchSeconds=PATIENCE_SECONDS
        )
        given = folder / f"{namespace}.json"
        given.write_text(json.dumps(chosen.as_document()))
        command = [sys.executable, operator_to_hurt.__file__, str(given), namespace]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def kill_watcher(self):
        self.process.stdin.write(f"{self.plural} {self.namespace}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().startswith(f"killed watcher for {self.plural}.")
        self.killed = time.monotonic()

    def found_out(self):
        """Whether the liveness probe fails by now."""
        assert self.process.poll() is None
        return probe(self.port)[0] == 503

    def stop(self):
        self.process.terminate()
        with self.process.stdin, self.process.stdout:
            return self.process.wait(20)


@pytest.fixture
def operators(cluster, tmp_path):
    found = []
    for plural in ("podtemplates", "federatedjobs"):
        cluster.namespace(f"watch-of-{plural}")
        cluster.namespace(f"watch-of-{plural}-too")
        found.append(Hurt(tmp_path, f"watch-of-{plural}", plural))
    yield found
    for each in found:
        if each.process.poll() is None:
            each.process.kill()
            each.stop()


def test_a_dead_watch_fails_the_liveness_probe_which_says_what_is_deaf(cluster, operators):
    for each in operators:
        cluster.until(lambda each=each: probe(each.port, "/readyz") == (200, "ok\n"), 30)
        cluster.until(lambda each=each: each.kill_watcher() or True)
    for each in operators:
        cluster.until(each.found_out, PATIENCE_SECONDS + 10)
        assert time.monotonic() - each.killed > PATIENCE_SECONDS - 1
        # The missing heartbeat may be found out a moment before the missing watcher.
        deaf = f"nobody watches {each.plural} in namespace {each.namespace}"
        cluster.until(lambda each=each, deaf=deaf: deaf in probe(each.port)[1].splitlines(), PATIENCE_SECONDS)
        assert f"{each.namespace}-too" not in probe(each.port)[1]
        assert probe(each.port, "/readyz")[0] == 503
    for each in operators:
        assert each.stop() == 0  # when it is told to stop, it does, and leaves its Lease to the next one
        assert cluster.get(LEASE, each.namespace, NAME)["spec"].get("holderIdentity", "") == ""
