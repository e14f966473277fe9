"""What one version writes the other must take: what is new is left unsaid until somebody uses it, and nothing is lost.

Jobs, letters and messages are read strictly, and the digest of a job's spec, which all parties compare, holds its
defaults. A new field with a default of its own would so keep every job from parties of the version before, whether it
is used or not; a new field that is None does not, for None is not written.
"""

from copy import deepcopy

import pytest
from two_versions import NEW, OLD

JOB = {
    "type": "object",
    "required": ["rounds"],
    "properties": {
        "rounds": {"type": "object", "properties": {"count": {"type": "integer", "default": 5}}},
        "names": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
}


def complaints(old, new, path, closed=False):
    """What parties of one version would not take of the other's; a `closed` object takes only what it knows."""
    closed = closed or old.get("additionalProperties") is False
    before, after, required = old.get("properties", {}), new.get("properties", {}), new.get("required", [])
    for name in sorted(set(before) - set(after)):
        yield f"{path}.{name} is gone"
    for name in sorted(set(after) - set(before)):
        if name in required:
            yield f"{path}.{name} is new, and must be said"
        elif closed and after[name].get("default") is not None:
            yield f"{path}.{name} is new, and is said also where nobody uses it"
    for name in sorted(set(after) & set(before)):
        if before[name].get("default") != after[name].get("default"):
            yield f"{path}.{name} has another default"
        if name in required and name not in old.get("required", []):
            yield f"{path}.{name} must be said now"
        yield from complaints(before[name], after[name], f"{path}.{name}", closed)
    for name in sorted(set(old.get("$defs", {})) & set(new.get("$defs", {}))):
        yield from complaints(old["$defs"][name], new["$defs"][name], f"{path}/{name}")
    if "items" in old and "items" in new:
        yield from complaints(old["items"], new["items"], f"{path}[]", closed)


def changed(**fields):
    found = deepcopy(JOB)
    found["properties"]["rounds"]["properties"] |= fields
    return found


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (JOB, []),
        (changed(seed={"type": "integer"}), []),
        (changed(seed={"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}), []),
        (
            changed(seed={"type": "integer", "default": 0}),
            [".rounds.seed is new, and is said also where nobody uses it"],
        ),
        (changed(count={"type": "integer", "default": 6}), [".rounds.count has another default"]),
        (JOB | {"required": ["rounds", "names"]}, [".names must be said now"]),
        (JOB | {"properties": {"names": JOB["properties"]["names"]}}, [".rounds is gone"]),
    ],
)
def test_a_change_that_keeps_others_out_is_noticed(new, expected):
    assert list(complaints(JOB, new, "", closed=True)) == expected


def test_an_open_object_may_be_told_more():
    more = changed(mood={"type": "string", "default": "good"})
    assert list(complaints(JOB, more, "")) == []


def test_the_version_before_takes_what_this_one_writes_and_the_other_way_round(builds, tmp_path):
    with (
        builds[OLD].party(tmp_path / "old", "hub", "", tmp_path) as old,
        builds[NEW].party(tmp_path / "new", "hub", "", tmp_path) as new,
    ):
        before, after = old.words(), new.words()
    assert {"FederatedJob", "Offer", "Recall", "Handout", "Report", "JoinBundle", "Update", "RoundOpened"} <= set(after)
    assert set(before) <= set(after)
    assert after["Report"].get("additionalProperties") is not False, "a hub passes over what it does not know"
    found = [complaints(before[name], after[name], name, closed=name == "FederatedJob") for name in before]
    assert [each for some in found for each in some] == []
