"""A task that tries to carry a patient out gets out only what is charged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_tasks import SECRET, table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("landlock"),
]

JOB = """\
apiVersion: consilia.dev/v1alpha1
kind: FederatedJob
metadata: {{name: hostile}}
spec:
  task: {{entrypoint: "hostile_tasks:{task}"}}
  dataset: patients
  hospitals: {{names: [a, b], minReady: 2, minUpdates: 2}}
  rounds: {{count: 2, deadlineSeconds: 60}}
  training: {{localSteps: 2, optimizer: {{learningRate: "{rate}"}}}}
  privacy: {{noiseMultiplier: "1"{more}}}
  evaluation: {{metrics: [{metrics}]}}
"""


def run(
    folder: Path, task: str, more: str = "", metrics: str = "loss", rate: str = "0.1"
) -> subprocess.CompletedProcess[str]:
    for name in ("a", "b"):
        (folder / "data" / name).mkdir(parents=True)
        for split in ("train", "test"):
            (folder / "data" / name / f"{split}.bin").write_bytes(table(40))
    (folder / "job.yaml").write_text(JOB.format(task=task, more=more, metrics=metrics, rate=rate))
    support = str(Path(__file__).parent.parent / "support")
    command = [Path(sys.executable).parent / "consilia", "run", "job.yaml", "--data", "data", "--no-baselines"]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": support}, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip


def files_with_the_secret(folder: Path) -> set[str]:
    """Wherever it is, but in the data themselves."""
    names = (SECRET, SECRET.replace(b"-", b"_"))
    return {
        path.name
        for path in folder.rglob("*")
        if path.is_file() and "data" not in path.parts and any(name in path.read_bytes() for name in names)
    }


@pytest.mark.parametrize(("mechanism", "rate"), [("DPSGD", "0.1"), ("Laplace", "1e-30")])
def test_the_secret_stays_in_the_hospital_whatever_the_task_tries(tmp_path, mechanism, rate):
    """Without clipping, numbers as large as the secret's would make any but the smallest steps diverge."""
    done = run(tmp_path, "Everything", more=f", mechanism: {mechanism}", metrics="loss, secret", rate=rate)

    assert done.returncode == 0, done.stdout + done.stderr
    assert SECRET.decode() not in done.stdout + done.stderr
    assert files_with_the_secret(tmp_path) == {"task-output.log"}  # what it prints is there for the hospital
    assert not Path("/tmp/leak").exists()
    assert not Path("/dev/shm/leak").exists()
    assert {path.parent.name for path in tmp_path.rglob("ledger.jsonl")} == {"a", "b"}


def test_an_honest_task_on_the_same_data_learns(tmp_path):
    done = run(tmp_path, "Reads")

    assert done.returncode == 0, done.stdout + done.stderr
    assert files_with_the_secret(tmp_path) == set()


def test_a_task_that_switches_the_noise_off_does_so_for_itself_alone(tmp_path):
    done = run(tmp_path, "Patches")
    audits = [json.loads(path.read_text()) for path in tmp_path.rglob("audit.json")]

    assert done.returncode == 0, done.stdout + done.stderr
    assert [audit["verdict"] for audit in audits] == ["Consistent", "Consistent"]


def test_the_others_hear_that_the_task_failed_and_no_word_of_why(tmp_path):
    done = run(tmp_path, "Raises")

    assert done.returncode == 1
    assert "TaskFailed" in done.stdout + done.stderr
    assert SECRET.decode() not in done.stdout + done.stderr
    assert files_with_the_secret(tmp_path) == {"task-output.log"}
