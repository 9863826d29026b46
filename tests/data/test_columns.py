"""Arrays in one file: they come back as they were, or not at all."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lib.data.stores.columns import Columns, DamagedFileError, Texts, TextsWriter, open_columns, write_columns

ARRAYS = {
    "boxes": np.arange(12, dtype=np.float32).reshape(3, 4),
    "flags": np.array([True, False]),
    "nothing": np.zeros((0, 4)),
    "numbers": np.array([-1, 2**40]),
    "strided": np.arange(10)[::2],
}


def stored(path: Path, arrays: dict[str, np.ndarray] = ARRAYS, about: dict | None = None) -> Columns:
    write_columns(path, about or {}, arrays)
    return open_columns(path)


def test_arrays_come_back(tmp_path):
    opened = stored(tmp_path / "a" / "b.index", about={"name": "x", "n": 3})
    assert opened.about == {"name": "x", "n": 3} and opened.arrays.keys() == ARRAYS.keys()
    for name, array in opened.arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype and not array.flags.writeable and type(array) is np.ndarray
        assert array.ctypes.data % 64 == 0 or not array.size
    assert os.listdir(tmp_path / "a") == ["b.index"]


def test_no_array_at_all_is_a_file_too(tmp_path):
    assert stored(tmp_path / "x", {}).arrays == {}


def test_arrays_outlive_a_file_that_is_replaced(tmp_path):
    opened = stored(tmp_path / "x")
    stored(tmp_path / "x", {"boxes": np.zeros(1000)})
    np.testing.assert_array_equal(opened.arrays["boxes"], ARRAYS["boxes"])
    (tmp_path / "x").unlink()
    np.testing.assert_array_equal(opened.arrays["boxes"], ARRAYS["boxes"])


def places(path: Path) -> dict[str, int]:
    """An offset inside each part of the file."""
    data = path.read_bytes()
    return {
        "magic": 3,
        "format": 8,
        "length": 12,
        "sum": 17,
        "header": data.index(b'"boxes"') + 2,
        "array": data.index(ARRAYS["boxes"].tobytes()) + 20,
        "last array": data.index(ARRAYS["strided"].tobytes()) + 39,
    }


MESSAGES = {
    "magic": "is cut short, or no file of columns",
    "format": r"has format \d+, not 1",
    "length": "header is damaged",
    "sum": "header is damaged",
    "header": "header is damaged",
    "array": "its array 'boxes' is damaged",
    "last array": "its array 'strided' is damaged",
}


@pytest.mark.parametrize("place", MESSAGES)
def test_a_flipped_bit_is_noticed(tmp_path, place):
    path = tmp_path / "x"
    stored(path)
    data = bytearray(path.read_bytes())
    data[places(path)[place]] ^= 4
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=f"{re.escape(str(path))}: .*{MESSAGES[place]}"):
        open_columns(path)


def test_a_damaged_length_takes_no_memory(tmp_path):
    path = tmp_path / "x"
    stored(path)
    data = bytearray(path.read_bytes())
    data[15] = 0xFF  # 4 GB
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match="header is damaged"):
        open_columns(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


@pytest.mark.parametrize("keep", [0, 5, 19, 20, 100, -64, -1])
@pytest.mark.parametrize("check", [True, False])
def test_a_file_cut_short_is_noticed_even_unchecked(tmp_path, keep, check):
    path = tmp_path / "x"
    stored(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedFileError, match=r"cut short|damaged|has \d+ bytes, not \d+"):
        open_columns(path, check)


@pytest.mark.parametrize(
    "content", [b"garbage" * 100, b"TRKCOLS\n" + b"\xff" * 12, b"TRKCOLS\n\1\0\0\0" + b"\xff" * 99]
)
def test_garbage_is_noticed(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DamagedFileError):
        open_columns(tmp_path / "x")


def test_more_than_was_written_is_noticed(tmp_path):
    stored(tmp_path / "x")
    with open(tmp_path / "x", "ab") as file:
        file.write(b"\0")
    with pytest.raises(DamagedFileError, match="bytes"):
        open_columns(tmp_path / "x")


def test_a_write_that_fails_leaves_the_earlier_file(tmp_path, monkeypatch):
    stored(tmp_path / "x")

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_columns(tmp_path / "x", {}, {})
    assert open_columns(tmp_path / "x").arrays.keys() == ARRAYS.keys()
    assert os.listdir(tmp_path) == ["x"]


_WRITE = """
import sys; from pathlib import Path; import numpy as np
from lib.data.stores.columns import open_columns, write_columns
for turn in range(40):
    write_columns(Path(sys.argv[1]), {}, {"a": np.full(100000, int(sys.argv[2]))})
    assert len(set(open_columns(Path(sys.argv[1])).arrays["a"].tolist())) == 1
"""


def test_writers_at_once_do_not_disturb_each_other(tmp_path):
    started = [subprocess.Popen([sys.executable, "-c", _WRITE, tmp_path / "x", str(value)]) for value in (1, 2, 3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert os.listdir(tmp_path) == ["x"] and set(open_columns(tmp_path / "x").arrays["a"].tolist()) <= {1, 2, 3}


def test_texts_come_back_and_each_is_kept_once(tmp_path):
    words = ["", "a", "Zürich", "a", "\udcff", "a" * 1000, "", "日本"]
    written = TextsWriter(words).texts()
    texts = Texts.from_columns(stored(tmp_path / "x", written.arrays("t")), "t")
    assert list(texts) == list(written) == words and len(texts) == 8
    assert texts[-1] == "日本" and texts[1:4] == words[1:4]
    assert len(texts.letters) == sum(len(word.encode("utf-8", "surrogatepass")) for word in set(words))
    with pytest.raises(IndexError):
        texts[8]
    assert list(pickle.loads(pickle.dumps(written))) == words


def test_no_texts():
    assert list(TextsWriter().texts()) == []
