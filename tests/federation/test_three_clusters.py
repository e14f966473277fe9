"""A hub and two hospitals, each with a Kubernetes of its own: joined, installed and trained as the guides say.

The hub and one hospital are walked by the two guides, command by command. The other hospital's staff may do nothing
on their cluster but what the guide has its administrator give them.
"""

import json
import shutil
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import mishaps
import pytest
import yaml
from hospital_cluster import hospital_cluster, values_here
from hospital_life import account, lasting, occupant, of_the_release, task_of, until_account, verify
from installation import ENTRYPOINT, HUB, QUICK, RESTRICTED, Federation, condition, ended, installed, our_images
from joining import JOIN_A_HUB, LEFT_OUT, OF_HOSPITALS, RUN_A_HUB, Pair, commands, reader
from local_runs import run_here
from needed import real_data
from real_cluster import ours_or_skip

from tests.cluster import network
from tests.cluster.places import ClusterError

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]
WALKED, STAFFED = "hungarian", "cleveland"
HOSPITALS = (STAFFED, WALKED)
SOURCE = {"persistentVolumeClaim": {"claimName": "patients"}}
HUBS_OPERATOR = ("consilia-system", "consilia-operator")
CRDS = ("datasets", "federatedjobs", "hospitals", "hospitaltasks")
SIZES = {"aggregator": QUICK, "trainer": QUICK, "ledger": QUICK, "kafka": QUICK | {"limits": {"memory": "1Gi"}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where everybody types, each in a folder of their own."""
    return tmp_path_factory.mktemp("papers")


@pytest.fixture(scope="module")
def hub(real_cluster, folder):
    """Installed, and its log opened by the guide."""
    cluster = ours_or_skip(real_cluster)
    with installed(cluster, operator={"sizes": SIZES, "resyncSeconds": 30}) as installation:
        installation.namespace(HUB, RESTRICTED)
        yield Federation(cluster, HUB, ())
        cluster.kubectl("delete", "namespace", HUB, "--ignore-not-found", timeout=300)


@pytest.fixture(scope="module")
def runs_the_hub(hub, folder):
    found = reader(folder / "hub", hub.cluster, WALKED, str(hub.cluster.addresses.node(0)), {})
    shutil.copy(hub.cluster.kubeconfig.with_name("values.json"), found.folder / "values.yaml")
    found.follow(RUN_A_HUB, "Let the log be reached")
    return found


@pytest.fixture(scope="module")
def clusters(hub, folder):
    """The hospitals', with nothing of ours but images."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(hospital_cluster(name, hub.cluster, folder)) for name in HOSPITALS}


@pytest.fixture(scope="module")
def administrator(clusters, hub, folder):
    """Of the cluster of the other hospital; what the guide asks of them is done."""
    clusters[STAFFED].prepare()
    found = reader(folder / "administrator", clusters[STAFFED].cluster, STAFFED, str(hub.cluster.addresses.node(0)), {})
    found.follow(JOIN_A_HUB, "Without rights on the cluster", "^kubectl")
    return found


@pytest.fixture(scope="module")
def staff(administrator, clusters, hub, runs_the_hub, folder):
    """Of that hospital, which has joined and is installed."""
    each, address = clusters[STAFFED], str(hub.cluster.addresses.node(0))
    each.join(HUB)
    found = reader(folder / "staff", each.staff, STAFFED, address, values_here(operator=OF_HOSPITALS))
    found.follow(JOIN_A_HUB, "Install", "(?!)")  # its files
    found.follow(JOIN_A_HUB, "Without rights on the cluster", "^helm")
    bring(each, "patients", STAFFED)
    return found


@pytest.fixture(scope="module")
def pair(clusters, hub, runs_the_hub, folder):
    """The two who follow the guides, as far as the Dataset."""
    each, address = clusters[WALKED], str(hub.cluster.addresses.node(0))
    person = reader(folder / "walked", each.cluster, WALKED, address, values_here(operator=OF_HOSPITALS))
    two = Pair(runs_the_hub, person)
    two.join()
    bring(each, "patients", WALKED)
    bring(each, "heart-records", "cleveland")
    person.follow(JOIN_A_HUB, "Install")
    person.follow(JOIN_A_HUB, "Say what may be asked for")
    runs_the_hub.follow(RUN_A_HUB, "See who is there")
    return two


def bring(each, claim, site):
    """Put a site's patients on a claim."""
    image = next(image.tag for image in our_images() if image.name == "operator")
    files = [real_data("heart_disease") / f"processed.{site}.data"]
    each.federation().bring(each.name, claim, files, image)


@pytest.fixture(scope="module")
def hospitals(staff, pair, clusters):
    """Both, each with its own patients."""
    for each in clusters.values():
        each.federation().dataset("heart-disease", ENTRYPOINT, lambda _: SOURCE)
    return clusters


@pytest.fixture(scope="module")
def job(heart_job):
    """Of ten rounds, which wants both."""
    wanted = {"names": list(HOSPITALS), "minReady": 2, "minUpdates": 2}
    rounds = {"count": 10, "deadlineSeconds": 600}
    return lambda name: heart_job(name, hospitals=wanted, rounds=rounds, resources={})


@pytest.fixture(scope="module")
def trained(hub, hospitals, job):
    """The job, as soon as it is over."""
    hub.apply(job("heart-disease"))
    return hub.until("heart-disease", ended, 400)


def test_both_hospitals_train_in_their_own_clusters_and_the_job_succeeds(hub, hospitals, trained):
    assert condition(trained, "Succeeded").get("status") == "True", json.dumps(trained, indent=1)
    assert trained["roundsCompleted"] == 10
    assert {each["name"]: each["state"] for each in trained["hospitals"]} == dict.fromkeys(sorted(hospitals), "Done")
    for name, each in hospitals.items():
        done = ("--for=condition=Done", "--timeout=60s")
        each.cluster.kubectl("wait", "hospitaltasks", "--all", "-n", name, *done, timeout=90)
    pods = hub.cluster.get("pods", "--all-namespaces", "-l", "app.kubernetes.io/component=trainer")["items"]
    assert pods == []


def test_the_model_is_the_one_of_a_local_run(hub, trained, job, tmp_path):
    assert hub.model("heart-disease") == run_here(tmp_path, job("heart-disease"))


def test_the_hospitals_own_test_finds_all_well(hospitals):
    """Its Kubernetes enforces no NetworkPolicies, which is why `isolation` is Ignored here."""
    for name, each in hospitals.items():
        said = each.cluster.helm("test", "consilia-hospital", "--namespace", name, "--timeout=2m")
        assert "Phase:          Succeeded" in said


def test_where_no_policy_is_enforced_the_hospitals_own_test_says_so(hospitals):
    """Changed, tested and taken back by its staff."""
    each = hospitals[STAFFED]
    each.upgrade("--reuse-values", "--set", "operator.isolation=Required")
    assert "does not enforce NetworkPolicies" in complaint(each)
    each.staff.helm("rollback", "consilia-hospital", "--namespace", STAFFED, "--wait")


def complaint(each):
    """What the hospital's own test says is wrong."""
    with pytest.raises(ClusterError):
        each.staff.helm("test", "consilia-hospital", "--namespace", each.name, "--timeout=4m")
    return each.staff.kubectl("logs", "consilia-hospital-operator-test", "-n", each.name)


def test_its_staff_has_rights_in_the_hospitals_namespace_and_nowhere_else(hospitals):
    each = hospitals[STAFFED]
    for asked in (("create", "pods"), ("get", "nodes"), ("create", "customresourcedefinitions"), ("get", "secrets")):
        with pytest.raises(ClusterError):
            each.staff.kubectl("auth", "can-i", *asked, "-n", "default")
    assert each.staff.kubectl("auth", "can-i", "create", "pods", "-n", STAFFED) == "yes\n"
    of_the_cluster = "clusterroles,clusterrolebindings,validatingadmissionpolicies"
    assert each.cluster.get(of_the_cluster, "-l", "app.kubernetes.io/part-of=consilia")["items"] == []


GPUS = (
    # The fake one is a number, and the image's CUDA a stub: what a node without NVIDIA's container runtime looks like.
    (
        {"gpus": 1, "seconds": 90},
        "PyTorch sees 0 of 1 GPUs: NVIDIA_VISIBLE_DEVICES is GPU-fake-0, and there is no /dev/nv",
    ),
    ({"gpus": 64, "seconds": 10}, "64 nvidia.com/gpu cannot be had, after 10 s: no node offers so many"),
    ({"gpus": 1, "seconds": 10, "taken": True}, "other pods have them: wait for these"),
)


@pytest.mark.parametrize(("asked", "words"), GPUS, ids=["not seen", "not there", "in use"])
def test_the_hospitals_own_test_says_what_keeps_its_gpus_from_trainers(hospitals, asked, words):
    each = hospitals[STAFFED]
    told = {key: value for key, value in asked.items() if key != "taken"}
    if "taken" in asked:
        each.cluster.apply(occupant(), namespace=STAFFED)
        each.cluster.wait("pod/occupant", "condition=Ready", STAFFED)
    each.upgrade(
        "--reuse-values",
        *(word for key, value in told.items() for word in ("--set", f"operator.gpuTest.{key}={value}")),
    )
    assert words in complaint(each)
    each.staff.helm("rollback", "consilia-hospital", "--namespace", STAFFED, "--wait")
    each.cluster.kubectl(
        "delete", "pod", "occupant", "-n", STAFFED, "--ignore-not-found", "--grace-period=0", "--force"
    )
    each.cluster.kubectl("wait", "jobs", "-l", "app.kubernetes.io/component=gpu-test", "--for=delete", "-n", STAFFED)


def test_the_hub_sees_its_hospitals(hub, hospitals):
    for name in hospitals:
        status = hub.cluster.get("hospital", name, "-n", HUB)["status"]
        assert condition(status, "Joined")["reason"] == "Reported"
        assert condition(status, "Available")["status"] == "True"
        offered = {each["name"] for each in status["datasets"]}
        assert offered == {"heart-disease"} | ({"cardiology"} if name == WALKED else set())


def test_a_job_that_is_deleted_is_gone_there_too(hub, hospitals, trained):
    hub.delete("heart-disease")
    for name, each in hospitals.items():
        each.cluster.kubectl("wait", "hospitaltasks", "--all", "--for=delete", "-n", name, "--timeout=60s", timeout=90)


def test_operators_die_and_a_cable_is_cut_in_the_middle_of_a_job_and_the_model_is_the_same(
    hub, hospitals, trained, job, tmp_path
):
    wanted, one, other = job("bad-day"), hospitals[STAFFED], hospitals[WALKED]
    wanted["spec"]["rounds"]["count"] = 60
    with mishaps.offered(hub, wanted, hospitals.values()) as name:
        mishaps.until_round(hub, name, 3)
        with mishaps.operator_away(hub.cluster, *HUBS_OPERATOR):
            mishaps.kill_operator(one.cluster, one.name, "consilia-hospital-operator")
            before = mishaps.round_of(other, name)
            mishaps.until(
                lambda: mishaps.round_of(other, name) >= before + 5, "no round goes on without the hub's operator"
            )
            with mishaps.offline(other):
                time.sleep(20)  # longer than a session on the log lasts without a word
        status = hub.until(name, ended, 300)
        assert condition(status, "Succeeded").get("status") == "True", json.dumps(status, indent=1)
        assert hub.model(name) == run_here(tmp_path, wanted)


def test_one_hospital_joins_and_another_leaves_in_the_middle_of_a_job(hub, hospitals, trained, job):
    wanted, (comes, goes) = job("come-and-go"), (hospitals[WALKED], hospitals[STAFFED])
    wanted["spec"]["hospitals"] |= {"minReady": 1, "minUpdates": 1}
    wanted["spec"]["rounds"] = {"count": 400, "deadlineSeconds": 30}
    by_hand = json.dumps({"spec": {"approval": {"mode": "Manual", "tasks": None}}})
    comes.cluster.kubectl("patch", "dataset", "heart-disease", "-n", comes.name, "--type=merge", "-p", by_hand)
    with mishaps.offered(hub, wanted, hospitals.values()) as name:
        mishaps.until_round(hub, name, 2)
        assert mishaps.round_of(comes, name) == 0
        mishaps.decide(goes, name, "Denied")
        mishaps.until(lambda: mishaps.state_of(hub, name, goes) == "Denied", "who denies a job is not seen to leave it")
        mishaps.decide(comes, name, "Approved")
        status = hub.until(name, ended, 300)
        assert condition(status, "Succeeded").get("status") == "True", json.dumps(status, indent=1)
        assert status["roundsCompleted"] == 400
        assert {row["name"]: row["state"] for row in status["hospitals"]} == {comes.name: "Done", goes.name: "Denied"}
        assert 0 < mishaps.round_of(goes, name) < mishaps.round_of(comes, name) == 400


@pytest.fixture(scope="module")
def decided(pair, clusters, hospitals):
    """The hub's own job, offered by its guide, put off and approved by the hospital's."""
    each = clusters[WALKED]
    pair.hub.follow(RUN_A_HUB, "Run jobs")
    pair.hospital.instead["heart-study-3100ffb2"] = task_of(each, "heart-study")["metadata"]["name"]
    pair.hospital.follow(JOIN_A_HUB, "Decide")
    pair.hub.follow(RUN_A_HUB, "See it through")
    return account(each)


def test_the_hospital_decides_on_what_the_hub_offers_and_its_ledger_pays(pair, decided):
    assert 0 < float(decided["spent"]) <= 1
    assert decided["ledgerEntries"] > 1
    assert (pair.hub.folder / "model.safetensors").stat().st_size > 0


@pytest.fixture(scope="module")
def waiting(pair, clusters, decided):
    """Another job, which a rule approves, but not at this hour."""
    each = clusters[WALKED]
    first, last = (datetime.now(UTC) + timedelta(hours=hours) for hours in (6, 7))
    shown = 'begin: "20:00", end: "06:00", timeZone: Europe/Zurich'
    pair.hospital.instead[shown] = f'begin: "{first:%H:%M}", end: "{last:%H:%M}", timeZone: UTC'
    pair.hospital.follow(JOIN_A_HUB, "Let a rule decide")
    job = yaml.safe_load((pair.hub.folder / "heart-study.yaml").read_text())
    job["metadata"]["name"] = "next-study"
    each.hub.apply(job, namespace=HUB)
    name = task_of(each, "next-study")["metadata"]["name"]
    each.cluster.wait(f"hospitaltask/{name}", "jsonpath={.status.state}=OutsideHours", WALKED)
    return name


def available(hub, name):
    """Wait until the hub hears of the hospital again."""
    hub.cluster.wait(f"hospital/{name}", "condition=Available", HUB, 90)


@pytest.fixture(scope="module")
def seen(clusters, waiting):
    """Where the ledger ended, as somebody outside has noted it down from time to time."""
    return [account(clusters[WALKED])]


@pytest.fixture(scope="module")
def changed(pair, clusters, waiting, seen):
    """What lasts, before an upgrade and after it was rolled back."""
    each = clusters[WALKED]
    before = lasting(each, waiting)
    pair.hospital.follow(JOIN_A_HUB, "Change and upgrade")
    seen.append(account(each))
    return before, lasting(each, waiting)


def test_upgraded_and_rolled_back_the_hospital_goes_on_with_all_it_had(clusters, hub, changed):
    before, after = changed
    assert after == before
    clusters[WALKED].cluster.helm("test", "consilia-hospital", "--namespace", WALKED, "--timeout=2m")
    available(hub, WALKED)


@pytest.fixture(scope="module")
def returned(pair, clusters, waiting, changed, seen):
    """What Helm has left of the release when it was uninstalled; what lasts, before that, after it, and afterwards."""
    each = clusters[WALKED]
    pair.hospital.follow(JOIN_A_HUB, "Look after it")
    seen.append(account(each))
    before = lasting(each, waiting)
    pair.hospital.follow(JOIN_A_HUB, "Stop, and come back")
    left, between = of_the_release(each), lasting(each, waiting)
    pair.hospital.follow(JOIN_A_HUB, "Install", "^helm install")
    return left, (before, between, lasting(each, waiting))


def test_uninstalled_it_leaves_what_must_last_and_nothing_else_and_installed_again_it_has_it(returned):
    left, (before, between, after) = returned
    assert left == {("CustomResourceDefinition", f"{each}.consilia.dev") for each in CRDS}
    assert before == between == after


def test_after_that_it_is_the_same_hospital_with_the_same_ledger(clusters, hub, returned, seen, tmp_path):
    each = clusters[WALKED]
    available(hub, WALKED)
    at_any_hour = json.dumps({"spec": {"approval": {"hours": None}}})
    each.cluster.kubectl("patch", "dataset", "cardiology", "-n", WALKED, "--type=merge", "-p", at_any_hour)
    assert condition(hub.until("next-study", ended), "Succeeded")["status"] == "True"
    now = until_account(each, lambda found: found["reserved"] == "0" and found["ledgerHead"] != seen[-1]["ledgerHead"])
    assert float(now["spent"]) > float(seen[-1]["spent"])
    verify(each, hub, tmp_path, *seen, now)
    hub.delete("next-study")


def test_no_connection_was_ever_opened_towards_a_hospital(hub, hospitals, trained):
    for each in hospitals.values():
        first = each.cluster.state.first.pid
        assert network.calls(first) == 0
        # And the filter does count: somebody at the hub tries to.
        mishaps.knock(each)
        assert network.calls(first) > 0


@pytest.fixture(scope="module")
def expelled(pair, returned):
    pair.hub.follow(RUN_A_HUB, "Expel")


def test_who_is_expelled_is_not_asked_any_more(expelled, hub, hospitals, job):
    hub.apply(job("again"))
    status = hub.until("again", lambda found: bool(condition(found, "Accepted")), 60)
    assert condition(status, "Accepted")["reason"] == "HospitalsNotJoined"
    hub.delete("again")
    each = hospitals[WALKED]
    assert "again" not in {
        task["spec"]["job"]["name"] for task in each.cluster.get("hospitaltasks", "-n", WALKED)["items"]
    }


@pytest.fixture(scope="module")
def left(pair, expelled):
    pair.hospital.follow(JOIN_A_HUB, "Leave")


def test_who_leaves_keeps_what_is_its_own_and_nothing_of_the_hubs(left, clusters):
    each = clusters[WALKED]
    assert each.cluster.get("hospitaltasks", "-n", WALKED)["items"] == []
    there = {secret["metadata"]["name"] for secret in each.cluster.get("secrets", "-n", WALKED)["items"]}
    assert "consilia-identity" in there
    assert "consilia-hub" not in there
    assert float(account(each)["spent"]) > 0


def test_every_command_of_both_guides_was_typed(left, pair, administrator, staff):
    typed = {command for each in (pair.hub, pair.hospital, administrator, staff) for command in each.typed}
    assert commands() - typed == set(LEFT_OUT)
