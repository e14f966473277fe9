"""`python -m consilia.broker.node SETTINGS.json`: one node of a Kafka on Kubernetes. It becomes Kafka's own process.

All nodes read one file; which of them this one is says the end of POD_NAME. Everything on the file system may be
read-only but the two folders that the settings name.
"""

import argparse
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from consilia.broker.properties import Access, Listener, Node, Stores, render, server_properties
from consilia.broker.runtime import Jvm, Runtime
from consilia.broker.storage import make_template, prepare
from consilia.certificates import write_private
from consilia.errors import BrokerError, ConsiliaError

CLIENTS, PEERS, CONTROLLER, MEMBERS = "CLIENTS", "PEERS", "CONTROLLER", "MEMBERS"
CLIENTS_PORT, PEERS_PORT, CONTROLLER_PORT, MEMBERS_PORT = 9093, 9094, 9095, 9096
"""SCRAM users over TLS; certificates: for the nodes among themselves, and for the operator; the controllers' quorum;
certificates of an authority of their own: for hospitals in other clusters."""
CONFIGURATION, KEYSTORE = "server.properties", "node.pem"
THREADS = 3
Port = Annotated[int, Field(ge=1, le=65535)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Place(_Settings):
    """Where the others, and the clients, find a node."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$", max_length=253)] = Field(
        description="Its name or address, which its certificate must be for."
    )
    clients: Port = Field(default=CLIENTS_PORT, description="The port for users with passwords.")
    peers: Port = Field(default=PEERS_PORT, description="The port for nodes, and whoever has a certificate.")
    controller: Port = Field(default=CONTROLLER_PORT, description="The port of the controllers' quorum.")
    members: str = Field(
        default="", description="Where hospitals in other clusters find it, as host:port. Default: they do not."
    )


class NodeSettings(_Settings):
    """A cluster, as its nodes are told."""

    cluster: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{21}$")] = Field(
        description="The cluster's id, for good."
    )
    nodes: tuple[Place, ...] = Field(min_length=1, max_length=9, description="All nodes, by number from 0.")
    listen: str = Field(default="", description="The address that is listened at. Default: all that the node has.")
    data: Path = Field(description="The folder for what must last.")
    work: Path = Field(description="A folder for configuration and temporary files.")
    certificate: Path = Field(description="The nodes' certificate, in PEM form.")
    key: Path = Field(description="Its private key, unencrypted PKCS#8 in PEM form.")
    trust: Path = Field(description="The authorities whose certificates are believed, in PEM form.")
    members_trust: Path | None = Field(
        default=None, description="The same for hospitals in other clusters. Default: there are none."
    )
    super_users: tuple[str, ...] = Field(
        min_length=1, description="The names in certificates that no access rule binds; the nodes' own among them."
    )
    heap: Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$")] = Field(
        default="512m", description="Java's memory, as its -Xmx has it."
    )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            BrokerError: it is missing, no JSON, or a field is wrong.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            message = f"cannot use the node's settings in {path}: {error}."
            raise BrokerError(message, remedy="Correct the file; on Kubernetes, the operator writes it.") from None


def ordinal(environment: Mapping[str, str], hostname: str) -> int:
    """Which node this is, from the number at the end of its pod's name.

    Raises:
        BrokerError: there is none.
    """
    name = environment.get("POD_NAME") or hostname
    if not (found := re.search(r"-(\d{1,3})$", name)):
        raise BrokerError(f"{name!r} does not end with a node's number.", remedy="Set POD_NAME, as in kafka-0.")
    return int(found[1])


def describe(settings: NodeSettings, number: int) -> Node:
    """The node of that number. Pure.

    Raises:
        BrokerError: the settings know no such node.
    """
    if number >= len(settings.nodes):
        message = f"there is no node {number}: the cluster has {len(settings.nodes)}."
        raise BrokerError(message, remedy="Scale the StatefulSet back to as many pods as its settings name.")
    own = settings.nodes[number]

    def listener(name: str, access: Access, port: int) -> Listener:
        address, advertised = f"{settings.listen}:{port}", f"{own.host}:{port}"
        return Listener(name=name, access=access, address=address, advertised=advertised)

    listeners = [listener(CLIENTS, Access.SCRAM, own.clients), listener(PEERS, Access.CERTIFICATE, own.peers)]
    if own.members and settings.members_trust:
        outside = listener(MEMBERS, Access.CERTIFICATE, MEMBERS_PORT)
        listeners.append(replace(outside, advertised=own.members, truststore=settings.members_trust))
    return Node(
        id=number,
        voters=tuple((each, f"{place.host}:{place.controller}") for each, place in enumerate(settings.nodes)),
        data=settings.data,
        listeners=tuple(listeners),
        peers=PEERS,
        controller=listener(CONTROLLER, Access.CERTIFICATE, own.controller),
        stores=Stores(keystore=settings.work / KEYSTORE, truststore=settings.trust),
        super_users=tuple(f"User:{name}" for name in settings.super_users),
        threads=THREADS,
    )


def set_up(settings: NodeSettings, number: int, runtime: Runtime) -> list[str]:
    """Write what Kafka reads, format its data folder if it is new, and give the command that runs it in `work`.

    Raises:
        BrokerError: a folder cannot be written, or a certificate is missing.
    """
    node = describe(settings, number)
    try:
        settings.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(settings.work / KEYSTORE, settings.key.read_bytes() + settings.certificate.read_bytes())
        (settings.work / CONFIGURATION).write_text(render(server_properties(node)))
        prepare(settings.data, number, settings.cluster, runtime)
        return runtime.command(settings.work, "kafka.Kafka", CONFIGURATION, jvm=Jvm(heap=settings.heap))
    except OSError as error:
        message = f"cannot set up node {number}: {error.filename}: {error.strerror}."
        raise BrokerError(message, remedy="Check the volumes, and who may write to them.") from error


def main(arguments: Sequence[str]) -> int:
    """What the command line asks for; the exit code, if Kafka cannot be started or is not asked for."""
    options = parser().parse_args(arguments)
    try:
        return _fill_image() if options.image else _become(NodeSettings.load(options.settings))
    except ConsiliaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _fill_image() -> int:
    runtime = Runtime.find()
    make_template(runtime)
    print(f"{len(runtime.jars)} jars and the template {runtime.template}")  # noqa: T201
    return 0


def _become(settings: NodeSettings) -> NoReturn:
    """No process in between would have to hand on signals."""
    command = set_up(settings, ordinal(os.environ, socket.gethostname()), Runtime.find())
    os.chdir(settings.work)
    os.execv(command[0], command)  # noqa: S606


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    found = argparse.ArgumentParser(prog="python -m consilia.broker.node", description=__doc__)
    what = found.add_mutually_exclusive_group(required=True)
    what.add_argument("settings", type=Path, nargs="?", help="The file with the cluster's settings.")
    what.add_argument(
        "--image", action="store_true", help="Only put the jars and a formatted folder into $CONSILIA_CACHE, and end."
    )
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
