"""ImageNet-VID's layout in miniature: tracks, gaps, occlusion, and what is wrong with a broken copy."""

import logging
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from miniatures import VID_SET, moving_boxes, write_imagenet_vid
from one_sequence import read_dataset

from lib.data.datasets import imagenet_vid
from lib.data.datasets.registry import DATASETS
from lib.data.files.source import Source
from lib.data.types import Sequence

VIDEO = "ILSVRC2015_train_00005000"
ANNOTATIONS = Path("Annotations") / "VID" / "train" / VID_SET / VIDEO


def read(root: Path) -> list[Sequence]:
    return read_dataset("imagenet_vid", "train", root)


def replace(file: Path, *pairs: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def test_a_track_is_its_whole_span_with_gaps(tmp_path):
    """Track 0 is out of sight in frames 8 to 11; the published code would end it there."""
    shown = [*range(3, 8), *range(12, 20)]
    write_imagenet_vid(tmp_path, 24, {VIDEO: {"0": shown, "7": range(24)}})
    replace(tmp_path / ANNOTATIONS / "000004.xml", ("<occluded>0</occluded>", "<occluded>1</occluded>"))
    replace(tmp_path / ANNOTATIONS / "000005.xml", ("<ymin>", "<ymin>1000"))
    # Track 7 comes first, as it is there from the first frame.
    whole, first = read(tmp_path)
    assert (first.name, whole.name) == (f"{VID_SET}.{VIDEO}.0", f"{VID_SET}.{VIDEO}.7")
    assert (first.dataset, first.image_set, len(first), len(whole)) == ("imagenet_vid", False, 17, 24)
    folder = tmp_path / "Data" / "VID" / "train" / VID_SET / VIDEO
    assert list(first.frames) == [folder / f"{number:06d}.JPEG" for number in range(3, 20)]
    assert all(frame.exists() for frame in first.frames)
    expected = moving_boxes(17, first=3)
    expected[5:9] = np.nan
    annotated = [0, 1, *range(3, 17)]  # row 2 is frame 5, which was turned upside down
    np.testing.assert_array_equal(first.boxes[annotated], expected[annotated])
    assert first.boxes[2][3] < 0
    visible = ~np.isnan(expected[:, 0])
    visible[[1, 2]] = False
    np.testing.assert_array_equal(first.visible, visible)
    np.testing.assert_array_equal(whole.visible, [number not in (4, 5) for number in range(24)])
    assert first.meta == {"class": "n02691156"} and first.absent is None


def test_width_is_the_difference_of_the_corners(tmp_path):
    write_imagenet_vid(tmp_path, 1, {VIDEO: {"0": [0]}})
    text = "<annotation><object><trackid>0</trackid><name>n1</name><bndbox><xmax>30</xmax><xmin>10</xmin><ymax>9</ymax>"
    (tmp_path / ANNOTATIONS / "000000.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + text
        + "<ymin>5</ymin></bndbox><occluded>0</occluded></object></annotation>"
    )
    np.testing.assert_array_equal(read(tmp_path)[0].boxes, [[10, 5, 20, 4]])


def test_blanks_around_values_are_no_part_of_them(tmp_path):
    write_imagenet_vid(tmp_path, 2, {VIDEO: {"0": range(2)}})
    (plain,) = read(tmp_path)
    file = tmp_path / ANNOTATIONS / "000001.xml"
    text = re.sub(r"<(\w+)>([^<>]+)</", r"<\1>\r\n\t \2 </", file.read_text())
    file.write_text("\ufeff" + text)
    (spaced,) = read(tmp_path)
    assert (spaced.name, spaced.meta) == (plain.name, plain.meta)
    np.testing.assert_array_equal(spaced.boxes, plain.boxes)
    assert spaced.visible.all() and plain.visible.all()


def test_of_two_objects_with_one_track_the_first_counts(tmp_path):
    write_imagenet_vid(tmp_path, 2, {VIDEO: {"0": range(2), "1": range(2)}})
    file = tmp_path / ANNOTATIONS / "000001.xml"
    replace(file, ("<trackid>1</trackid>", "<trackid>0</trackid>"))
    replace(file, ("<name>", "<extra/><name>"))
    first, second = read(tmp_path)
    np.testing.assert_array_equal(first.boxes, moving_boxes(2))
    assert (len(first), len(second)) == (2, 1)


def test_sets_and_videos_in_order_and_a_video_without_objects(tmp_path):
    for folder, video in (("ILSVRC2015_VID_train_0001", "b"), ("ILSVRC2017_VID_train_0000", "c"), (VID_SET, "a")):
        write_imagenet_vid(tmp_path, 2, {video: {"0": [1]}, f"{video}_empty": {}}, folder)
    (tmp_path / "Annotations" / "VID" / "train" / "list.txt").touch()
    names = [sequence.name for sequence in read(tmp_path)]
    assert names == [f"{VID_SET}.a.0", "ILSVRC2015_VID_train_0001.b.0", "ILSVRC2017_VID_train_0000.c.0"]


@pytest.mark.parametrize("folder", ["", "ILSVRC2015", "ILSVRC"])
def test_the_folder_in_the_archives_is_found(tmp_path, caplog, folder):
    write_imagenet_vid(tmp_path / folder, 2, {VIDEO: {"0": range(2)}})
    with caplog.at_level(logging.INFO, logger=imagenet_vid.__name__):
        (sequence,) = read(tmp_path)
    assert sequence.frames[1].exists() and sequence.frames[1].is_relative_to(tmp_path / folder / "Data")
    place = tmp_path / folder / "Annotations" / "VID" / "train"
    assert caplog.messages == [f"imagenet_vid: the annotations lie in {place}"]


def test_links_beside_the_official_names_are_no_second_copy(tmp_path, caplog):
    """Copies prepared for SiamFC have links a, b, c, d, or those names alone."""
    write_imagenet_vid(tmp_path, 2, {VIDEO: {"0": range(2)}})
    for top in ("Annotations", "Data"):
        (tmp_path / top / "VID" / "train" / "a").symlink_to(tmp_path / top / "VID" / "train" / VID_SET)
    assert [sequence.name for sequence in read(tmp_path)] == [f"{VID_SET}.{VIDEO}.0"]
    for top in ("Annotations", "Data"):
        train = tmp_path / top / "VID" / "train"
        (train / "a").unlink()
        (train / VID_SET).rename(train / "a")
        (train / "loop").symlink_to(train / "loop")
    with caplog.at_level(logging.INFO, logger=imagenet_vid.__name__):
        (sequence,) = read(tmp_path)
    assert sequence.name == f"a.{VIDEO}.0" and sequence.frames[0].exists()
    assert "imagenet_vid: no ILSVRC*_VID_train_* there, so its folders are a" in caplog.messages


def test_a_video_is_parsed_once_for_all_its_tracks(tmp_path, monkeypatch):
    write_imagenet_vid(tmp_path, 6, {VIDEO: {str(track): range(6) for track in range(4)}})
    asked = Counter()
    text = Source.text
    monkeypatch.setattr(Source, "text", lambda source, key: asked.update([key]) or text(source, key))
    assert len(read(tmp_path)) == 4
    assert len(asked) == 6 and set(asked.values()) == {1}


NO_NUMBER = r"000001\.xml: an object has no trackid or no numbers in its bndbox; unpack"


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("moved")).with_name(path.name))


@pytest.mark.parametrize(("damage", "message"), [
    (lambda video, file: file.write_text(file.read_text()[:-20]), r"000001\.xml: is no XML \(.*\); unpack"),
    (lambda video, file: replace(file, ("<xmin>", "<xmin>ten")), NO_NUMBER),
    (lambda video, file: replace(file, ("ymax", "top")), NO_NUMBER),
    (lambda video, file: replace(file, ("trackid", "track")), NO_NUMBER),
    (lambda video, file: link_to_itself(file), r"000001\.xml: Too many levels of symbolic links; check"),
    (lambda video, file: [each.unlink() for each in video.iterdir()], r"5000: holds no annotations \(<number>\.xml\);"),
])  # fmt: skip
def test_a_broken_video_hides_no_other(tmp_path, damage, message):
    write_imagenet_vid(tmp_path, 3, {VIDEO: {"0": range(3)}, "ILSVRC2015_train_00006000": {"0": range(3)}})
    damage(tmp_path / ANNOTATIONS, tmp_path / ANNOTATIONS / "000001.xml")
    broken, whole = DATASETS["imagenet_vid"].entries(Source(tmp_path), "train")
    assert broken.name == f"{VID_SET}.{VIDEO}"
    assert len(whole.read()) == 3
    with pytest.raises(ValueError, match=message) as error:
        broken.read()
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_a_root_without_annotations(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match=f"^{tmp_path}: holds no sequence of imagenet_vid train in a layout"):
            read(tmp_path)
        (tmp_path / "Annotations" / "VID" / "train").mkdir(parents=True, exist_ok=True)
