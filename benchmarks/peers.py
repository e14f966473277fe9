"""The same rounds in other frameworks, by scripts outside this repository; docs/benchmarks.md says what they do.

Each prints one JSON line about a run of its own; here it becomes figures of the same names as ours.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consilia.errors import RunError

MODELS = ("small", "large")
"""What the scripts know."""

HOME = "PEERS_HOME"
"""The environment variable with the folder of the frameworks' virtual environments."""

_LONGEST = 900
"""Seconds that one run of a peer may take; the scripts give up before."""


@dataclass(frozen=True, kw_only=True)
class PeerMeasurement:
    """One run of a peer, or the medians over repeats."""

    peer: str
    version: str
    transport: str
    rounds: int
    wall_seconds_per_round: float
    """Median over all rounds."""
    wall_seconds_mean: float
    wall_seconds_worst: float
    cpu_seconds_per_round: float
    """Mean over rounds, of all the peer's processes."""
    aggregator_peak_mib: float
    """The biggest process of the server side."""
    hospital_peak_mib: float
    """All processes of the client with the most."""
    start_seconds: float
    """From the first process to round 1; provisioning comes on top."""
    other_cpu_cores: float


@dataclass(frozen=True, slots=True)
class Peer:
    """A framework and the script that runs it."""

    name: str
    script: Path
    environments: tuple[str, ...]
    """The virtual environments that the script needs."""
    options: tuple[str, ...] = ()
    """What the script is given after model, rounds and clients."""

    def measure(self, model: str, rounds: int, clients: int) -> PeerMeasurement:
        """Run once.

        Raises:
            RunError: it failed, or what it printed cannot be read.
        """
        command = [str(self.script), model, str(rounds), str(clients), *self.options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RunError(f"{self.name} did not run: {error}.", remedy=f"Try {' '.join(command)} by hand.") from error
        return self._read(done.stdout, done.stderr)

    def _read(self, printed: str, complaints: str) -> PeerMeasurement:
        try:
            said = json.loads(printed.strip().splitlines()[-1])
            if not said["ok"]:
                raise RunError(f"{self.name} did not finish its rounds: {printed.strip()}")
            return figures(said)
        except (IndexError, KeyError, ValueError, TypeError) as error:
            last = (complaints.strip().splitlines() or ["nothing"])[-1]
            message = f"{self.name} printed no figures ({error!r}); its last complaint: {last}"
            raise RunError(message, remedy=f"Try {self.script} by hand.") from error


def figures(said: Mapping[str, object]) -> PeerMeasurement:
    """A script's JSON line in our names; megabytes become MiB."""

    def number(name: str) -> float:
        return float(str(said[name]))

    return PeerMeasurement(
        peer=str(said["peer"]),
        version=str(said["version"]),
        transport=str(said["transport"]),
        rounds=int(number("rounds_done")),
        wall_seconds_per_round=number("round_s_median"),
        wall_seconds_mean=number("round_s_mean"),
        wall_seconds_worst=number("round_s_max"),
        cpu_seconds_per_round=number("cpu_s_per_round_all"),
        aggregator_peak_mib=round(number("rss_mb_server_biggest_process") * 1e6 / 2**20, 1),
        hospital_peak_mib=round(number("rss_mb_client_peak") * 1e6 / 2**20, 1),
        start_seconds=number("startup_s"),
        other_cpu_cores=number("other_cpu_cores"),
    )


def find_peers(folder: Path, home: str | None) -> list[Peer]:
    """NVFlare and Flower, by their scripts in the folder; `home` is the value of `PEERS_HOME`.

    Raises:
        RunError: a script or a virtual environment is missing; all that is missing is named.
    """
    peers = [
        Peer("nvflare", folder / "nvflare" / "run.sh", ("venv-nvf",)),
        Peer("flower", folder / "flower" / "run.sh", ("venv-flwr", "venv-flwr-grpc"), ("venv-flwr-grpc",)),
    ]
    scripts = [str(peer.script) for peer in peers if not os.access(peer.script, os.X_OK)]
    if scripts:
        message = f"--peers {folder} lacks {' and '.join(scripts)}, or they cannot be run."
        raise RunError(message, remedy="docs/benchmarks.md says what the folder must hold.")
    if not home:
        message = f"{HOME} is not set."
        raise RunError(message, remedy="Set it to the folder that holds the peers' virtual environments.")
    wanted = [Path(home) / name for peer in peers for name in peer.environments]
    absent = [str(path) for path in wanted if not (path / "bin" / "python").exists()]
    if absent:
        raise RunError(f"{HOME} lacks {', '.join(absent)}.", remedy="docs/benchmarks.md says how to make them.")
    return [Peer(peer.name, peer.script.resolve(), peer.environments, peer.options) for peer in peers]
