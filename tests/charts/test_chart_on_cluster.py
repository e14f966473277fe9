"""The chart on a real cluster: the guide's commands as they are printed, and what an administrator may do besides."""

import json
import shutil
from contextlib import contextmanager

import pytest
from chart import helm
from needed import missing
from pages import ROOT
from walking import walk

from scripts.images.cache import Cache
from scripts.images.making import Request, images
from tests.cluster.images import ctr
from tests.cluster.places import ClusterError
from tests.cluster.programs import Options

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
GUIDE = ROOT / "docs" / "guides" / "install.md"
CHART = ROOT / "charts" / "consilia"
REGISTRY = "registry.hospital.example/consilia"
"""The one that the guide names: nothing is ever fetched from it, the node has the image already."""
SYSTEM = "consilia-system"
CRDS = {f"{plural}.consilia.dev" for plural in ("federatedjobs", "hospitals", "datasets", "hospitaltasks")}
PASSING = ("events", "endpoints", "endpointslices", "leases.coordination.k8s.io", "componentstatuses", "replicasets")
"""Kinds that come and go by themselves; our own Lease is looked for by name."""


@pytest.fixture(scope="module")
def cluster():
    """Of its own: CRDs and ClusterRoles belong to all who use one."""
    from real_cluster import own_cluster

    archive = operator_image()
    with own_cluster("charts", Options(gpus=0)) as found:
        (name,) = found.load(archive) or [archive_name(archive)]
        ctr(found.first_process(), "images", "tag", "--force", name, f"{REGISTRY}/consilia-operator:0.2.0")
        yield found


def operator_image():
    """The archive, of the sources as they are now. Its base takes minutes, and is not for a test to make."""
    cache = Cache.of_this_user()
    if not shutil.which("buildah") or not any(cache.archives.glob("consilia-operator-*.tar")):
        missing("no images to install: build them with `make images`")
    (image,) = images(Request(names=("operator",)), cache)
    return image.archive


def archive_name(archive):
    return f"localhost/consilia-operator:{archive.stem.removeprefix('consilia-operator-')}"


def everything(cluster):
    """Kind, namespace and name of all objects but those that pass by themselves."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    listed = ",".join(kind for kind in kinds if not kind.startswith(PASSING))
    lines = cluster.kubectl("get", listed, "-A", "--ignore-not-found", "-o", "jsonpath={range .items[*]}{.kind} "
                            "{.metadata.namespace} {.metadata.name}{'\\n'}{end}").splitlines()  # fmt: skip
    return {tuple(line.split(" ")) for line in lines}


def settled(cluster, namespace):
    """Wait until no pod is left in a namespace."""
    cluster.kubectl("wait", "pods", "--all", "--for=delete", "-n", namespace, "--timeout=60s")


@pytest.fixture
def guide(cluster, tmp_path, monkeypatch):
    """Where the guide's reader types."""
    for name in ("charts", "crds"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("KUBECONFIG", "PATH"):
        monkeypatch.setenv(name, cluster.environment[name])
    return tmp_path


def test_the_guide_installs_tests_upgrades_rolls_back_and_removes(cluster, guide):
    before = everything(cluster)
    done = walk(GUIDE, guide)
    settled(cluster, SYSTEM)
    assert [command.split()[:2] for command in done if command.startswith("helm")] == [
        ["helm", verb] for verb in ("install", "test", "upgrade", "rollback", "uninstall")
    ]
    made = {(kind, name) for kind, namespace, name in everything(cluster) - before}
    default = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
    assert made == {("Namespace", name) for name in (SYSTEM, "hub", "riverside")} | default
    leases = cluster.kubectl("get", "leases", "-n", SYSTEM, "-o", "name")
    cluster.kubectl("delete", "namespace", SYSTEM, "hub", "riverside")
    assert leases == ""


@contextmanager
def released(cluster, namespace, *flags, name="consilia"):
    """A release, uninstalled afterwards."""
    image = f"images.registry={REGISTRY}"
    try:
        yield cluster.helm("install", name, CHART, "-n", namespace, "--set", image, *flags)
    finally:
        cluster.helm("uninstall", name, "-n", namespace, "--wait", "--ignore-not-found")
        settled(cluster, namespace)


IDLE = ("--set", "images.pullPolicy=Never,images.operator.tag=none")
"""Nothing is started: for what Helm alone does."""


def read_all(cluster):
    """Read each kind once: an API server that never did may take minutes to delete one."""
    cluster.kubectl("get", ",".join(sorted(CRDS)), "-A")


def delete_crds(cluster):
    read_all(cluster)
    cluster.kubectl("delete", "crds", "--ignore-not-found", *CRDS)


@pytest.fixture
def crds(cluster):
    """Applied by hand, as the guide has it for those who may not change the cluster."""
    cluster.kubectl("apply", "--server-side", "-f", ROOT / "crds")
    yield
    delete_crds(cluster)


def log(cluster, namespace):
    return cluster.kubectl("logs", "deployment/consilia-operator", "-n", namespace)


HOSPITAL = {
    "apiVersion": "consilia.dev/v1alpha1",
    "kind": "Hospital",
    "spec": {"accepted": True},
}


def joined(cluster, hub, hospital):
    """Whether the operator let a hospital join, once it has looked."""
    cluster.wait(f"hospital/{hospital}", "jsonpath={.status.conditions[0].type}", hub)
    conditions = cluster.get("hospital", hospital, "-n", hub)["status"]["conditions"]
    return next(each["status"] for each in conditions if each["type"] == "Joined")


@pytest.mark.parametrize(
    ("reader", "consent"), [(True, ["True", "False"]), (False, ["True", "True"])], ids=["labels", "list"]
)
def test_namespaced_it_works_in_its_namespaces_and_has_no_rights_elsewhere(cluster, crds, reader, consent):
    with (
        cluster.namespace("operators", **{"pod-security.kubernetes.io/enforce": "restricted"}) as system,
        cluster.namespace("hub") as hub,
        cluster.namespace("riverside", **{"consilia.dev/hub": hub}) as riverside,
        cluster.namespace("hilltop") as hilltop,
        cluster.namespace("stranger") as stranger,
    ):
        namespaces = f"watchNamespaces={{{hub},{riverside},{hilltop}}}"
        flags = ("--set", namespaces, "--set", f"crds.install=false,rbac.namespaceReader={str(reader).lower()}")
        with released(cluster, system, *flags, "--wait", "--timeout=120s"):
            assert "Phase:          Succeeded" in cluster.helm("test", "consilia", "-n", system)
            for hospital in (riverside, hilltop):
                cluster.apply(HOSPITAL | {"metadata": {"name": hospital}}, namespace=hub)
            assert [joined(cluster, hub, hospital) for hospital in (riverside, hilltop)] == consent
            account = f"--as=system:serviceaccount:{system}:consilia-operator"
            where = (hub, riverside, hilltop, stranger, system)
            rules = [cluster.kubectl("auth", "can-i", "--list", account, "-n", each) for each in where]
            assert ["secrets" in listed for listed in rules] == [True, True, True, False, False]
            assert "orbidden" not in log(cluster, system)


def test_jobs_outlive_a_release_and_the_next_one_of_its_name_takes_them_over(cluster):
    with cluster.namespace("operators") as system, cluster.namespace("hub") as hub:
        with released(cluster, system, *IDLE):
            cluster.apply(HOSPITAL | {"metadata": {"name": "riverside"}}, namespace=hub)
        assert cluster.get("hospitals", "-n", hub)["items"]
        with released(cluster, system, *IDLE):
            assert cluster.get("hospitals", "-n", hub)["items"]
        with (
            pytest.raises(ClusterError, match="invalid ownership metadata"),
            released(cluster, system, *IDLE, name="other"),
        ):
            pass
        with released(cluster, system, *IDLE, "--take-ownership", "--set", "crds.keep=false", name="other"):
            assert cluster.get("hospitals", "-n", hub)["items"]
            read_all(cluster)
        assert "consilia.dev" not in cluster.kubectl("get", "crds", "-o", "name")


def test_an_upgrade_brings_the_crds_up_to_date(cluster):
    name = "datasets.consilia.dev"
    with cluster.namespace("operators") as system, released(cluster, system, *IDLE):
        new = cluster.get("crd", name)["spec"]
        patch = [{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/status"}]
        cluster.kubectl("patch", "crd", name, "--type=json", "-p", json.dumps(patch))
        assert cluster.get("crd", name)["spec"] != new
        cluster.helm("upgrade", "consilia", CHART, "-n", system, *IDLE)
        assert cluster.get("crd", name)["spec"] == new
    delete_crds(cluster)


def test_helms_test_says_what_is_wrong(cluster, crds):
    with cluster.namespace("operators") as system:
        with released(cluster, system, "--set", "crds.install=false,rbac.create=false"):
            with pytest.raises(ClusterError):
                cluster.helm("test", "consilia", "-n", system, "--timeout=60s")
            said = cluster.kubectl("logs", "consilia-operator-test", "-n", system)
            cluster.kubectl("delete", "pod", "consilia-operator-test", "-n", system)
        assert "is not ready" in said
        assert "the operator may not create secrets in all namespaces. Set rbac.create=true" in said


def test_a_second_release_in_a_namespace_is_refused(cluster):
    second = ("install", "other", CHART, "--set", "crds.install=false")
    keep_nothing = (*IDLE, "--set", "crds.keep=false")
    with cluster.namespace("operators") as system, released(cluster, system, *keep_nothing):
        read_all(cluster)
        with pytest.raises(ClusterError, match="invalid ownership metadata"):
            cluster.helm(*second, "-n", system)


RICH = {
    "images": {"pullSecrets": ["login"]},
    "serviceAccount": {"create": False, "name": "default"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"app": "x"}},
                    },
                }
            ]
        }
    },
    "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
    "commonLabels": {"team": "ai"},
    "commonAnnotations": {"contact": "ai@hospital.example"},
    "networkPolicy": {"extraEgress": [{"ports": [{"port": 9094}], "to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]},
    "operator": {"monitoring": {"namespaceLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
}


@pytest.mark.parametrize("values", [RICH, RICH | {"watchNamespaces": ["default"]}], ids=["cluster", "namespaces"])
def test_a_real_api_server_knows_every_field_of_every_object(cluster, values):
    text = helm("template", "consilia", CHART, "-n", "default", values=values)
    cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-n", "default", "-f", "-", stdin=text)
