"""The split for the audit: fair coins, the same ever after, and nothing else read for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consilia.errors import DataError
from consilia_workers.audit.canaries import AuditSplit, draw_split


@given(st.integers(0, 60).flatmap(lambda records: st.tuples(st.just(records), st.integers(0, records))))
def test_as_many_records_are_chosen_as_asked_each_with_a_coin(sizes):
    records, audited = sizes
    split = draw_split(records, audited)
    assert len(set(split.audited)) == len(split.included) == audited
    assert set(split.audited) <= set(range(records))


@given(st.integers(0, 60))
def test_exactly_the_held_out_records_are_not_trained_on(audited):
    split = draw_split(60, audited)
    trained = split.training_records(60)
    assert sorted([*trained, *split.held_out]) == list(range(60))
    assert {record for record, kept in zip(split.audited, split.included, strict=True) if kept} <= set(trained)


@given(st.integers(0, 30))
def test_what_was_written_down_is_read_back(audited):
    split = draw_split(30, audited)
    assert AuditSplit.model_validate_json(split.model_dump_json()) == split


def test_the_coins_are_fair_and_the_records_chosen_evenly():
    """Five standard deviations: by chance once in two million."""
    split = draw_split(40_000, 20_000)
    assert sum(split.included) == pytest.approx(10_000, abs=5 * 71)
    assert sum(record < 20_000 for record in split.audited) == pytest.approx(10_000, abs=5 * 71)


def test_two_splits_differ():
    assert draw_split(1000, 500) != draw_split(1000, 500)


def test_a_split_cannot_be_changed():
    split = draw_split(4, 2)
    with pytest.raises(ValidationError, match="frozen"):
        split.included = (True, True)


def test_more_records_than_there_are_cannot_be_audited():
    with pytest.raises(DataError, match=r"5 of 4 records.*Audit fewer"):
        draw_split(4, 5)


def test_a_split_of_other_data_is_refused():
    split = AuditSplit(audited=(3, 9), included=(True, False))
    with pytest.raises(DataError, match="names record 9, the training set has 9"):
        split.training_records(9)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"audited": [1, 2], "included": [true]}', "2 audited records have 1 coins"),
        ('{"audited": [2, 1], "included": [true, false]}', "ascend"),
        ('{"audited": [1, 1], "included": [true, false]}', "ascend"),
        ('{"audited": [-1], "included": [true]}', "greater than or equal to 0"),
        ('{"audited": ["1"], "included": [true]}', "valid integer"),
        ('{"audited": [1], "included": [1]}', "valid boolean"),
        ('{"audited": [1], "included": [true], "seed": 3}', "Extra inputs"),
    ],
)
def test_a_damaged_split_is_not_read(document, message):
    with pytest.raises(ValidationError, match=message):
        AuditSplit.model_validate_json(document)
