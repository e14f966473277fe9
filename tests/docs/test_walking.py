"""What counts as the output that a page promises."""

import pytest
from pages import Block, Step, blocks_under, steps_of
from walking import alike, says


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("meadow  0.716 ± 0.004", "meadow 0.71 ± 0.005", True),
        ("meadow  0.716 ± 0.004", "meadow 0.816 ± 0.004", False),
        ("meadow  0.716", "harbour 0.716", False),
        ("gain \N{MINUS SIGN}0.008", "gain +0.003", True),
        ("gain \N{MINUS SIGN}0.008", "gain +0.103", False),
        ("round 1: 2 hospitals", "round 1: 3 hospitals", False),
        ("round 1 after 715 ms", "round 1 after 1.2 s", True),
        ("304 B received", "305 B received", False),
        ("runs/20261121-033351/report.html", "runs/20270101-000000/report.html", True),
        ("runs/20261121-033351/report.html", "runs/20270101-000000/report.json", False),
        ("error: … is missing", "error: a/b.csv is missing", True),
        ("error: … is missing", "error: a/b.csv is there", False),
    ],
)
def test_a_line_is_compared_by_words_and_nearly_by_numbers(expected, printed, same):
    assert alike(expected, printed) is same


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a", "c", "b"], False),
        (["a", "b"], ["a", "b", "c"], False),
        (["a", "…", "b"], ["a", "c", "d", "b"], True),
        (["a", "…", "b"], ["a", "b"], True),
        (["a", "…", "b"], ["b", "a"], False),
        (["…", "b", "…"], ["a", "b", "c"], True),
    ],
)
def test_lines_are_compared_in_order_and_none_is_passed_over_unsaid(expected, printed, same):
    assert says(expected, printed) is same


def test_a_console_block_is_commands_with_their_output():
    block = Block(language="console", title=None, line=1, text="$ cat <<END\na\nEND\na\n$ true\n")
    assert steps_of(block) == [Step(command="cat <<END\na\nEND", output=("a",)), Step(command="true", output=())]


def test_a_section_ends_at_the_next_heading_and_comments_in_blocks_are_none(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n```sh\n# Two\n```\n\n## Two\n```console\n$ a\n```\n### Three\n```console\n$ b\n```\n")
    assert [block.text for block in blocks_under(page, "Two")] == ["$ a\n"]
    assert [block.text for block in blocks_under(page, "One")] == ["# Two\n"]
