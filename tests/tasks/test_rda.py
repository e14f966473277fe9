import bz2
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilia.errors import DataError
from consilia_workers.datasets.rda import read_data_frame

NA = -(2**31)
INTEGERS = st.none() | st.integers(-(2**31) + 1, 2**31 - 1)
DOUBLES = st.none() | st.floats(allow_nan=False)
STRINGS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=5)


def integer(*values):
    return struct.pack(f">{len(values)}i", *values)


def string(text):
    content = text.encode("latin-1")
    return integer(9, len(content)) + content


def vector(values):
    """One column as R writes it: type, length, values."""
    if all(isinstance(value, str) for value in values):
        return integer(16, len(values)) + b"".join(map(string, values))
    if any(isinstance(value, float) for value in values):
        return integer(14, len(values)) + struct.pack(f">{len(values)}d", *(np.nan if v is None else v for v in values))
    return integer(13, len(values)) + integer(*(NA if value is None else value for value in values))


def rda(columns, *, names=None):
    """A data frame called `frame`, as R's `save(frame, compress = "bzip2")` writes it before packing."""
    frame = integer(19 | 0x200, len(columns)) + b"".join(map(vector, columns.values()))
    attributes = integer(2 | 0x400, 1) + string("names") + vector(names or list(columns)) + integer(254)
    saved = integer(2 | 0x400, 1) + string("frame") + frame + attributes + integer(254)
    return b"RDX2\nX\n" + integer(2, 0x00030500, 0x00020300) + saved


def written(folder, content):
    path = folder / "frame.rda"
    path.write_bytes(bz2.compress(content))
    return path


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(INTEGERS, DOUBLES, STRINGS), min_size=1, max_size=20))
def test_what_r_wrote_is_read_back(tmp_path_factory, rows):
    whole, real, text = (list(column) for column in zip(*rows, strict=True))
    real[0] = 0.5  # at least one, or R would have written the column as integers
    path = written(tmp_path_factory.mktemp("rda"), rda({"whole": whole, "real": real, "text": text}))
    frame = read_data_frame(path, ["text", "whole", "real"])
    for name, values in {"whole": whole, "real": real}.items():
        np.testing.assert_array_equal(frame[name], [np.nan if value is None else value for value in values])
    assert frame["text"].tolist() == text


def test_only_the_named_columns_come_out(tmp_path):
    path = written(tmp_path, rda({"age": [40, None], "outcome": [1, 0]}))
    assert list(read_data_frame(path, ["age"])) == ["age"]


def test_a_file_cut_anywhere_is_an_error_that_names_it(tmp_path):
    content = rda({"age": [40, None], "sex": ["M", "F"]})
    for length in range(len(content) - 4):  # without its last word, the end of the list, nothing is lost
        with pytest.raises(DataError, match=r"frame\.rda is not an R data file"):
            read_data_frame(written(tmp_path, content[:length]), ["age", "sex"])


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 200), byte=st.integers(0, 255))
def test_a_flipped_byte_never_ends_in_anything_but_a_data_error(tmp_path_factory, at, byte):
    content = bytearray(rda({"age": [40, None], "sex": ["M", "F"]}))
    content[at % len(content)] = byte
    path = written(tmp_path_factory.mktemp("rda"), bytes(content))
    with suppress(DataError):
        read_data_frame(path, ["age", "sex"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (rda({"age": [40]}), "has no column sex"),
        (rda({"sex": [1], "age": [40]}, names=["sex"]), "not an R data file"),
        (b"PK\x03\x04", "not an R data file"),
        (b"RDX2\nX\n" + integer(2, 0, 0, *[19, 1] * 10_000), "not an R data file"),
    ],
)
def test_another_content_is_an_error(tmp_path, content, complaint):
    with pytest.raises(DataError, match=complaint):
        read_data_frame(written(tmp_path, content), ["sex"])


def test_a_file_that_is_not_packed_or_not_there_is_an_error(tmp_path):
    (tmp_path / "plain.rda").write_bytes(rda({"sex": ["M"]}))
    for name in ("plain.rda", "absent.rda"):
        with pytest.raises(DataError, match=f"{name} is not an R data file"):
            read_data_frame(tmp_path / name, ["sex"])
