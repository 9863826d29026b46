"""The one function that reads a listed sequence: what it takes from which file, and what a broken copy is."""

from pathlib import Path

import numpy as np
import pytest

from lib.data.datasets.annotations import Listed, read_listed
from lib.data.files.source import Source

FILES = {
    "a/boxes.txt": "1,2,3,4\n1,2,0,4\n5,6,7,8\n5,6,7,8\n",
    "a/full.txt": "0,0,1,0",
    "a/out.txt": "0\n0\n0\n0\n",
    "a/cover.txt": "8\n8\n1\n0\n",
    "a/about.txt": "[ABOUT]\nurl: https://x\n",
    **{f"a/img/{number:03d}.jpg": "" for number in range(1, 5)},
}
LISTED = Listed(
    "a", "a/img", "a/boxes.txt", flags=("a/full.txt", "a/out.txt"), cover="a/cover.txt",
    object_class="car", properties="a/about.txt",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_sequence_is_read_whole(root):
    sequence = read_listed(Source(root), "toy", LISTED)
    assert (sequence.name, sequence.dataset) == ("a", "toy")
    assert list(sequence.frames) == [root / "a" / "img" / f"{number:03d}.jpg" for number in range(1, 5)]
    np.testing.assert_array_equal(sequence.boxes[[0, 2]], [[1, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(sequence.absent, [False, False, True, False])
    np.testing.assert_array_equal(sequence.cover, [8, 8, 1, 0])
    np.testing.assert_array_equal(sequence.visible, [True, False, False, False])
    assert sequence.meta == {"class": "car", "url": "https://x"}


def test_what_a_sequence_may_lack(root):
    (root / "a" / "about.txt").unlink()
    assert read_listed(Source(root), "toy", LISTED).meta == {"class": "car"}
    plain = read_listed(Source(root), "toy", Listed("a", "a/img", "a/boxes.txt"))
    assert plain.absent is None and plain.cover is None and plain.meta == {}


def test_rows_count_the_frames_of_a_pattern_and_the_disk_is_not_asked(root):
    source = Source(root)
    sequence = read_listed(source, "toy", Listed("a", "a/img", "a/boxes.txt", "%04d.png", first=7))
    assert [frame.name for frame in sequence.frames] == ["0007.png", "0008.png", "0009.png", "0010.png"]
    assert set(source.stamps) == {"a/boxes.txt"}


@pytest.mark.parametrize(("file", "text", "message"), [
    ("a/boxes.txt", None, r"boxes\.txt: No such file or directory; check the dataset's path, or unpack it again"),
    ("a/boxes.txt", "1,2,3,4\n1,2,x,4\n", r"boxes\.txt: line 2 is '1,2,x,4', not 4 numbers; unpack"),
    ("a/boxes.txt", "1,2,3,4\n", r"boxes\.txt: 1 rows, but its sequence needs 4; unpack"),
    ("a/img/003.jpg", None, r"a/img: 004\.jpg follows 002\.jpg: 1 frame\(s\) of it are lost"),
    ("a/img", None, "a/img: No such file"),
    ("a/img/", None, r"a/img: no images \(<number>\.jpg\)"),
    ("a/full.txt", None, r"full\.txt: No such file"),
    ("a/out.txt", "0,0,0", r"out\.txt: 3 labels, but its sequence needs 4; unpack"),
    ("a/cover.txt", "8\nnan\n8\n8\n", r"cover\.txt: holds nan, not only 0 to 8; unpack"),
])  # fmt: skip
def test_a_broken_copy_is_one_line_that_names_the_file(root, file, text, message):
    if text is not None:
        (root / file).write_text(text)
    elif file == "a/img":
        (root / file).rename(root / "moved")
    else:
        for path in (root / file).glob("*.jpg") if file.endswith("/") else [root / file]:
            path.unlink()
    with pytest.raises(ValueError, match=message) as error:
        read_listed(Source(root), "toy", LISTED)
    assert "\n" not in str(error.value) and str(root) in str(error.value)


def test_of_a_single_box_the_first_frame_must_be_there(root):
    listed = Listed("a", "a/img", "a/boxes.txt", one_box=True)
    with pytest.raises(ValueError, match=r"boxes\.txt: 4 rows, but its sequence needs 1"):
        read_listed(Source(root), "toy", listed)
    (root / "a" / "boxes.txt").write_text("1,2,3,4\n")
    sequence = read_listed(Source(root), "toy", listed)
    assert (len(sequence), sequence.boxes.shape, sequence.visible.tolist()) == (4, (1, 4), [True])
    (root / "a" / "img" / "001.jpg").unlink()
    with pytest.raises(ValueError, match=r"a/img: the first frame is 002\.jpg, not number 1"):
        read_listed(Source(root), "toy", listed)
