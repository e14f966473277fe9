from hypothesis import given
from hypothesis import strategies as st

from consilia_operator.kinds import DATASET, JOB
from consilia_operator.names import JOB_UID
from consilia_operator.store import Key, Store, key_of

NAMESPACES, NAMES = ("h", "g"), ("x", "y")


def document(namespace, name, version, uid="1", **labels):
    metadata = {"namespace": namespace, "name": name, "resourceVersion": str(version), "uid": uid, "labels": labels}
    return {"kind": "Dataset", "metadata": metadata}


PLACES = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
STEPS = st.lists(
    st.tuples(st.just("put"), PLACES, st.integers(1, 30))
    | st.tuples(st.just("remove"), PLACES, st.none())
    | st.tuples(st.just("replace"), st.sampled_from((*NAMESPACES, None)), st.dictionaries(PLACES, st.integers(1, 30))),
    max_size=20,
)


@given(STEPS)
def test_the_store_is_a_dictionary_in_which_the_newest_version_wins(steps):
    store, model = Store(), {}
    for what, place, value in steps:
        if what == "put":
            assert store.put(DATASET, document(*place, value)) == (value > model.get(place, 0))
            model[place] = max(value, model.get(place, 0))
        elif what == "remove":
            assert store.remove(Key(DATASET, *place)) == (model.pop(place, None) is not None)
        else:
            _replace(store, model, place, value)
        for namespace in (None, *NAMESPACES):
            there = {key_of(DATASET, each) for each in store.all(DATASET, namespace)}
            assert there == {Key(DATASET, *key) for key in model if namespace in (None, key[0])}
        for key, version in model.items():
            assert store.get(Key(DATASET, *key))["metadata"]["resourceVersion"] == str(version)


def _replace(store, model, namespace, listed):
    listed = {place: version for place, version in listed.items() if namespace in (None, place[0])}
    news, gone = store.replace(DATASET, namespace, [document(*place, version) for place, version in listed.items()])
    known = {place for place in model if namespace in (None, place[0])}
    assert {(key.namespace, key.name) for key in gone} == known - listed.keys()
    assert {(key.namespace, key.name) for key in news} == {
        place for place, version in listed.items() if version > model.get(place, 0)
    }
    for place in known - listed.keys():
        del model[place]
    model.update({place: max(version, model.get(place, 0)) for place, version in listed.items()})


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
    for version, (place, job) in enumerate(steps):
        if job is None:
            store.remove(Key(DATASET, *place))
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
