"""GOT-10k's layout in miniature, its published rows, and what is wrong with a broken copy."""

from pathlib import Path

import numpy as np
import pytest
from one_sequence import names_of, read_dataset

from lib.data.datasets.got10k import ROWS
from lib.data.types import Sequence

FIRST = "GOT-10k_Train_000001"


def read_got10k(root: Path, split: str) -> list[Sequence]:
    return read_dataset("got10k", split, root)


def test_a_sequence_is_read_whole(write_got10k):
    root = write_got10k("train", [5, 3])
    folder = root / "train" / FIRST
    (folder / "groundtruth.txt").write_text("1,2,3.5,4\n1,2,0,4\n1,2,3,-1\nnan,2,3,4\n-1.25,2,3,4\r\n\n")
    (folder / "absence.label").write_text("0\n0\n0\n0\n0\n")
    (folder / "cover.label").write_text("8\n8\n8\n8\n1\n")
    first, second = read_got10k(root, "full")
    assert (first.name, first.dataset, first.image_set, len(first)) == (FIRST, "got10k", False, 5)
    assert list(first.frames) == [folder / f"{number:08d}.jpg" for number in range(1, 6)]
    assert first.boxes.dtype == np.float64
    np.testing.assert_array_equal(first.boxes[[0, 4]], [[1, 2, 3.5, 4], [-1.25, 2, 3, 4]])
    np.testing.assert_array_equal(first.visible, [True, False, False, False, True])
    np.testing.assert_array_equal(first.cover, [8, 8, 8, 8, 1])
    assert first.cover.dtype == np.int64 and first.visible.dtype == bool
    assert second.visible.all() and len(second) == 3


def test_the_resolution_is_that_of_the_val_folder(write_got10k):
    for folder, split, meta in (("val", "official_val", {"resolution": "(1920, 1080)"}), ("train", "full", {})):
        root = write_got10k(folder, [2])
        path = root / folder / f"GOT-10k_{folder.title()}_000001" / "meta_info.ini"
        path.write_text("[METAINFO]\nresolution: (1920, 1080)\n\n")
        assert read_got10k(root, split)[0].meta == meta


def test_the_test_split_has_one_box(write_got10k):
    root = write_got10k("test", [6], first_box_only=True)
    (sequence,) = read_got10k(root, "test")
    assert (len(sequence), sequence.boxes.shape, sequence.cover) == (6, (1, 4), None)
    np.testing.assert_array_equal(sequence.visible, [True])
    (root / "test" / "GOT-10k_Test_000001" / "00000001.jpg").unlink()
    with pytest.raises(ValueError, match=r"Test_000001: the first frame is 00000002\.jpg, not number 1;"):
        read_got10k(root, "test")


def test_rows_of_the_published_splits(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "list.txt").write_text("\n".join(str(row) for row in range(9335)))
    rows = {split: list(map(int, names_of("got10k", split, tmp_path))) for split in (*ROWS, "full")}
    assert {split: len(set(members)) for split, members in rows.items()} == {
        "train": 7934, "val": 1401, "vot_train": 7086, "vot_val": 1249, "full": 9335,
    }  # fmt: skip
    assert all(len(members) == len(set(members)) for members in rows.values())
    assert sorted(rows["train"] + rows["val"]) == rows["full"] == list(range(9335))
    assert not set(rows["vot_train"]) & set(rows["vot_val"])
    assert rows["train"][:3] == [3784, 8998, 3906]
    (tmp_path / "train" / "list.txt").write_text("0\n")
    for split in ROWS:
        message = rf"list\.txt: names 1 seq.* but split '{split}' needs 93\d\d; use split 'full'"
        with pytest.raises(ValueError, match=message):
            names_of("got10k", split, tmp_path)


def test_a_copy_without_a_list_or_with_an_empty_one(write_got10k):
    root = write_got10k("train", [3])
    (root / "train" / "list.txt").write_text("\n")
    with pytest.raises(ValueError, match="holds no sequence of got10k full in a layout"):
        read_got10k(root, "full")
    (root / "train" / "list.txt").unlink()
    with pytest.raises(ValueError, match=r"train/list\.txt: No such file"):
        read_got10k(root, "full")
