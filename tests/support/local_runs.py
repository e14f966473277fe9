"""What a cluster's job comes to on this machine, without Kubernetes or Kafka."""

import json
import os
import subprocess
import sys
from pathlib import Path

from needed import DATA


def run_here(folder, job):
    """Run the job by `consilia run`; the model's bytes."""
    for key in ("resources", "transport"):  # of a cluster's only
        job["spec"].pop(key, None)
    (folder / "job.yaml").write_text(json.dumps(job))
    command = [Path(sys.executable).with_name("consilia"), "run", folder / "job.yaml", "--no-baselines"]
    environment = {**os.environ, "CONSILIA_DATA": str(DATA)}
    subprocess.run([*command, "--out", folder / "runs"], check=True, timeout=280, env=environment)
    (model,) = folder.rglob("model.safetensors")
    return model.read_bytes()
