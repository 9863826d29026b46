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


def test_visible_needs_presence_and_cover(write_got10k):
    root = write_got10k("val", [4])
    folder = root / "val" / "GOT-10k_Val_000001"
    (folder / "absence.label").write_text("0\n1\n0\n1\n")
    (folder / "cover.label").write_text("1\n8\n0\n0\n")
    np.testing.assert_array_equal(read_got10k(root, "official_val")[0].visible, [True, False, False, False])


def test_frames_are_in_numeric_order_and_other_files_are_none(write_got10k):
    root = write_got10k("train", [2])
    folder = root / "train" / FIRST
    (folder / "00000001.jpg").rename(folder / "10.jpg")
    (folder / "00000002.jpg").rename(folder / "9.jpg")
    (folder / "._9.jpg").touch()
    (folder / "cover.jpg").touch()
    assert [frame.name for frame in read_got10k(root, "full")[0].frames] == ["9.jpg", "10.jpg"]


def test_the_test_split_has_one_box(write_got10k):
    (sequence,) = read_got10k(write_got10k("test", [6], first_box_only=True), "test")
    assert (len(sequence), sequence.boxes.shape, sequence.cover) == (6, (1, 4), None)
    np.testing.assert_array_equal(sequence.visible, [True])


@pytest.mark.parametrize(("number", "message"), [
    (1, r"Test_000001: the first frame is 00000002\.jpg, not number 1;"),
    (3, r"Test_000001: 00000004\.jpg follows 00000002\.jpg: 1 frame\(s\) of it are lost;"),
])  # fmt: skip
def test_a_lost_frame_of_the_test_split(write_got10k, number, message):
    root = write_got10k("test", [5], first_box_only=True)
    (root / "test" / "GOT-10k_Test_000001" / f"{number:08d}.jpg").unlink()
    with pytest.raises(ValueError, match=message):
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


@pytest.mark.parametrize("split", ROWS)
def test_a_list_too_short_for_a_split_names_full(write_got10k, split):
    root = write_got10k("train", [3])
    with pytest.raises(ValueError, match=rf"list\.txt: names 1 seq.* but split '{split}' needs 93\d\d; use .*'full'"):
        read_got10k(root, split)
    assert len(read_got10k(root, "full")) == 1


def test_a_copy_without_a_list_or_with_an_empty_one(write_got10k):
    root = write_got10k("train", [3])
    (root / "train" / "list.txt").write_text("\n")
    with pytest.raises(ValueError, match="holds no sequence of got10k full in a layout"):
        read_got10k(root, "full")
    (root / "train" / "list.txt").unlink()
    with pytest.raises(ValueError, match=r"train/list\.txt: No such file"):
        read_got10k(root, "full")


def test_what_meta_info_says_is_kept(write_got10k):
    root = write_got10k("train", [2, 2])
    (root / "train" / FIRST / "meta_info.ini").write_text(
        "[METAINFO]\nurl: https://youtu.be/x\nobject_class: beetle\nresolution: (1920, 1080)\n\n"
    )
    first, second = read_got10k(root, "full")
    assert first.meta == {"url": "https://youtu.be/x", "object_class": "beetle", "resolution": "(1920, 1080)"}
    assert second.meta == {}
