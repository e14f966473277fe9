"""Data is known by what is in it."""

import os

import pytest

from consilia.errors import DataError
from consilia.ledger.content import PIECES, Content, content_of, same_data

SECRET = bytes(32)


def table(rows):
    return "".join(f"{number},{number * 7 % 97},patient-{number}\n" for number in rows)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "data"
    (made / "sub").mkdir(parents=True)
    (made / "table.csv").write_text(table(range(500)))
    (made / "sub" / "image.bin").write_bytes(bytes(range(256)) * 40)
    return made


def test_a_copy_elsewhere_is_the_same(folder, tmp_path):
    before = content_of(folder, SECRET)
    folder.rename(tmp_path / "elsewhere")

    assert content_of(tmp_path / "elsewhere", SECRET) == before


@pytest.mark.parametrize("changed", ["a byte", "a name", "a file more"])
def test_another_byte_name_or_file_is_another_fingerprint_of_the_same_data(folder, changed):
    before = content_of(folder, SECRET)
    match changed:
        case "a byte":
            (folder / "table.csv").write_text(table(range(500)).replace("patient-7\n", "patient-8\n"))
        case "a name":
            (folder / "table.csv").rename(folder / "renamed.csv")
        case _:
            (folder / "more.csv").write_text(table(range(500, 900)))
    after = content_of(folder, SECRET)

    assert after.fingerprint != before.fingerprint
    assert same_data(after, set(before.pieces))


def test_a_large_table_that_doubles_is_known_again_and_another_one_is_not(tmp_path):
    made = {}
    for name, rows in {"before": range(20_000), "after": range(40_000), "other": range(100_000, 120_000)}.items():
        (tmp_path / name).write_text(table(rows))
        made[name] = content_of(tmp_path / name, SECRET)

    assert len(made["before"].pieces) == PIECES
    assert same_data(made["after"], set(made["before"].pieces))
    assert same_data(made["before"], set(made["after"].pieces))
    assert not same_data(made["other"], set(made["before"].pieces) | set(made["after"].pieces))


def test_a_line_that_everybody_has_makes_nobody_the_same(tmp_path):
    for name, rows in {"one": range(1000), "other": range(5000, 6000)}.items():
        (tmp_path / name).write_text("age,sex,diagnosis\n" + table(rows))

    assert not same_data(content_of(tmp_path / "one", SECRET), set(content_of(tmp_path / "other", SECRET).pieces))


def test_digests_say_nothing_to_whoever_lacks_the_secret(folder):
    ours, others = content_of(folder, SECRET), content_of(folder, os.urandom(32))

    assert ours.fingerprint != others.fingerprint
    assert not set(ours.pieces) & set(others.pieces)


def test_content_without_pieces_is_compared_by_its_fingerprint_only():
    assert not same_data(Content("sha256:" + "0" * 64), {"0" * 16})


@pytest.mark.parametrize("what", ["missing", "empty", "unreadable"])
def test_data_that_is_not_there_is_an_error_that_names_it(tmp_path, what):
    path = tmp_path / "data"
    if what == "empty":
        path.mkdir()
    elif what == "unreadable":
        path.mkdir()
        (path / "socket").symlink_to(path / "socket")

    with pytest.raises(DataError, match="data"):
        content_of(path, SECRET)
