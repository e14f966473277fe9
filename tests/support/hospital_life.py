"""What is looked at in a hospital's cluster: what came of a job, what lasts beyond the release, what Helm has made."""

import time

from hospital_cluster import consilia
from installation import HUB, loader, our_images


def task_of(each, job, seconds=60):
    """The HospitalTask that came of a job, as soon as it is there."""
    deadline = time.monotonic() + seconds
    while True:
        for task in each.cluster.get("hospitaltasks", "-n", each.name)["items"]:
            if task["spec"]["job"]["name"] == job:
                return task
        assert time.monotonic() < deadline, f"{job} was not offered"
        time.sleep(0.5)


def account(each):
    """What the Dataset's status says of its ledger."""
    return each.cluster.get("dataset", "cardiology", "-n", each.name)["status"]


def until_account(each, so, seconds=60):
    """The same, as soon as it is so."""
    deadline = time.monotonic() + seconds
    while not so(found := account(each)):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


def lasting(each, task):
    """What must stay the same whatever happens to the release: keys, claims, Datasets, tasks."""
    kinds = {
        "secret": ("consilia-identity", "consilia-hub"),
        "persistentvolumeclaim": ("consilia-ledger", "heart-records", "patients"),
        "dataset": ("cardiology", "heart-disease"),
        "hospitaltask": (task,),
        "crd": ("datasets.consilia.dev", "hospitaltasks.consilia.dev"),
    }
    found = {
        (kind, name): each.cluster.get(kind, name, "-n", each.name) for kind, names in kinds.items() for name in names
    }
    return {key: (one["metadata"]["uid"], one.get("data")) for key, one in found.items()}


def of_the_release(each):
    """Everything in the cluster that Helm has made, but pods that are about to go: kind and name."""
    kinds = each.cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    listed = ",".join(kind for kind in kinds if not kind.startswith(("events", "componentstatuses")))
    chosen = ("-A", "-l", "app.kubernetes.io/managed-by=Helm,app.kubernetes.io/part-of=consilia")
    found = [one for one in each.cluster.get(listed, *chosen)["items"] if "deletionTimestamp" not in one["metadata"]]
    return {(one["kind"], one["metadata"]["name"]) for one in found}


def verify(each, hub, folder, *heads):
    """By `consilia ledger verify`: all of it is signed with the key that the hub knows, and all heads are in it."""
    where = ("exec", "deploy/consilia-ledger", "-n", each.name, "--")
    (folder / "ledger.jsonl").write_text(each.cluster.kubectl(*where, "cat", "/state/ledger/ledger.jsonl"))
    (folder / "key.pem").write_text(hub.cluster.get("hospital", each.name, "-n", HUB)["spec"]["publicKey"])
    distinct = {f"{head['ledgerEntries']}:{head['ledgerHead']}" for head in heads}
    seen = [word for head in sorted(distinct) for word in ("--head", head)]
    said = consilia(each.cluster, "ledger", "verify", str(folder), "--key", str(folder / "key.pem"), *seen)
    assert f"all {len(distinct)} that were given" in said


def occupant():
    """A pod that has the node's GPU."""
    pod = loader("unused", next(each.tag for each in our_images() if each.name == "operator"))
    (container,) = pod["spec"]["containers"]
    del container["volumeMounts"], pod["spec"]["volumes"]
    container["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    return pod | {"metadata": {"name": "occupant"}}
