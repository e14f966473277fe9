"""Every reason that the operator gives stands in the reference, and no other does."""

import ast
import re

from pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "conditions.md").read_text()
MAKERS = {"Finding": 2, "Trouble": 0, "Overtime": 0, "Approval": 1, "_denied": 0}
"""What makes a reason, and which argument it is; besides every `reason="…"`."""
OF_THE_AGGREGATOR = {"AllRounds", "StopCondition", "Quorum", "Task", "Data", "Diverged", "Budget"}
"""Why a job ended, in the words of the programs."""


def constants(node):
    """The strings that an expression can be."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from (*constants(one), *constants(other))


def reasons(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in MAKERS and len(node.args) > MAKERS[name]:
                yield from constants(node.args[MAKERS[name]])
            yield from (text for each in node.keywords if each.arg == "reason" for text in constants(each.value))


def given():
    files = (ROOT / "operator").rglob("*.py")
    found = {reason for path in files for reason in reasons(path.read_text()) if re.fullmatch(r"[A-Z]\w+", reason)}
    return found - {"Unavailable", "Bug"}  # of metrics


def test_every_reason_of_the_operator_has_its_place_in_the_reference():
    assert [reason for reason in sorted(given()) if not re.search(rf"\b{reason}\b", PAGE)] == []


def test_the_reference_has_no_reason_that_nobody_gives():
    rows = re.findall(r"^\| \w+ \| ([A-Z][\w, ]+?) \|", PAGE, re.MULTILINE)
    listed = {word for row in rows for word in row.split(", ")}
    sources = "".join(path.read_text() for path in (ROOT / "operator").rglob("*.py"))
    assert {word for word in listed - OF_THE_AGGREGATOR if f'"{word}"' not in sources} == set()
