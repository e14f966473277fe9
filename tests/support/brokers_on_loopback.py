"""What kubelet does for managed Kafka's pods, on loopback: their files laid out, their nodes run, their status told.

Each pod has an address of its own in 127/8, so that all listen at their real ports. Names are made known to Java by a
file and to Python by the fixture `names_on_loopback`.
"""

import base64
import json
import random
import shutil
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from consilia.broker.guarded import Guarded
from consilia.broker.node import CLIENTS_PORT
from consilia_operator.kinds import CONFIG_MAP, SECRET, STATEFUL_SET
from consilia_operator.names import KAFKA

START_SECONDS = 90.0


class BrokersOnLoopback:
    """The pods of one StatefulSet, whose objects are in an API server in memory."""

    def __init__(self, api, namespace, folder):
        self._api, self._namespace, self._folder = api, namespace, Path(folder)
        network = f"127.{random.randrange(64, 250)}.{random.randrange(1, 250)}"
        self._nodes = {}
        stateful_set = api.there(STATEFUL_SET, namespace, KAFKA)
        self._count = stateful_set["spec"]["replicas"]
        self.addresses = {host: f"{network}.{number + 1}" for number, host in enumerate(self.hosts())}
        self._hosts_file = self._folder / "hosts"
        self._hosts_file.parent.mkdir(parents=True, exist_ok=True)
        self._hosts_file.write_text("".join(f"{address} {host}\n" for host, address in self.addresses.items()))

    def hosts(self):
        told = self._api.there(CONFIG_MAP, self._namespace, KAFKA)["data"]["node.json"]
        return [node["host"] for node in json.loads(told)["nodes"]]

    def start(self):
        for number in range(self._count):
            if number not in self._nodes:
                self._nodes[number] = self._run(number)
        for number, host in enumerate(self.hosts()):
            self._wait(number, self.addresses[host])
        self.tell_status(self._count)

    def _run(self, number):
        place = self._folder / f"pod-{number}"
        settings = self._lay_out(number, place / "etc")
        environment = f"-Djdk.net.hosts.file={self._hosts_file}"
        command = ["env", f"JAVA_TOOL_OPTIONS={environment}", f"POD_NAME={KAFKA}-{number}"]
        return Guarded(
            [*command, sys.executable, "-m", "consilia.broker.node", str(settings)], place / "log", Path.cwd()
        )

    def _lay_out(self, number, folder):
        """The projected volume, as kubelet would make it; our paths instead of the pod's."""
        folder.mkdir(parents=True, exist_ok=True)
        pod = self._api.there(STATEFUL_SET, self._namespace, KAFKA)["spec"]["template"]["spec"]
        (volume,) = (each for each in pod["volumes"] if "projected" in each)
        for source in volume["projected"]["sources"]:
            for name, content in self._files(source):
                (folder / name).write_bytes(content)
        told = json.loads((folder / "node.json").read_text())
        paths = [name for name in ("certificate", "key", "trust", "membersTrust") if name in told]
        moved = {name: str(folder / Path(told[name]).name) for name in paths}
        places = {"data": str(folder.parent / "data"), "work": str(folder.parent / "work")}
        listen = self.addresses[told["nodes"][number]["host"]]
        settings = folder / "here.json"
        settings.write_text(json.dumps(told | moved | places | {"listen": listen, "heap": "256m"}))
        return settings

    def _files(self, source):
        ((kind, what),) = source.items()
        if kind == "configMap":
            data = self._api.there(CONFIG_MAP, self._namespace, what["name"])["data"]
            return [(item["path"], data[item["key"]].encode()) for item in what["items"]]
        data = self._api.there(SECRET, self._namespace, what["name"])["data"]
        return [(item["path"], base64.b64decode(data[item["key"]])) for item in what["items"]]

    def _wait(self, number, address):
        deadline = monotonic() + START_SECONDS
        while monotonic() < deadline:
            with suppress(OSError), socket.create_connection((address, CLIENTS_PORT), timeout=1):
                return
            assert self._nodes[number].running(), (self._folder / f"pod-{number}" / "log").read_text()[-3000:]
            sleep(0.1)
        raise AssertionError((self._folder / f"pod-{number}" / "log").read_text()[-3000:])

    def tell_status(self, ready):
        found = self._api.there(STATEFUL_SET, self._namespace, KAFKA)
        self._api.put(found | {"status": {"readyReplicas": ready}})

    def kill(self, *numbers):
        """These, or all."""
        for number in numbers or tuple(self._nodes):
            self._nodes[number].kill()
            self._nodes.pop(number).wait()

    def lose_disks(self):
        """Of brokers that do not run."""
        for data in self._folder.glob("pod-*/data"):
            shutil.rmtree(data)


@contextmanager
def resolving(addresses):
    """Python's own resolver, with these names as well."""
    real = socket.getaddrinfo

    def lookup(host, *arguments, **more):
        return real(addresses.get(host.decode() if isinstance(host, bytes) else host, host), *arguments, **more)

    socket.getaddrinfo = lookup
    try:
        yield
    finally:
        socket.getaddrinfo = real
