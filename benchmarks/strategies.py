"""What a strategy costs the aggregator: CPU time for each parameter, and what it takes to start.

    python -m benchmarks.strategies [--hospitals 10] [--json]

One block of 1 MiB of float32 parameters a hospital, as the aggregator hands them over, on one thread; medians.
`np.median` stands beside for comparison.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import torch

from consilia.api import AggregationSpec
from consilia.log import CHUNK_BYTES
from consilia_workers.strategies.choosing import SERVER_DEFAULTS, choose
from consilia_workers.strategies.interface import Block, Cohort, Combiner
from consilia_workers.strategies.krum import Krum
from consilia_workers.strategies.median import Median
from consilia_workers.strategies.trimmed_mean import TrimmedMean
from consilia_workers.strategies.weighted_mean import WeightedMean

PARAMETERS = CHUNK_BYTES // 4

START = """
import sys, time
from pathlib import Path
started = time.perf_counter()
{script}
seconds = time.perf_counter() - started
(peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(seconds, int(peak) / 1024)
"""
SCRIPTS = {
    "combiners": "import consilia_workers.strategies.krum",
    "server_optimizer": (
        "import torch\n"
        "from consilia_workers.strategies.server_optimizers import FedAvgM\n"
        "FedAvgM([torch.ones(1)], learning_rate=1.0, momentum=0.9)"
    ),
    "torch_sgd": "import torch\ntorch.optim.SGD([torch.ones(1)], lr=1.0, momentum=0.9)",
}
"""What a fresh process does before it can combine, take a step, or take it with torch's own optimizer."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hospitals", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="one JSON line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measured = {
        "hospitals": options.hospitals,
        **combiners(options.hospitals),
        **server_optimizers(),
        **{key: value for name, script in SCRIPTS.items() for key, value in start(name, script).items()},
    }
    print(
        json.dumps(measured) if options.json else "\n".join(f"{name:40} {value:g}" for name, value in measured.items())
    )


def combiners(hospitals: int) -> dict[str, float]:
    """CPU nanoseconds a parameter: the first pass, where there is one, and the combination."""
    random = np.random.default_rng(1)
    blocks = [random.standard_normal(PARAMETERS, dtype=np.float32) for _ in range(hospitals)]
    cohort = Cohort(hospitals=tuple(f"{k:04}" for k in range(hospitals)), samples=tuple(range(100, 100 + hospitals)))
    rules: dict[str, Combiner] = {
        "WeightedMean": WeightedMean(),
        "Median": Median(),
        "TrimmedMean": TrimmedMean(Fraction(1, 5)),
    }
    if hospitals >= 3:
        rules["Krum"] = Krum((hospitals - 3) // 2)
    measured = {f"{name}_ns": nanoseconds(partial(once, rule, cohort, blocks)) for name, rule in rules.items()}
    stacked = np.stack(blocks)
    return measured | {"np_median_ns": nanoseconds(lambda: np.median(stacked, axis=0))}


def once(rule: Combiner, cohort: Cohort, blocks: list[Block]) -> None:
    """One block through both passes."""
    rule.examine(cohort, iter([blocks]))
    rule.combine(cohort, blocks)


def server_optimizers() -> dict[str, float]:
    """CPU nanoseconds a parameter of one step with its state."""
    random = np.random.default_rng(2)
    base = random.standard_normal(PARAMETERS, dtype=np.float32)
    combined = base + random.standard_normal(PARAMETERS)
    measured = {}
    for name in SERVER_DEFAULTS:
        optimizer = choose(AggregationSpec(strategy=name)).optimizer
        assert optimizer is not None
        _, state = optimizer.step(base, combined, None)
        measured[f"{name}_ns"] = nanoseconds(partial(optimizer.step, base, combined, state))
    return measured


def nanoseconds(action: Callable[[], object], times: int = 9) -> float:
    """CPU time for each parameter of a block."""

    def spent() -> int:
        started = time.process_time_ns()
        action()
        return time.process_time_ns() - started

    spent()
    return statistics.median(spent() for _ in range(times)) / PARAMETERS


def start(name: str, script: str) -> dict[str, float]:
    """Seconds and peak MiB of a fresh process that runs the script."""
    command = [sys.executable, "-c", START.format(script=script)]
    runs = [subprocess.check_output(command, text=True).split() for _ in range(3)]
    seconds, peak = (statistics.median(map(float, column)) for column in zip(*runs, strict=True))
    return {f"{name}_start_seconds": seconds, f"{name}_start_peak_mib": peak}


if __name__ == "__main__":
    main()
