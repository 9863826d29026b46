"""Arrays in one file: they come back as they were, or not at all."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from lib.data.stores.columns import Columns, DamagedFileError, Texts, open_columns, write_columns

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


def assert_same(opened: Columns) -> None:
    assert opened.arrays.keys() == ARRAYS.keys() == opened.sums.keys()
    for name, array in opened.arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype and not array.flags.writeable and type(array) is np.ndarray
        assert array.ctypes.data % 64 == 0 or not array.size


def test_arrays_come_back(tmp_path):
    assert stored(tmp_path / "x", {}).arrays == {}
    opened = stored(tmp_path / "a" / "b.npz", about={"name": "x", "n": 3})
    assert opened.about == {"name": "x", "n": 3}
    assert_same(opened)
    assert os.listdir(tmp_path / "a") == ["b.npz"]
    loaded = np.load(tmp_path / "a" / "b.npz")
    np.testing.assert_array_equal(loaded["boxes"], ARRAYS["boxes"])


def test_arrays_outlive_a_file_that_is_replaced(tmp_path):
    opened = stored(tmp_path / "x")
    stored(tmp_path / "x", {"boxes": np.zeros(1000)})
    assert_same(opened)
    (tmp_path / "x").unlink()
    assert_same(opened)


def test_a_damaged_byte_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "x"
    stored(path, about={"n": 3})
    whole = path.read_bytes()
    refused = 0
    directory = whole.index(b"PK\1\2")
    for place in (*range(0, directory, 31), *range(directory, len(whole), 5)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            opened = open_columns(path)
        except DamagedFileError as error:
            assert str(error).startswith(f"{path}: is damaged") and "\n" not in str(error)
            refused += 1
        else:
            assert opened.about == {"n": 3}
            assert_same(opened)
    assert refused > 60


@pytest.mark.parametrize("keep", [0, 20, 100, -1])
def test_a_file_cut_short_is_noticed(tmp_path, keep):
    path = tmp_path / "x"
    pickled = pickle.dumps(stored(path))
    path.write_bytes(path.read_bytes()[:keep])
    for read in (lambda: open_columns(path), lambda: pickle.loads(pickled)):
        with pytest.raises(DamagedFileError, match="is damaged, cut short or no file of arrays"):
            read()


def test_a_pickled_file_is_opened_again_unless_it_was_replaced(tmp_path):
    path = tmp_path / "x"
    pickled = pickle.dumps(stored(path, about={"n": 3}))
    again = pickle.loads(pickled)
    assert len(pickled) < 1000 and again.about == {"n": 3}
    assert_same(again)
    stored(path, {"boxes": np.zeros(3)})
    with pytest.raises(ValueError, match="x: another process has replaced it by one with other content; start again"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(ValueError, match=r"x: cannot be opened again \(No such file or directory\); start again"):
        pickle.loads(pickled)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"garbage" * 100)
    with pytest.raises(DamagedFileError):
        open_columns(tmp_path / "x")
    np.savez_compressed(tmp_path / "y.npz", about=np.zeros(3))
    with pytest.raises(DamagedFileError, match="compressed"):
        open_columns(tmp_path / "y.npz")
    np.savez(tmp_path / "z.npz", boxes=np.zeros(3))
    with pytest.raises(DamagedFileError, match="note"):
        open_columns(tmp_path / "z.npz")


def test_texts_come_back_and_each_is_kept_once(tmp_path):
    words = ["", "a", "Zürich", "a", "\udcff", "a" * 1000, "", "日本"]
    packed = Texts.pack(words)
    texts = Texts.from_columns(stored(tmp_path / "x", packed.arrays("t")), "t")
    assert list(texts) == list(packed) == words and len(texts) == 8
    assert texts[-1] == "日本"
    assert len(texts.letters) == sum(len(word.encode("utf-8", "surrogatepass")) for word in set(words))
    with pytest.raises(IndexError):
        texts[8]
    assert list(pickle.loads(pickle.dumps(packed))) == words
    assert list(Texts.pack([])) == []
