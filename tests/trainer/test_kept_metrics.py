"""Metrics that stay in a hospital: a file that a crash may leave with half a line at its end."""

import pytest

from consilia_workers.figures import KeptMetrics, read_kept


class Judge:
    """Tells a figure for every model."""

    def of(self, model, rounds):
        return {"accuracy": rounds / 10, "größe": 1.0}


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = KeptMetrics(Judge(), path)
    assert [metrics.of(bytearray(), rounds) for rounds in (0, 1, 2)] == [{}, {}, {}]
    return path


def test_what_was_kept_is_read_again(kept):
    assert read_kept(kept) == {rounds: Judge().of(None, rounds) for rounds in (0, 1, 2)}


def test_wherever_a_line_was_cut_the_others_are_read_and_the_next_is_whole(kept):
    text = kept.read_bytes()
    last = text[: text.rstrip().rfind(b"\n") + 1]
    for end in range(len(last), len(text) - 1):
        kept.write_bytes(text[:end])
        assert sorted(read_kept(kept)) == [0, 1], text[:end]
        KeptMetrics(Judge(), kept).of(bytearray(), 3)
        assert sorted(read_kept(kept)) == [0, 1, 3], text[:end]


def test_where_nothing_was_kept_there_is_nothing(tmp_path):
    assert read_kept(tmp_path / "metrics.jsonl") == {}
