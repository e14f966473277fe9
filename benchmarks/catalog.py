"""Which benchmarks there are, and with which options their figures in the docs are taken."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One command."""

    name: str
    module: str
    options: str = ""
    peers: bool = False
    """Whether other frameworks can run beside."""
    work: bool = False
    """Whether it can go on where it was interrupted."""

    def arguments(self, peers: Path | None, work: Path | None) -> list[str]:
        """What `python` is given; `work` is the folder of all benchmarks."""
        found = ["-m", self.module, *self.options.split()]
        found += ["--peers", str(peers)] if self.peers and peers else []
        return found + (["--work", str(work / self.name)] if self.work and work else []) + ["--json"]

    def command(self, *, peers: bool) -> str:
        """As the docs show it: no folder of any machine."""
        words = ["python", "-m", self.module, *self.options.split()]
        return " ".join([*words, "--peers DIR"] if self.peers and peers else words)


ALL = (
    Benchmark(
        name="small",
        module="benchmarks.rounds",
        options="--log kafka sqlite --model small --rounds 30 --warm-up 30 --repeats 3",
        peers=True,
    ),
    Benchmark(
        name="large",
        module="benchmarks.rounds",
        options="--log kafka sqlite --model large --rounds 5 --repeats 3",
        peers=True,
    ),
    Benchmark(
        name="huge", module="benchmarks.rounds", options="--log kafka sqlite --model huge --rounds 2 --warm-up 1"
    ),
    Benchmark(name="stream", module="benchmarks.stream", options="--log kafka sqlite --records 100000 --repeats 3"),
    Benchmark(name="heart-disease", module="benchmarks.heart_disease", options="--seeds 5", work=True),
    Benchmark(name="stroke", module="benchmarks.stroke", options="--folds 5 --repeats 3", work=True),
    Benchmark(
        name="stroke-outcome",
        module="benchmarks.stroke",
        options="--outcome dependent6m --folds 5 --repeats 3",
        work=True,
    ),
    Benchmark(name="heart-failure", module="benchmarks.heart_failure", options="--seeds 1", work=True),
    Benchmark(name="private-steps", module="benchmarks.private_steps", options="--batch 256"),
    *(
        Benchmark(
            name=f"private-{task.replace('_', '-')}",
            module="benchmarks.privacy",
            options=f"{task} --samples {samples}",
            work=True,
        )
        for task, samples in (("stroke", 1), ("heart_failure", 3), ("heart_disease", 3))
    ),
    Benchmark(name="log", module="benchmarks.log", options="--log kafka sqlite"),
    Benchmark(name="strategies", module="benchmarks.strategies", options="--hospitals 10"),
    Benchmark(name="reconcile", module="benchmarks.reconcile", options="--jobs 1000 --curve 100 300 --active 200"),
    Benchmark(name="fleet", module="benchmarks.fleet", options="--hospitals 50,100,200"),
)
"""In the order of the docs."""
