"""A formatted data folder, which Kafka insists on before it starts.

Formatting costs a Java process, so it is done once a machine, and copied.
"""

import base64
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from consilia.broker.properties import Access, Listener, Node, render, server_properties
from consilia.broker.runtime import Jvm, Runtime
from consilia.errors import BrokerError

IDENTITY, FEATURES = "meta.properties", "bootstrap.checkpoint"
"""Whose the folder is; and the cluster's feature levels, the same for every cluster of one version of Kafka."""
FORMAT_SECONDS = 120


def new_id() -> str:
    """A random id as Kafka writes them: 22 characters of base64url.

    None begins with a dash, which StorageTool would take for an option.
    """
    return "c" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


def prepare(data: Path, node: int, cluster: str, runtime: Runtime) -> None:
    """Make the folder one that Kafka starts on, unless it is one already.

    Raises:
        BrokerError: Kafka's own tool, which makes the template, fails.
    """
    if (data / IDENTITY).exists():
        return
    data.mkdir(parents=True, exist_ok=True)
    features = runtime.template / FEATURES
    if features.exists():
        shutil.copyfile(features, data / FEATURES)
    else:
        _format(data, runtime)
        with suppress(OSError):  # a cache that cannot be written is no reason to fail
            _keep(data / FEATURES, features)
    identity = {"version": "1", "cluster.id": cluster, "node.id": str(node), "directory.id": new_id()}
    incomplete = data / f".{IDENTITY}"
    incomplete.write_text(render(identity))
    incomplete.replace(data / IDENTITY)


def make_template(runtime: Runtime) -> None:
    """Have the template ready beforehand, as in an image whose cache will be read-only.

    Raises:
        BrokerError: Kafka's own tool fails, or the cache cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory() as name:
            _format(Path(name), runtime)
            _keep(Path(name) / FEATURES, runtime.template / FEATURES)
    except OSError as error:
        message = f"cannot write the template {runtime.template}: {error.strerror}."
        raise BrokerError(message, remedy="Set CONSILIA_CACHE to a folder of yours.") from error


def _format(data: Path, runtime: Runtime) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server.properties").write_text(render(server_properties(_any_node())))
        arguments = ("format", "-t", new_id(), "-c", "server.properties")
        command = runtime.command(folder, "kafka.tools.StorageTool", *arguments, jvm=Jvm(short_lived=True))
        said = _run(command, folder)
        if not (folder / "data" / FEATURES).exists():
            message = f"Kafka cannot format a folder for its data: {' / '.join(said.splitlines()[-3:])}."
            raise BrokerError(message, remedy="Check the space in the system's temporary folder, and try again.")
        shutil.copyfile(folder / "data" / FEATURES, data / FEATURES)


def _run(command: Sequence[str], folder: Path) -> str:
    """What it said."""
    try:
        done = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=FORMAT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"not done after {FORMAT_SECONDS} s"
    return (done.stdout + done.stderr).strip()


def _any_node() -> Node:
    """The feature levels do not depend on which node it is."""
    client = Listener(name="PLAIN", access=Access.OPEN, address="127.0.0.1:1")
    controller = Listener(name="CONTROLLER", access=Access.OPEN, address="127.0.0.1:2")
    voters = ((1, controller.address),)
    return Node(id=1, voters=voters, data=Path("data"), listeners=(client,), peers=client.name, controller=controller)


def _keep(source: Path, template: Path) -> None:
    """For next time, and whole or not at all."""
    template.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=template.parent, delete=False) as scratch:
        scratch.write(source.read_bytes())
        scratch.flush()
        os.fsync(scratch.fileno())
    Path(scratch.name).chmod(0o644)
    Path(scratch.name).replace(template)
