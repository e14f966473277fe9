"""A private run of a task that lies beside the job, as everybody begins: keys and ledgers come to lie there too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TASK = """
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import TensorDataset

from consilia_workers.task import Task

from helpers import SIZE
from shapes.wide import WIDTH


class Mine(Task):
    def model(self):
        return nn.Linear(WIDTH, 1)

    def loss(self, model, batch):
        assert not list_of(Path("consilia-runs"))
        features, labels = batch
        return binary_cross_entropy_with_logits(model(features).squeeze(1), labels)

    def predict(self, model, batch):
        features, labels = batch
        return torch.sigmoid(model(features).squeeze(1)), labels

    def data(self, source, split):
        assert not list_of(Path("consilia-runs"))
        draws = torch.Generator().manual_seed(len(source.hospital))
        features = torch.randn(SIZE, WIDTH, generator=draws)
        return TensorDataset(features, (features[:, 0] > 0).float())


def list_of(folder):
    try:
        return list(folder.iterdir())
    except PermissionError:
        return []
"""
JOB = {
    "apiVersion": "consilia.dev/v1alpha1",
    "kind": "FederatedJob",
    "metadata": {"name": "mine"},
    "spec": {
        "task": {"entrypoint": "mytask:Mine"},
        "dataset": "mine",
        "hospitals": {"names": ["north", "lakeview"], "minReady": 2, "minUpdates": 2},
        "rounds": {"count": 1, "deadlineSeconds": 60},
        "training": {"localSteps": 1, "optimizer": {"name": "SGD", "learningRate": "1"}},
        "privacy": {"epsilon": "8", "sampleRate": "1"},
        "evaluation": {"everyRounds": 0, "metrics": ["auc"]},
    },
}


def dataset(hospital):
    return {
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "mine", "namespace": hospital},
        "spec": {"source": {"builtin": {}}},
    }


@pytest.mark.parametrize("mechanism", ["DPSGD", "Gaussian"])
def test_a_private_job_runs_where_its_task_its_keys_and_its_ledger_lie_in_one_folder(tmp_path, mechanism):
    (tmp_path / "mytask.py").write_text(TASK)
    (tmp_path / "helpers.py").write_text("SIZE = 40\n")
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "wide.py").write_text("WIDTH = 3\n")
    privacy = {**JOB["spec"]["privacy"], "mechanism": mechanism}
    if mechanism != "DPSGD":
        del privacy["sampleRate"]
    documents = [JOB | {"spec": JOB["spec"] | {"privacy": privacy}}, dataset("north"), dataset("lakeview")]
    (tmp_path / "job.yaml").write_text("\n---\n".join(json.dumps(each) for each in documents))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [Path(sys.executable).with_name("consilia"), "run", "job.yaml"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=180
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = next((tmp_path / "consilia-runs").rglob("report.json"))
    assert json.loads(report.read_text())["seeds"]
