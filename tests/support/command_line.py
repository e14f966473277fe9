"""`consilia` as it is typed: in a process of its own, with a job that takes a second and needs no framework."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

SUPPORT = Path(__file__).parent


def job_file(
    folder: Path,
    *,
    rounds: int = 3,
    names: tuple[str, ...] = ("a", "bb"),
    ready: int = 1,
    deadline: int = 20,
    **parameters: object,
) -> Path:
    """A job that the learner `Drifting` plays; `deadline` is a round's, in seconds, `parameters` are the learner's."""
    job = {
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": "drift"},
        "spec": {
            "task": {"entrypoint": "drifting:Drifting", "parameters": parameters},
            "dataset": "anything",
            "hospitals": {"names": list(names), "minReady": ready, "minUpdates": 1},
            "rounds": {"count": rounds, "deadlineSeconds": deadline},
        },
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from consilia_workers.cli.app import main; main()", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SUPPORT), "COLUMNS": "200"}


def consilia(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run to the end in this folder; `variables` are of the environment."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_args(file: Path, *more: object) -> list[object]:
    """A run of that job, on the data beside it."""
    return ["run", file, "--data", file.parent, "--no-baselines", *more]


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """Run in a session of its own, so that Ctrl-C reaches it and its children as from a terminal."""
    return subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], words: str) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if words in line:
            return
    pytest.fail(f"{words!r} was never printed")


def run_folder(folder: Path) -> Path:
    return max((folder / "consilia-runs" / "drift").iterdir())


def model(folder: Path) -> bytes:
    return (run_folder(folder) / "seed-0" / "model.safetensors").read_bytes()
