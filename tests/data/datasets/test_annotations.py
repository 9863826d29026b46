"""Tables, flags and names as datasets write them. Rows of numbers are tested in tests/data/test_texts.py."""

import numpy as np
import pytest

from lib.data.datasets.annotations import list_frames, read_labels, read_names, read_numbers
from lib.data.files.source import Source
from lib.data.types import NumberedNames


def test_rows_are_counted(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf1,2,\r\n3\t4\r\n\r\n")
    np.testing.assert_array_equal(read_numbers(Source(tmp_path), "a.txt", 2, 2), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read_numbers(Source(tmp_path), "a.txt", None, 2), [[1, 2], [3, 4]])
    with pytest.raises(ValueError, match=r"a\.txt: 2 rows, but its sequence needs 3; unpack"):
        read_numbers(Source(tmp_path), "a.txt", 3, 2)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/a\.txt: line 1 is '1,2,', not 3 numbers; unpack the sequence"):
        read_numbers(Source(tmp_path), "a.txt", None, 3)
    (tmp_path / "a.txt").write_text("\n\n")
    with pytest.raises(ValueError, match=r"a\.txt: is empty; unpack"):
        read_numbers(Source(tmp_path), "a.txt", None, 2)


@pytest.mark.parametrize("text", ["0,1,1,0", "0\n1\n1\n0\n", "0 1 1 0\n", "0,1\n1,0\n\n", "0\n1 1\n0", "0, 1, 1, 0,"])
def test_flags_on_one_line_and_one_a_line_are_the_same(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    labels = read_labels(Source(tmp_path), "a.txt", 4)
    assert labels.tolist() == [0, 1, 1, 0] and labels.dtype == np.int64


@pytest.mark.parametrize(("text", "message"), [
    ("0,1,,1,0", "line 1 is '0,1,,1,0', not numbers; unpack"),
    ("0\n1\n\n0\n", "line 3 is '', not numbers; unpack"),
    ("x" * 100_000, "line 1 is 'x{60}', not numbers; unpack"),
    ("0\n1\n2\n0\n", "holds 2, not only 0 to 1; unpack"),
    ("0\n1\n.5\n0\n", "holds 0.5, not only 0 to 1; unpack"),
    ("0\n1\n-inf\n0\n", "holds -inf, not only 0 to 1; unpack"),
    ("0\n1\n0\n", "3 labels, but its sequence needs 4; unpack"),
    ("", "0 labels, but its sequence needs 4; unpack"),
])  # fmt: skip
def test_other_flags_are_refused(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.txt: {message}"):
        read_labels(Source(tmp_path), "a.txt", 4)


def test_names_without_empty_lines(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa\r\n\n  b \nc")
    assert read_names(Source(tmp_path), "list.txt") == ["a", "b", "c"]


def test_frames_are_numbers_in_their_order(tmp_path):
    for name in ("10.jpg", "9.jpg", "11.png", "._9.jpg", "x.jpg", "3.txt"):
        (tmp_path / name).touch()
    assert [frame.name for frame in list_frames(Source(tmp_path), "")] == ["9.jpg", "10.jpg", "11.png"]
    assert len(list_frames(Source(tmp_path), "", first=9)) == 3
    with pytest.raises(ValueError, match=f"^{tmp_path}: the first frame is 9.jpg, not number 1;"):
        list_frames(Source(tmp_path), "", first=1)


@pytest.mark.parametrize(("name", "message"), [
    ("00000002.png", "00000002.jpg and 00000002.png are one frame twice"),
    ("00000006.jpg", "00000006.jpg follows 00000004.jpg: 1 frame"),
])  # fmt: skip
def test_frames_that_are_lost_or_there_twice(tmp_path, name, message):
    for number in range(1, 5):
        (tmp_path / f"{number:08d}.jpg").touch()
    assert isinstance(list_frames(Source(tmp_path), "", first=1).names, NumberedNames)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"^{tmp_path}: {message}"):
        list_frames(Source(tmp_path), "")
