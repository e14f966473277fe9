"""Builds what is missing, once: Go checks every module against go.sum before it unpacks it."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from tests.cluster.commands import output
from tests.cluster.components import FAKE_NODES, Component, last_word
from tests.cluster.places import ClusterError, home, locked
from tests.cluster.requirements import check_machine, find_go, install_packages

Say = Callable[[str], None]
EVERY = 20.0
"""Seconds between two lines of progress."""


def build(components: Iterable[Component], say: Say) -> None:
    """Build the components that are not built yet; who comes second waits for the first.

    Raises:
        ClusterError: something is missing on this machine, or a build fails.
    """
    wanted = list(components)
    with locked(home() / "build.lock"):
        check_machine()
        install_packages(say)
        lacking = [component for component in wanted if not component.built]
        for number, component in enumerate(lacking, start=1):
            say(f"building {component.name} {component.version} ({number} of {len(lacking)})")
            _build(component, find_go(), say)


def _build(component: Component, go: Path, say: Say) -> None:
    incomplete = component.folder.with_name(component.folder.name + ".incomplete")
    shutil.rmtree(incomplete, ignore_errors=True)
    incomplete.mkdir(parents=True)
    began = time.monotonic()
    _compile(component, go, incomplete, say)
    if component == FAKE_NODES:
        (incomplete / "stages.yaml").write_text(_stages(component, go))
    incomplete.replace(component.folder)
    say(f"built {component.name} in {time.monotonic() - began:.0f} s")


def _compile(component: Component, go: Path, into: Path, say: Say) -> None:
    total = len(_go(component, go, "list", "-deps", *component.packages).splitlines())
    log = into / "build.log"
    command = ["nice", "-n", "5", go, "build", "-v", *component.flags, "-o", f"{into}/", *component.packages]
    with log.open("w") as said:
        process = subprocess.Popen(command, cwd=component.sources, env=environment(), stdout=said, stderr=said)
        _watch(process, lambda: say(f"  at most {total - _lines(log)} of {total} packages to go"))
    if process.returncode:
        message = f"building {component.name} failed: {log.read_text()[-2000:].strip()}"
        raise ClusterError(message, remedy="Check the network and the free disk (20 GB), then build again.")
    if len(component.packages) == 1:
        (into / last_word(component.packages[0])).rename(into / component.name)


def _watch(process: subprocess.Popen[bytes], tell: Callable[[], None]) -> None:
    try:
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(EVERY)
                continue
            tell()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _lines(path: Path) -> int:
    return path.read_text(errors="replace").count("\n")


def _go(component: Component, go: Path, *arguments: str) -> str:
    done = subprocess.run(
        [go, *arguments], cwd=component.sources, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"`go {arguments[0]}` failed for {component.name}: {done.stderr.strip()[-2000:]}"
        raise ClusterError(message, remedy="Check that this machine reaches a Go module proxy (GOPROXY).")
    return done.stdout


def environment() -> dict[str, str]:
    """Go's settings: caches of our own, no other Go than the one found, and go.sum as the last word."""
    own = {
        "GOCACHE": str(home() / "go" / "build"),
        "GOMODCACHE": str(home() / "go" / "modules"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "CGO_ENABLED": "0",
    }
    return {**os.environ, **own}


def _stages(component: Component, go: Path) -> str:
    """How fake nodes and pods live: kwok brings it along in its module, and does nothing without it."""
    found = json.loads(_go(component, go, "list", "-m", "-json", component.module))
    folder = Path(found["Dir"]) / "kustomize" / "stage"
    files = [
        path
        for part in ("node/fast", "node/heartbeat-with-lease", "pod/fast")
        for path in sorted((folder / part).glob("*.yaml"))
        if path.name != "kustomization.yaml"
    ]
    return "\n---\n".join(path.read_text() for path in files)


def forget_caches() -> None:
    """Drop what only building needs (some 9 GB); what is built stays."""
    output(find_go(), "clean", "-modcache", "-cache", env=environment(), timeout=600)
