from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from consilia_operator import store as the_store
from consilia_operator.kinds import DATASET, JOB
from consilia_operator.names import JOB_UID
from consilia_operator.store import Key, Store, key_of

NAMESPACES, NAMES = ("h", "g"), ("x", "y")


def document(namespace, name, version, uid="1", **labels):
    metadata = {"namespace": namespace, "name": name, "resourceVersion": str(version), "uid": uid, "labels": labels}
    return {"kind": "Dataset", "metadata": metadata}


PLACES = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "remove"]), PLACES, st.integers(1, 30))
    | st.tuples(
        st.just("replace"),
        st.sampled_from((*NAMESPACES, None)),
        st.tuples(st.dictionaries(PLACES, st.integers(1, 30)), st.integers(1, 30)),
    ),
    max_size=20,
)


@given(STEPS)
def test_the_store_is_a_dictionary_in_which_the_newest_version_of_each_name_wins(steps):
    store, model = Store(), Model()
    for what, place, value in steps:
        if what == "put":
            assert store.put(DATASET, document(*place, value)) == model.put(place, value)
        elif what == "remove":
            assert store.remove(DATASET, document(*place, value)) == model.end(place, value)
        else:
            _replace(store, model, place, *value)
        for namespace in (None, *NAMESPACES):
            there = {key_of(DATASET, each) for each in store.all(DATASET, namespace)}
            assert there == {Key(DATASET, *key) for key in model.there if namespace in (None, key[0])}
        for key, version in model.there.items():
            assert store.get(Key(DATASET, *key))["metadata"]["resourceVersion"] == str(version)


class Model:
    """Which version is there of every name, and since which there is none."""

    def __init__(self):
        self.there, self.gone = {}, {}

    def put(self, place, version):
        if version <= max(self.there.get(place, 0), self.gone.get(place, 0)):
            return False
        self.there[place] = version
        return True

    def end(self, place, version):
        self.gone[place] = max(version, self.gone.get(place, 0))
        return place in self.there and version >= self.there[place] and bool(self.there.pop(place))


def _replace(store, model, namespace, listed, version):
    listed = {place: own for place, own in listed.items() if namespace in (None, place[0])}
    documents = [document(*place, own) for place, own in listed.items()]
    news, gone = store.replace(DATASET, namespace, documents, str(version))
    missing = {place for place in model.there if namespace in (None, place[0])} - listed.keys()
    assert {(key.namespace, key.name) for key in gone} == {place for place in missing if model.end(place, version)}
    assert {(key.namespace, key.name) for key in news} == {
        place for place, own in listed.items() if model.put(place, own)
    }


LISTS = st.tuples(st.sampled_from((*NAMESPACES, None)), st.integers(0, 12))


@given(st.lists(st.tuples(PLACES, st.booleans()), max_size=12), st.lists(st.none() | LISTS))
def test_lists_that_were_under_way_beside_the_watch_bring_nothing_back_and_take_nothing_away(history, heard):
    past, store, watched = _past(history), Store(), 0
    listed = dict.fromkeys(product(NAMESPACES, NAMES), 0)
    for each in heard:  # None is the watch's next event
        if each is None:
            watched = min(watched + 1, len(history))
            _watch(store, past, watched)
        else:
            namespace, version = each[0], min(each[1], len(history))
            found = {place: own for place, own in past[version].items() if namespace in (None, place[0])}
            store.replace(DATASET, namespace, [document(*place, own) for place, own in found.items()], str(version))
            listed |= {place: max(version, listed[place]) for place in listed if namespace in (None, place[0])}
        for place, version in listed.items():
            there = store.get(Key(DATASET, *place))
            own = int(there["metadata"]["resourceVersion"]) if there else None
            assert own in {past[when].get(place) for when in range(watched, max(watched, version) + 1)}


def _past(history):
    """What there was, with its version, after so many steps: each writes an object or deletes it."""
    past = [{}]
    for version, (place, written) in enumerate(history, 1):
        now = past[-1] | ({place: version} if written else {})
        past.append(now if written else {other: own for other, own in now.items() if other != place})
    return past


def _watch(store, past, version):
    for place in product(NAMESPACES, NAMES):
        before, after = (past[when].get(place) for when in (version - 1, version))
        if after is None and before is not None:
            store.remove(DATASET, document(*place, version))
        elif after != before:
            store.put(DATASET, document(*place, after))


def test_the_end_of_an_older_object_of_the_same_name_is_not_that_of_the_newer_one():
    store = Store()
    store.put(DATASET, document("h", "x", 9, uid="new"))
    assert not store.remove(DATASET, document("h", "x", 8, uid="old"))
    assert store.get(Key(DATASET, "h", "x"))["metadata"]["uid"] == "new"
    assert store.remove(DATASET, document("h", "x", 10, uid="new"))


def test_what_is_gone_is_not_mourned_for_ever(monkeypatch):
    store = Store()
    monkeypatch.setattr(the_store, "_MOURNED", 0)
    for version in range(1, 9):
        store.put(DATASET, document("h", f"x{version}", version))
        store.remove(DATASET, document("h", f"x{version}", version))
    assert [key.name for key in store._gone] == ["x8"]


def test_what_is_late_to_be_told_of_an_older_object_of_the_same_name_is_not_believed():
    store = Store()
    store.put(DATASET, document("h", "x", 9, uid="new"))
    assert not store.put(DATASET, document("h", "x", 8, uid="old"))
    assert store.get(Key(DATASET, "h", "x"))["metadata"]["uid"] == "new"


def test_objects_are_found_by_all_of_their_labels_and_kinds_are_kept_apart():
    store = Store()
    store.put(DATASET, document("h", "x", 1, a="1", b="2"))
    store.put(DATASET, document("g", "y", 2, a="1"))
    store.put(JOB, document("h", "z", 3, a="1"))
    assert [each["metadata"]["name"] for each in store.matching(DATASET, None, {"a": "1"})] == ["x", "y"]
    assert [each["metadata"]["name"] for each in store.matching(DATASET, None, {"a": "1", "b": "2"})] == ["x"]
    assert [each["metadata"]["name"] for each in store.matching(DATASET, "g", {"a": "1"})] == ["y"]
    assert list(store.matching(DATASET, None, {"a": "2"})) == []


LABELLED = st.tuples(PLACES, st.sampled_from(("1", "2", None)))


@given(st.lists(LABELLED, max_size=20))
def test_an_indexed_label_finds_what_going_through_all_objects_would(steps):
    store, model = Store(), {}
    for version, (place, job) in enumerate(steps, 1):
        if job is None:
            store.remove(DATASET, document(*place, version))
            model.pop(place, None)
        else:
            store.put(DATASET, document(*place, version, **{JOB_UID: job}))
            model[place] = job
        for wanted in ("1", "2"):
            found = {key_of(DATASET, each) for each in store.matching(DATASET, "h", {JOB_UID: wanted})}
            assert found == {Key(DATASET, *key) for key, value in model.items() if (key[0], value) == ("h", wanted)}


def test_the_managed_fields_which_nobody_reads_are_not_kept():
    store = Store()
    made = document("h", "x", 1)
    made["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    store.put(DATASET, made)
    assert "managedFields" not in store.get(Key(DATASET, "h", "x"))["metadata"]
