"""What is known of an object goes with it."""

from consilia_operator.memory import Memory


def test_what_is_kept_is_known_until_its_object_is_forgotten():
    memory = Memory()
    assert memory.recall("1", "roster") is None
    assert memory.keep("1", "roster", "a") == "a"
    memory.keep("1", "claim", True)
    memory.keep("2", "roster", "b")
    assert memory.recall("1", "roster") == "a"
    memory.forget("1")
    memory.forget("3")
    assert [memory.recall("1", what) for what in ("roster", "claim")] == [None, None]
    assert memory.recall("2", "roster") == "b"
