"""`python -m tests.cluster`: a Kubernetes cluster on this machine, for tests and to play with."""

import argparse
import sys
import time
from pathlib import Path

from consilia.errors import ConsiliaError
from tests.cluster import lifecycle
from tests.cluster.building import build, forget_caches
from tests.cluster.cluster import Cluster, attach
from tests.cluster.components import FAKE_NODES, NEEDED
from tests.cluster.places import ClusterError, home
from tests.cluster.programs import Options

DEFAULT = "consilia"
"""The cluster that the tests share, too."""
BEGAN = time.monotonic()


def say(line: str) -> None:
    """Tell the person who waits."""
    print(f"[{time.monotonic() - BEGAN:4.0f} s] {line}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    chosen = parser().parse_args(arguments)
    try:
        chosen.do(chosen)
    except ConsiliaError as error:
        print(f"error: {error.message}\n{error.remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was begun is taken away", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(do=do)
        return added

    building = command("build", do_build, "build what a cluster runs, once: minutes the first time")
    building.add_argument("--fake-nodes", action="store_true", help="also what fake nodes take")
    building.add_argument("--forget-caches", action="store_true", help="then drop what only building needs, some 9 GB")
    starting = command("up", do_up, "start a cluster, building it if need be, and leave it running")
    starting.add_argument("--gpus", type=int, default=Options().gpus, help="fake GPUs on each node (%(default)s)")
    starting.add_argument("--workers", type=int, default=0, help="nodes beside the first (%(default)s)")
    starting.add_argument("--grace", type=int, default=Options().grace_s, help="seconds until a silent node is lost")
    starting.add_argument("--fake-nodes", action="store_true", help="run kwok, for nodes that are not there")
    ending = command("down", do_down, "end a cluster: processes, mounts, devices, control groups")
    ending.add_argument("--forget-images", action="store_true", help="delete its images, too")
    stating = command("status", do_status, "say which clusters run")
    loading = command("load", do_load, "give the images of OCI archives to a cluster")
    loading.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    for one in (starting, ending, loading):
        one.add_argument("--name", default=DEFAULT, help="the cluster's name (%(default)s)")
    stating.add_argument("--wide", action="store_true", help="also the programs of each node")
    return made


def do_build(chosen: argparse.Namespace) -> None:
    """Build what is missing."""
    build([*NEEDED, FAKE_NODES] if chosen.fake_nodes else NEEDED, say)
    if chosen.forget_caches:
        forget_caches()
    say(f"all is built in {home() / 'built'}")


def do_up(chosen: argparse.Namespace) -> None:
    """Start a cluster, and say how to use it."""
    options = Options(gpus=chosen.gpus, grace_s=chosen.grace, fake_nodes=chosen.fake_nodes)
    cluster = lifecycle.up(chosen.name, options, say)
    cluster.places.kept.touch()
    while len(cluster.workers()) < chosen.workers:
        say(f"node-{lifecycle.add_worker(cluster)} is Ready")
    print(usage(cluster))


def usage(cluster: Cluster) -> str:
    """How to use a cluster."""
    named = "" if cluster.places.name == DEFAULT else f" --name {cluster.places.name}"
    return (
        f"export KUBECONFIG={cluster.kubeconfig}\n"
        f"export PATH={cluster.kubectl_path.parent}:$PATH   # kubectl\n"
        f"# images: python -m tests.cluster load{named} ARCHIVE; the end: python -m tests.cluster down{named}"
    )


def do_down(chosen: argparse.Namespace) -> None:
    """End a cluster."""
    lifecycle.down(chosen.name)
    if chosen.forget_images:
        lifecycle.forget_images(chosen.name)
    say(f"{chosen.name} is down; its addresses are unreachable until it is up again")


def do_status(chosen: argparse.Namespace) -> None:
    """Say which clusters run."""
    clusters = [cluster for name in lifecycle.names() if (cluster := attach(name))]
    for cluster in clusters:
        nodes = [0, *cluster.workers()]
        kept = "until `down`" if cluster.places.kept.exists() else "while tests use it"
        print(f"{cluster.places.name}: {cluster.addresses.server}, {len(nodes)} nodes, {kept}, {cluster.kubeconfig}")
        for number in nodes if chosen.wide else []:
            running = cluster.node_processes(number)
            print(f"  node-{number}: " + ", ".join(f"{name} {process.pid}" for name, process in running.items()))
    if not clusters:
        print("no cluster runs; start one with `make cluster`")


def do_load(chosen: argparse.Namespace) -> None:
    """Give images to a cluster."""
    cluster = attach(chosen.name)
    if cluster is None:
        raise ClusterError(f"the cluster {chosen.name} does not run.", remedy="Start it with `make cluster`.")
    for archive in chosen.archives:
        say(f"{archive}: {', '.join(cluster.load(archive)) or 'there already'}")


if __name__ == "__main__":
    raise SystemExit(main())
