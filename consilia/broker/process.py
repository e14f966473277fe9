"""One Kafka broker as a process of ours: started in about two seconds, stopped, killed, started again on its data."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import NamedTuple, Self

from kafka.errors import KafkaError

from consilia.broker.guarded import Guarded
from consilia.broker.ports import HOST, free_ports, is_free
from consilia.broker.properties import ANONYMOUS, Access, Listener, Node, render, server_properties
from consilia.broker.runtime import Jvm, Runtime
from consilia.broker.security import BROKER, Security
from consilia.broker.storage import new_id, prepare
from consilia.errors import BrokerError, LogUnavailableError
from consilia.kafka.connection import make_admin
from consilia.kafka.settings import KafkaSettings
from consilia.log.locking import lock, open_directory

DATA, CONFIGURATION = "data", "server.properties"
"""In the broker's folder, which Kafka runs in. Relative names: Kafka takes a comma in a path for its end."""
START_SECONDS = 120.0
"""After so long a broker that does not answer has failed."""
LEAVE_SECONDS = 5.0
"""How long a broker in the same folder, whose process has just died, may take to go."""
PAUSE = 0.05
"""Between two looks at a broker that is starting, in seconds."""


class Ports(NamedTuple):
    """Where a node listens on loopback."""

    plain: int
    scram: int
    certificate: int
    controller: int

    @classmethod
    def free(cls) -> Self:
        """Four that nobody uses."""
        return cls(*free_ports(4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A node's place in its cluster; a cluster of one unless told otherwise."""

    node: int = 1
    ports: Ports = field(default_factory=Ports.free)
    cluster: str = field(default_factory=new_id)
    others: tuple[tuple[int, str], ...] = ()
    """The other nodes, each with its controller's address."""

    @property
    def voters(self) -> tuple[tuple[int, str], ...]:
        """All nodes, this one too."""
        return tuple(sorted({(self.node, f"{HOST}:{self.ports.controller}"), *self.others}))


class Broker:
    """A broker in a folder of its own, at the same ports for as long as the object lives.

    As a context manager it runs within the block. It never outlives the process that started it, however that ends;
    only processes forked (not executed) from that one meanwhile could keep it up.
    """

    def __init__(
        self,
        folder: Path,
        runtime: Runtime,
        *,
        jvm: Jvm | None = None,
        seat: Seat | None = None,
        security: Security | None = None,
    ) -> None:
        """Nothing runs yet.

        `folder` holds data, configuration and log, and may hold those of an earlier run; `security` adds listeners with
        TLS for SCRAM users and for certificates, and denies what no ACL allows. Without a `jvm`, its code is compiled
        well only for those listeners.
        """
        self.folder = folder.absolute()
        self.seat = seat or Seat()
        self.security = security
        self._runtime, self._jvm = runtime, jvm or Jvm(short_lived=security is None)
        self._process: Guarded | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """What Kafka said, over all its starts."""
        return self.folder / "broker.log"

    @property
    def bootstrap(self) -> str:
        """Where anybody on this machine may do anything, as host:port."""
        return f"{HOST}:{self.seat.ports.plain}"

    @property
    def settings(self) -> KafkaSettings:
        """How to reach it there."""
        return KafkaSettings(bootstrap_servers=(self.bootstrap,))

    @property
    def pid(self) -> int:
        """The process id of the running Kafka."""
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.running()

    def user(self, name: str) -> KafkaSettings:
        """Make a SCRAM user, unless there is one, and say how it reaches the broker (needs `security`)."""
        return self._keys().by_password(name, (f"{HOST}:{self.seat.ports.scram}",), self.settings)

    def certificate(self, name: str) -> KafkaSettings:
        """Issue a client certificate, and say how its holder reaches the broker (needs `security`)."""
        return self._keys().by_certificate(name, (f"{HOST}:{self.seat.ports.certificate}",))

    def _keys(self) -> Security:
        if self.security is None:
            message = f"the broker in {self.folder} knows neither users nor certificates."
            raise BrokerError(message, remedy="Give it a security.")
        return self.security

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            BrokerError: it does not come up; the message ends with the last lines of its log.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it without waiting."""
        if self.running():
            return
        self.kill()
        self._check_ports()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked() as held:
                (self.folder / CONFIGURATION).write_text(render(server_properties(self._node())))
                prepare(self.folder / DATA, self.seat.node, self.seat.cluster, self._runtime)
                command = self._runtime.command(self.folder, "kafka.Kafka", CONFIGURATION, jvm=self._jvm)
                self._process = Guarded(command, self.log, self.folder, keep=[held])
        except OSError as error:
            message = f"cannot start a broker in {self.folder}: {error.strerror or error}."
            raise BrokerError(message, remedy="Choose another folder.") from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The folder's lock, for this block and, inherited, for the life of the process started in it.

        Kafka has a lock of its own, but takes it only after it has written to the cluster's metadata.
        """
        descriptor = open_directory(self.folder)
        try:
            if not lock(descriptor, LEAVE_SECONDS):
                message = f"cannot start a broker in {self.folder}: another one runs there."
                raise BrokerError(message, remedy="Choose another folder, or stop the other.")
            yield descriptor
        finally:
            os.close(descriptor)

    def wait_until_ready(self) -> None:
        """Wait until it answers requests, and the cluster counts on it.

        Raises:
            BrokerError: it ended, or took too long; then it is killed.
        """
        deadline = monotonic() + START_SECONDS
        try:
            while not self._serves():
                self._check_starting(deadline)
                sleep(PAUSE)
        except BaseException:
            self.kill()
            raise

    def watch(self) -> None:
        """Wait until it ends by itself, which it should not.

        Raises:
            BrokerError: it did; the message ends with the last lines of its log.
        """
        if self._process:
            self._process.wait(None)
        raise self._failed("ended")

    def stop(self) -> None:
        """Have it end in order, within seconds; killed if it cannot."""
        self.ask_to_end()
        if self._process and not self._process.wait():
            self.kill()
        self._process = None

    def ask_to_end(self) -> None:
        """Begin to stop it, without waiting: nodes of a cluster have to be stopped together."""
        if self._process:
            self._process.ask_to_end()

    def kill(self) -> None:
        """End it this instant, as a power cut would end the process (SIGKILL); its data stays as it is."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _check_ports(self) -> None:
        ports = self.seat.ports
        used = [ports.plain, ports.controller, *([ports.scram, ports.certificate] if self.security else [])]
        for port in used:
            if not is_free(port):
                message = f"cannot start a broker at {HOST}:{port}: somebody else listens there."
                raise BrokerError(message, remedy="Choose another port, or stop the other.")

    def _node(self) -> Node:
        ports, seat = self.seat.ports, self.seat
        listeners = [Listener(name="PLAIN", access=Access.OPEN, address=f"{HOST}:{ports.plain}")]
        if self.security:
            listeners += [
                Listener(name="SCRAM", access=Access.SCRAM, address=f"{HOST}:{ports.scram}"),
                Listener(name="MTLS", access=Access.CERTIFICATE, address=f"{HOST}:{ports.certificate}"),
            ]
        within = Access.CERTIFICATE if self.security else Access.OPEN
        return Node(
            id=seat.node,
            voters=seat.voters,
            data=Path(DATA),
            listeners=tuple(listeners),
            peers="MTLS" if self.security else "PLAIN",
            controller=Listener(name="CONTROLLER", access=within, address=f"{HOST}:{ports.controller}"),
            stores=self.security.stores(seat.node, HOST) if self.security else None,
            super_users=(f"User:{ANONYMOUS}", f"User:{BROKER}") if self.security else (),
        )

    def _serves(self) -> bool:
        """Whether a request for the cluster's state is answered, and says that this node is in use (not fenced)."""
        if is_free(self.seat.ports.plain):
            return False
        with suppress(KafkaError, LogUnavailableError), make_admin(self.settings) as admin:
            brokers = admin.describe_cluster()["brokers"]
            return any(each["broker_id"] == self.seat.node and not each["is_fenced"] for each in brokers)
        return False

    def _check_starting(self, deadline: float) -> None:
        if not self.running():
            raise self._failed("ended while starting")
        if monotonic() > deadline:
            raise self._failed(f"does not serve after {START_SECONDS:.0f} s")

    def _failed(self, how: str) -> BrokerError:
        message = f"the broker in {self.folder} {how}; its log ends with:\n{_last_words(self.log)}\n"
        return BrokerError(message, remedy=f"See {self.log}.")


def _last_words(log: Path) -> str:
    """The last lines that could say what is wrong: no stack frames, and nothing that Kafka calls information."""
    with log.open(errors="replace") as lines:
        telling = (line for line in lines if not line.startswith("\tat ") and " INFO " not in line)
        return "".join(deque(telling, maxlen=6)).rstrip()
