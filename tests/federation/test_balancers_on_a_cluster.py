"""`outside.type: LoadBalancer` on a real cluster whose balancer is played: packets go the way that they would go."""

import base64
import json

import pytest
from brokers_on_loopback import resolving
from hospital_cluster import consilia
from installation import QUICK, RESTRICTED, installed
from real_cluster import ours_or_skip

from consilia.enrolment.keeping import KEY_FILE, LINK
from consilia.enrolment.papers import JoinBundle
from consilia.kafka.connection import make_admin
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.log import topics
from consilia_operator.transport.credentials import by_certificate

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
HUB, HOSPITAL, PORT = "balanced-hub", "balanced-hospital", 9443
SERVICE = "consilia-kafka-outside-0"


@pytest.fixture(scope="module")
def cluster(real_cluster):
    found = ours_or_skip(real_cluster)
    outside = {"type": "LoadBalancer", "host": "kafka-{broker}.hub.example", "port": PORT}
    sizes = {"kafka": QUICK | {"limits": {"memory": "1Gi"}}}
    with installed(found, operator={"sizes": sizes, "outside": outside, "resyncSeconds": 30}) as installation:
        for name in (HUB, HOSPITAL):
            installation.namespace(name, RESTRICTED)
        yield found
        found.kubectl("delete", "namespace", HUB, HOSPITAL, "--ignore-not-found", timeout=300)


def join(cluster, folder):
    """As the guides say; the bundle."""
    request, bundle = folder / "request.json", folder / "bundle.json"
    asked = json.loads(consilia(cluster, "enroll", "request", "-n", HOSPITAL, "-o", str(request), "--json"))
    words = ("enroll", "admit", str(request), "-n", HUB, "-o", str(bundle), "--json")
    consilia(cluster, *words, "--fingerprint", asked["fingerprint"])
    return JoinBundle.read(bundle.read_bytes())


def balance(cluster):
    """What a cloud does: the Service gets an address, to which this machine has a way. Which one it is."""
    address = str(cluster.addresses.services[-9])
    status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
    cluster.kubectl("patch", "service", SERVICE, "-n", HUB, "--subresource=status", "--type=merge", "-p", status)
    return address


def settings(cluster, bundle, folder):
    """As the hospital has them."""
    files = cluster.get("secret", LINK, "-n", HOSPITAL)["data"]
    own = bundle.certificate.encode(), base64.b64decode(files[KEY_FILE])
    way = by_certificate(bundle.bootstrap_servers, bundle.ca.encode(), *own)
    for name, content in way.files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return KafkaSettings.load(folder / "kafka.json")


def test_a_hospital_comes_by_the_balancers_address_under_the_name_that_the_broker_tells(cluster, tmp_path):
    bundle = join(cluster, tmp_path)
    assert bundle.bootstrap_servers == (f"kafka-0.hub.example:{PORT}",)
    spec = cluster.get("service", SERVICE, "-n", HUB)["spec"]
    assert (spec["type"], spec["externalTrafficPolicy"], spec["ports"][0]["port"]) == ("LoadBalancer", "Local", PORT)
    own = settings(cluster, bundle, tmp_path)
    # Both the first call and the one after the broker's answer go to its name, which its certificate is for.
    with resolving({"kafka-0.hub.example": balance(cluster)}), plain_errors(own, doing="look"), make_admin(own) as log:
        seen = {topic for topic in log.list_topics() if not topic.startswith("__")}
    assert seen == {topics.offers(HOSPITAL), topics.reports(HOSPITAL)}
