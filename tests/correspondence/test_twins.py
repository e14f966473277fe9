"""Which hospitals are the same under two names: the oldest counts, whoever is looked at, and however seldom all are."""

from consilia_operator.twins import Twins

LATER = 60.0


class Hub:
    """Its Hospitals, and how often all of them were gone through."""

    def __init__(self):
        self.time, self.walks, self.there = 0.0, 0, {}
        self.twins = Twins(clock=lambda: self.time)

    def admit(self, name, key, *, cluster="", made="2026-11-22T00:00:00Z", accepted=True):
        spec = {"accepted": accepted, "cluster": "Own", "publicKey": f"{key}\n"} | (
            {"clusterDigest": cluster} if cluster else {}
        )
        metadata = {"name": name, "namespace": "hub", "creationTimestamp": made}
        self.there[name] = {"metadata": metadata, "spec": spec}

    def every(self):
        self.walks += 1
        return list(self.there.values())

    def older(self, name):
        return self.twins.older(self.there[name], self.every)


def test_the_same_key_or_the_same_cluster_is_the_same_hospital():
    hub = Hub()
    hub.admit("a", "one", cluster="x")
    hub.admit("b", "one", cluster="y", made="2026-11-22T00:00:01Z")
    hub.admit("c", "two", cluster="x", made="2026-11-22T00:00:02Z")
    hub.admit("d", "three")
    assert [hub.older(name) for name in "abcd"] == ["", "a", "a", ""]


def test_whoever_is_not_accepted_keeps_nobody_out():
    hub = Hub()
    hub.admit("a", "one", accepted=False)
    hub.admit("b", "one", made="2026-11-22T00:00:01Z")
    assert hub.older("b") == ""


def test_many_looks_go_through_all_hospitals_once():
    hub = Hub()
    for number in range(500):
        hub.admit(f"h{number}", f"key {number}")
    assert {hub.older(name) for name in hub.there} == {""}
    assert hub.walks == 1


def test_a_new_one_and_one_that_has_changed_are_seen_at_once():
    hub = Hub()
    hub.admit("a", "one")
    hub.admit("b", "two", made="2026-11-22T00:00:01Z")
    assert hub.older("b") == ""
    hub.admit("c", "one", made="2026-11-22T00:00:02Z")
    assert hub.older("c") == "a"
    hub.admit("b", "one", made="2026-11-22T00:00:01Z")
    assert hub.older("b") == "a"


def test_what_happens_to_an_older_one_is_seen_soon():
    hub = Hub()
    hub.admit("a", "one")
    hub.admit("b", "two", made="2026-11-22T00:00:01Z")
    assert hub.older("b") == ""
    hub.admit("a", "two")
    hub.time += LATER
    assert hub.older("b") == "a"
    del hub.there["a"]
    hub.time += LATER
    assert hub.older("b") == ""
