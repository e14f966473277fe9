"""When a round ends: a table of rules."""

import pytest

from consilia_workers.rounds.quorum import Attendance, Quorum

ABC = {"a", "b", "c"}


def decide(
    arrived: set[str], *, rule: str = "Drop", overdue: bool = False, extensions: int = 0, **changes: object
) -> str:
    given = {"present": ABC, "arrived": arrived, "possible": 3, "overdue": overdue, "extensions": extensions, **changes}
    return Quorum(minimum_updates=2, rule=rule, maximum_extensions=1).decide(Attendance(**given))


@pytest.mark.parametrize(
    ("case", "decision"),
    [
        ({"arrived": set()}, "Collect"),
        ({"arrived": {"a", "b"}}, "Collect"),
        ({"arrived": ABC}, "Close"),
        ({"arrived": {"a", "b"}, "overdue": True}, "Close"),
        ({"arrived": {"a"}, "overdue": True}, "Extend"),
        ({"arrived": {"a"}, "overdue": True, "extensions": 1}, "Fail"),
        ({"arrived": {"a", "b"}, "overdue": True, "rule": "Wait"}, "Extend"),
        ({"arrived": {"a", "b"}, "overdue": True, "rule": "Wait", "extensions": 1}, "Fail"),
        ({"arrived": ABC, "overdue": True, "rule": "Wait"}, "Close"),
        ({"arrived": {"a", "b"}, "present": {"a", "b"}}, "Close"),
        ({"arrived": {"a"}, "present": {"a"}}, "Collect"),
        ({"arrived": {"a"}, "present": {"a"}, "possible": 1}, "Fail"),
        ({"arrived": {"a", "b"}, "present": {"b", "c"}}, "Collect"),
    ],
)
def test_a_round_ends_by_the_rules(case, decision):
    assert decide(**case) == decision


def test_who_is_missing_is_named_in_order():
    attendance = Attendance(present=ABC, arrived={"b"}, possible=3, overdue=False, extensions=0)
    assert attendance.missing == ["a", "c"]
