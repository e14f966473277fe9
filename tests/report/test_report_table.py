from io import BytesIO, TextIOWrapper

import pytest
from rich.console import Console

from consilia_workers.report.table import print_table


def printed(report, encoding="utf-8", **options):
    raw = BytesIO()
    output = TextIOWrapper(raw, encoding=encoding)
    print_table(Console(file=output, width=80, **options), report)
    output.flush()
    return raw.getvalue().decode(encoding)


@pytest.fixture
def countries(make):
    names = ["argentina", "czech-republic", "hospital-of-the-holy-spirit-in-the-far-north-of-the-country"]
    return make.report([make.seed(seed, names) for seed in range(5)], names)


@pytest.mark.parametrize("options", [{}, {"force_terminal": True, "color_system": None}, {"encoding": "ascii"}])
def test_the_table_fits_80_columns_with_long_names_and_five_seeds(countries, options):
    text = printed(countries, **options)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text


def test_the_first_metric_is_shown_by_hospital_and_the_others_as_means(make):
    text = printed(make.report([make.seed(1)]))
    assert "AUC (higher is better)" in text
    for start in ("riverside", "lakeview", "hilltop", "mean", "loss"):
        assert sum(line.startswith(start) for line in text.splitlines()) == (2 if start == "mean" else 1)


def test_one_seed_shows_no_deviation_and_five_do(make):
    assert "±" not in printed(make.report([make.seed(1)]))
    assert "mean ± standard deviation over 5 seeds" in printed(make.report([make.seed(n) for n in range(5)]))


def test_away_from_a_terminal_there_is_only_text(countries):
    text = printed(countries)
    assert not {"\x1b", "─", "│"} & set(text)


def test_an_undefined_metric_is_a_dash_with_the_reason_below(make):
    parts = {way: {"a": {"auc": 0.9}, "b": {}} for way in ("federated", "alone", "pooled")}
    text = printed(make.report([make.seed(1, **parts)], ["a", "b"]))
    assert any(line.split() == ["b", "—", "—", "—", "—"] for line in text.splitlines())
    assert "b has test patients on whom it is not defined; it is not part of the mean." in text


def test_a_failed_run_says_why_instead_of_a_table(make):
    text = printed(make.report([make.failed_seed(1, rounds=2)]))
    assert "The training failed (QuorumLost: lakeview and hilltop are missing)." in text
    assert "alone" not in text


def test_names_are_neither_markup_nor_escape_sequences(make):
    names = ["[red]a[/red]", "b\x1b[31m"]
    text = printed(make.report([make.seed(1, names)], names), force_terminal=True, color_system=None)
    assert "[red]a[/red]" in text
    assert "b�[31m" in text


def test_an_output_that_knows_only_ascii_gets_only_ascii(make):
    names = ["k\u00f6ln", "b"]
    assert "k?ln" in printed(make.report([make.seed(1, names), make.seed(2, names)], names), encoding="ascii")
