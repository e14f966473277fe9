"""The figures of the last run of each benchmark, in benchmarks/results.json; no name of a machine, no folder."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from consilia import __version__

FILE = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one command printed, when and on what."""

    command: str
    date: str
    """ISO 8601, local."""
    consilia: str
    """The version."""
    machine: str
    """Processor, cores, memory, system, Python."""
    measured: Mapping[str, Any]
    """The benchmark's JSON line; its fields stand in the benchmark's module."""

    @classmethod
    def now(cls, command: str, measured: Mapping[str, Any]) -> "Result":
        """Taken here and now."""
        today = datetime.now().astimezone().date().isoformat()
        return cls(command=command, date=today, consilia=__version__, machine=this_machine(), measured=measured)


Results = Mapping[str, Result]
"""By the benchmark's name."""


def load(file: Path = FILE) -> dict[str, Result]:
    """All that is kept; nothing where there is no file yet."""
    if not file.exists():
        return {}
    return {name: Result(**fields) for name, fields in json.loads(file.read_text(encoding="utf-8")).items()}


def save(results: Results, file: Path = FILE) -> None:
    """Write all, whole or not at all."""
    draft = file.with_suffix(".draft")
    text = json.dumps({name: asdict(result) for name, result in results.items()}, indent=1)
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(file)


def this_machine() -> str:
    """In a few words, without its name."""
    memory = round(psutil.virtual_memory().total / 2**30)
    system = f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory} GiB of memory, {system}, Python {platform.python_version()}"
    )


def _processor() -> str:
    """Its model, as the kernel calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
