"""`python -m consilia.broker`: one broker in the foreground, until Ctrl-C."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from consilia.broker.jars import jars
from consilia.broker.ports import free_ports
from consilia.broker.process import Broker, Ports, Seat
from consilia.broker.runtime import Jvm, Runtime
from consilia.broker.security import Security
from consilia.errors import ConsiliaError

LOWEST_PORT, HIGHEST_PORT = 1024, 65533
"""Of the first port; two more follow it."""


def main(arguments: Sequence[str]) -> int:
    """What the command line asks for; the exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.jars_only:
            print(f"{len(jars(options.jars_only, show))} jars in {options.jars_only}")  # noqa: T201
        else:
            serve(options)
    except KeyboardInterrupt:
        return 130
    except ConsiliaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def serve(options: argparse.Namespace) -> None:
    """Run a broker until Ctrl-C or SIGTERM, its orderly end.

    Raises:
        BrokerError: it cannot be started, or ended by itself.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _folder(options.folder) as folder:
        security = Security.open(folder / "keys") if options.secured or options.user else None
        jvm = Jvm(heap=options.heap, short_lived=security is None)
        broker = Broker(folder, Runtime.find(show), jvm=jvm, seat=_seat(options.port), security=security)
        with broker, suppress(KeyboardInterrupt):
            _introduce(broker, options.user)  # whoever has read this may end it
            broker.watch()


def show(done: int, total: int) -> None:
    """How much of the jars is there, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\rKafka's jars: {100 * done // total} %", end="\n" if done == total else "", file=sys.stderr)  # noqa: T201


def _introduce(broker: Broker, users: Sequence[str]) -> None:
    lines = [f"Kafka serves at {broker.bootstrap}, everything to everybody on this machine; its log is {broker.log}."]
    for name in users:
        path = broker.folder / f"{name}.json"
        broker.user(name).save(path)
        lines.append(f"{name} reaches it with kafka://{path}, and may do what ACLs allow.")
    print("\n".join([*lines, "Ctrl-C stops it."]), flush=True)  # noqa: T201


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield chosen.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="consilia-broker-") as name:
        yield Path(name)


def _seat(port: int | None) -> Seat:
    if port is None:
        return Seat()
    return Seat(ports=Ports(port, port + 1, port + 2, controller=free_ports(1)[0]))


def _port(text: str) -> int:
    if not (text.isdecimal() and LOWEST_PORT <= int(text) <= HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"choose one from {LOWEST_PORT} to {HIGHEST_PORT}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    found = argparse.ArgumentParser(prog="python -m consilia.broker", description=__doc__)
    add = found.add_argument
    add(
        "--port",
        type=_port,
        help="Where it listens on 127.0.0.1; SCRAM users at the next port, certificates at the second.",
    )
    add("--folder", type=Path, help="Keep data, keys and log in this folder. Default: nothing is kept.")
    add("--heap", default=Jvm().heap, help="Memory for Java, as its -Xmx takes it. Default: %(default)s.")
    add("--secured", action="store_true", help="Listen with TLS, too, and deny there what no ACL allows.")
    add(
        "--user",
        action="append",
        default=[],
        metavar="NAME",
        help="Make a SCRAM user and write its settings file; implies --secured. Repeatable.",
    )
    add("--jars-only", type=Path, metavar="FOLDER", help="Put Kafka's jars into this folder, checked, and end.")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
