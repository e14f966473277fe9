"""How long `kubectl apply` takes to the first round, part by part: `python -m scripts.first_round` on a demo cluster.

Deletes the hub's jobs and applies the example's anew, twice: with Kafka's disk and pods taken away before, and with
Kafka up. Kubernetes keeps whole seconds; so do these figures. KUBECONFIG names the cluster.
"""

import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

HUB, NAME = "hub", "first-round"
EXAMPLE = Path("examples/cluster/breast-cancer.yaml")
PATIENCE = 180.0


def kubectl(*arguments: str, document: object = None) -> str:
    """What kubectl prints."""
    text = None if document is None else json.dumps(document)
    done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def take_kafka_away() -> None:
    """All of the hub's managed Kafka, and what is on its disk."""
    kinds = "statefulset,service,configmap,secret,persistentvolumeclaim,networkpolicy"
    kubectl("delete", kinds, "-n", HUB, "-l", "app.kubernetes.io/component=kafka", "--ignore-not-found")
    kubectl("wait", "pods", "-n", HUB, "-l", "app.kubernetes.io/component=kafka", "--for=delete", "--timeout=120s")


def job() -> dict[str, Any]:
    """The example's job, of one round, under a name of its own."""
    documents = yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8"))
    (found,) = (each for each in documents if each["kind"] == "FederatedJob")
    found["metadata"]["name"] = NAME
    found["spec"]["rounds"]["count"] = 1
    return dict(found)


def measure() -> dict[str, float]:
    """Seconds since the job was created, at each step."""
    kubectl("apply", "-f", "-", document=job())
    status = _until_first_round()
    created = json.loads(kubectl("get", "fj", NAME, "-n", HUB, "-o", "json"))["metadata"]["creationTimestamp"]
    pods = json.loads(
        kubectl("get", "pods", "-A", "-l", "app.kubernetes.io/component in (aggregator,trainer)", "-o", "json")
    )
    started = [
        container["state"]["running"]["startedAt"]
        for pod in pods["items"]
        for container in pod["status"].get("containerStatuses", ())
        if NAME in pod["metadata"]["name"] and "running" in container["state"]
    ]
    ready = next(each for each in status["conditions"] if each["type"] == "TransportReady")["lastTransitionTime"]
    moments = {
        "Kafka is ready": ready,
        "the last program has started": max(started),
        "round 1 is open": status["startTime"],
    }
    return {what: _seconds(moment) - _seconds(created) for what, moment in moments.items()}


def _until_first_round() -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        status: dict[str, Any] = json.loads(kubectl("get", "fj", NAME, "-n", HUB, "-o", "json")).get("status", {})
        if "startTime" in status:
            return status
        time.sleep(0.2)
    sys.exit(f"no round within {PATIENCE:.0f} s; see: kubectl -n {HUB} describe fj {NAME}")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def main() -> None:
    """Measure, and print."""
    found = {}
    for what, prepare in (("cold Kafka", take_kafka_away), ("Kafka is up", lambda: None)):
        # The demonstration's as well: what its aggregator asks for, a small node does not have twice.
        kubectl("delete", "fj", "--all", "-n", HUB)
        time.sleep(5)
        prepare()
        found[what] = measure()
    kubectl("delete", "fj", NAME, "-n", HUB)
    json.dump(found, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
