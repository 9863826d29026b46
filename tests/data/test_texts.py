"""One rule for texts and their numbers: what is read, against numpy's own reader; what is refused, line by line."""

import numpy as np
import pytest

from lib.data.files.texts import (
    decode_text,
    is_cut,
    parse_number,
    parse_numbers,
    parse_rows,
    parse_values,
    text_lines,
)


@pytest.mark.parametrize("line", [
    "20,12,24,18", "20 12 24 18", "20\t12\t24\t18", "20, 12, 24, 18", " 20 ,12\t, 24  18 ", "20,12,24,18,",
    "20 12 24 18 ,", "20,12,24,18 , ", "2e1,12.,240E-1,+18", "20.0 12 24 18\r",
])  # fmt: skip
def test_ways_to_write_the_same_row(line):
    assert parse_numbers(line) == [20, 12, 24, 18]


REFUSED = [
    "20,,12,24,18", ",20,12,24,18", "20,12,24,18,,", "20,12,24,,", ",", "", " ", "2_4,1,2,3", "20;12;24;18", "1,2,3,4e",
    "20,12,24,-", "20,12,24,.", "\u0662\u0664", "\uff12,1", "20\u00a012", "x", "'20'", "20,12,\x0024,18", "1.5.2",
    "1,5 2,,0", "0x10",
]  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_no_row_of_numbers(line):
    with pytest.raises(ValueError):
        parse_numbers(line)


def test_what_is_not_finite_is_a_number():
    np.testing.assert_array_equal(parse_numbers("nan,NaN,-inf,Infinity"), [np.nan, np.nan, -np.inf, np.inf])


@pytest.mark.parametrize("line", REFUSED)
def test_rows_are_refused_by_the_same_rule(line):
    """A table is read at once where that is possible, by a reader that must take nothing more."""
    for text in (line, f"1,2,3,4\n{line}\n1,2,3,4\n", f"1 2 3 4\n{line}\n1 2 3 4\n", f"1\n{line}\n1\n"):
        if text.strip():
            for parse in (
                lambda text: parse_rows(text, None, "a.txt", ""),
                lambda text: parse_values(text, "a.txt", ""),
            ):
                with pytest.raises(ValueError, match="a.txt: line"):
                    parse(text)


def test_one_number():
    assert parse_number(" 5. ") == 5
    for text in ("", "1 2", "1_0", "x"):
        with pytest.raises(ValueError):
            parse_number(text)


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", "  "])
@pytest.mark.parametrize(("end", "mark"), [("\n", b""), ("\r\n", b"\xef\xbb\xbf"), ("\r", b"")])
def test_rows_are_those_that_numpy_reads(separator, end, mark):
    rows = np.random.default_rng(0).normal(0, 1e3, (50, 4))
    rows[3, 1], rows[7, 2] = np.nan, -np.inf
    lines = [separator.join(map(repr, row)) for row in rows.tolist()]
    data = mark + (end.join(lines) + end * 2).encode()
    table = parse_rows(decode_text(data, "a.txt"), 4, "a.txt", "write it again")
    assert table.dtype == np.float64
    np.testing.assert_array_equal(table, rows)
    np.testing.assert_array_equal(table, np.loadtxt(lines, delimiter=separator.strip() or None))
    np.testing.assert_array_equal(parse_rows("\n".join([*lines, "1,2 3,4,"]), 4, "a.txt", ""), [*rows, [1, 2, 3, 4]])
    np.testing.assert_array_equal(parse_values("\n".join(lines), "a.txt", ""), rows.ravel())


@pytest.mark.parametrize(("text", "columns", "wrong"), [
    ("1,2,3,4\n1,2,3\n", 4, "line 2 is '1,2,3', not 4 numbers"),
    ("1 2 3\n1 2 3 4 5\n", 4, "line 1 is '1 2 3', not 4 numbers"),
    ("1,,2,3,4\n", 4, "line 1 is '1,,2,3,4', not 4 numbers"),
    ("1,2,3,4\n\n1,2,3,4\n", 4, "line 2 is '', not 4 numbers"),
    ("\n1,2,3,4\n", 4, "line 1 is '', not 4 numbers"),
    ("1\n2,3\n", None, "line 2 is '2,3', not a number"),
    ("1 2\n2 3 4\n", None, "line 2 is '2 3 4', not 2 numbers"),
    ("time\n", None, "line 1 is 'time', not a number"),
    ("1,2,3,4\n" * 3 + "1,2,3,", 4, "line 4 is '1,2,3,', not 4 numbers"),
    ("x" * 10_000, 1, f"line 1 is '{'x' * 60}', not a number"),
    ("1.0,2.0,3.0,4.0\n1.0,2.0,3.0,4", 4, "line 2 is '1.0,2.0,3.0,4', cut short"),
    ("20,12,24,18\n" * 3 + "20,12,24,1", 4, "line 4 is '20,12,24,1', cut short"),
])  # fmt: skip
def test_the_first_line_that_is_something_else_is_named(text, columns, wrong):
    with pytest.raises(ValueError) as caught:
        parse_rows(text, columns, "a.txt", "write it again")
    assert str(caught.value) == f"a.txt: {wrong}; write it again"


def test_a_text_without_lines_is_a_table_without_rows():
    for text in ("", "\n", " \n\t\n"):
        assert text_lines(text) == []
        assert parse_rows(text, 4, "a.txt", "").shape == (0, 4)
        assert parse_rows(text, None, "a.txt", "").shape == (0, 1)
        assert parse_values(text, "a.txt", "").shape == (0,)
        assert not is_cut(text, ended=True)


def test_values_may_lie_on_any_lines():
    np.testing.assert_array_equal(parse_values("0,1\n1 0 1,\n", "a.txt", ""), [0, 1, 1, 0, 1])
    with pytest.raises(ValueError, match="a.txt: line 2 is 'x', not numbers; write it again"):
        parse_values("0\nx\n", "a.txt", "write it again")


@pytest.mark.parametrize("places", ["%.2f", "%.4f", "%.18e"])
def test_a_file_of_a_fixed_format_is_never_cut_unseen(places):
    """Cut after any byte, it has fewer rows, is refused, or lacks the end of its last line alone."""
    rows = np.random.default_rng(1).uniform(10, 99, (5, 4))
    text = "".join(",".join(places % value for value in row) + "\n" for row in rows)
    kept = parse_rows(text, 4, "a.txt", "")
    unseen = []
    for end in range(len(text)):
        try:
            table = parse_rows(text[:end], 4, "a.txt", "")
        except ValueError:
            continue
        if len(table) == len(kept):
            unseen.append(end)
            np.testing.assert_array_equal(table, kept)
    assert unseen == [len(text) - 1]


@pytest.mark.parametrize(("text", "ended", "cut"), [
    ("1,2\n3,4\n", True, False),
    ("1,2\n3,4\n \n", True, False),
    ("1,2\n3,4", True, True),
    ("1,2\n3,4", False, False),
    ("1 2 3 4\n1 2 3", False, True),
    ("1,2,3.5,4.5", False, False),
    ("230.44,153.02,61.31,45.8", False, False),  # one row, whose last number may end in a 0 that is not written
    ("1.5,2,3,4\n5,6,7,8", False, False),
    ("20,12,24,18\n23,14,24,1", False, True),
    ("20,12,24,18.25\n23,14,24,1", False, True),
    ("20,12,24,18.25\n23,14,24,18.", False, True),
    ("20,12,24,18.25\n23,14,24,18", False, False),
    ("20,12,24,18\n23,14,24,18", False, False),
    ("20,12,24,18\n23,14,24,.5", False, False),
    ("20,12,24,18\n23,14,24,9", False, False),
])  # fmt: skip
def test_a_last_line_without_an_end_was_cut_as_far_as_that_is_known(text, ended, cut):
    assert is_cut(text, ended) == cut


@pytest.mark.parametrize("mark", ["utf-16", "utf-32"])
def test_texts_in_other_codes_are_named(mark):
    with pytest.raises(ValueError, match="a.txt: is no text in UTF-8 but in UTF-16; save it as UTF-8"):
        decode_text("1,2,3,4\n".encode(mark), "a.txt", "replace")
    with pytest.raises(ValueError, match=r"a.txt: is no text in UTF-8 \(.* at byte 3\); save it as UTF-8"):
        decode_text(b"caf\xe9", "a.txt")
    assert decode_text(b"caf\xe9", "a.txt", "replace") == "caf\N{REPLACEMENT CHARACTER}"
    for zeros in (bytes(9), "1,2".encode("utf-16-le")):
        with pytest.raises(ValueError, match="a.txt: holds zero bytes, so it is damaged or no text in UTF-8; get or"):
            decode_text(zeros, "a.txt", "replace")
