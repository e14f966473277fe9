import pytest

from consilia_workers.report import wording
from consilia_workers.report.comparison import Spread
from consilia_workers.report.wording import MINUS, NO_BREAK


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (1.0, "1.000"),
        (-0.0501, f"{MINUS}0.050"),
        (-0.0001, "0.000"),
        (1234.5, "1234"),
        (3.2e7, "3.2e+07"),
    ],
)
def test_metrics_have_three_decimals_or_four_digits(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "+0.050"), (-0.05, f"{MINUS}0.050"), (0.0, "0.000"), (-0.0004, "0.000")]
)
def test_a_difference_shows_its_sign_unless_it_is_nought(value, text):
    assert wording.signed(value) == text


@pytest.mark.parametrize(
    ("spread", "text"),
    [(None, "—"), (Spread(0.5, None, 1), "0.500"), (Spread(0.5, 0.0125, 5), f"0.500{NO_BREAK}±{NO_BREAK}0.013")],
)
def test_a_spread_is_mean_and_deviation_or_a_dash(spread, text):
    assert wording.spread(spread) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0371, "37.1 ms"),
        (0.9996, "1 s"),
        (4.126, "4.13 s"),
        (59.97, "1 min 00 s"),
        (754, "12 min 34 s"),
        (7384, "2 h 03 min"),
    ],
)
def test_durations_come_in_the_unit_that_fits(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_900, "1 MB"), (100_400_000, "100 MB")]
)
def test_sizes_come_in_decimal_units(count, text):
    assert wording.size(count) == text


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_names_are_listed_as_in_a_sentence(names, text):
    assert wording.listed(names) == text


def test_control_characters_and_changes_of_direction_do_not_pass():
    assert wording.printable("a\x1b[31mb\x00\u202ec\n") == "a�[31mb��c�"
