"""COCO's layouts in miniature, and what is wrong with a broken file."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures import write_coco
from one_sequence import read_dataset

from lib.data.datasets import coco
from lib.data.datasets.registry import DATASETS
from lib.data.files.source import Source
from lib.data.types import Sequence

FILE = Path("annotations") / "instances_train2017.json"


def read(root: Path, split: str = "train2017") -> list[Sequence]:
    return read_dataset("coco", split, root)


def rewrite(root: Path, change: Any) -> None:
    content = json.loads((root / FILE).read_text())
    change(content)
    (root / FILE).write_text(json.dumps(content))


def test_each_object_that_is_no_crowd_is_a_sequence(tmp_path):
    sequences = read(write_coco(tmp_path, images=3))
    assert [sequence.name for sequence in sequences] == ["101", "102", "103", "104", "105"]
    first, second = sequences[:2]
    assert (first.dataset, first.image_set, len(first)) == ("coco", True, 1)
    assert list(first.frames) == list(second.frames) == [tmp_path / "images" / "train2017" / "000000000001.jpg"]
    assert sequences[4].frames[0].name == "000000000003.jpg" and sequences[4].frames[0].exists()
    np.testing.assert_array_equal(first.boxes, [[20, 12, 24, 18]])
    np.testing.assert_array_equal(second.boxes, [[1.5, 2, 70.25, 60]])
    assert first.boxes.dtype == np.float64 and first.visible.dtype == bool
    assert (first.meta, second.meta) == ({"class": "person"}, {"class": "fire hydrant"})


def test_a_box_without_size_is_not_visible(tmp_path):
    write_coco(tmp_path)
    boxes = [[1, 2, 0, 4], [1, 2, 3, 0], [1, 2, 0.1, 0.1], [1, 2, float("nan"), 4]]

    def put(content):
        for annotation, box in zip(content["annotations"], boxes, strict=True):
            annotation["bbox"] = box

    rewrite(tmp_path, put)
    sequences = read(tmp_path)
    assert [bool(sequence.visible[0]) for sequence in sequences] == [False, False, True, False]
    np.testing.assert_array_equal([sequence.boxes[0] for sequence in sequences], boxes)


@pytest.mark.parametrize("folder", ["images/", ""])
@pytest.mark.parametrize("split", coco.DATASET.splits)
def test_layouts_are_told_apart(tmp_path, caplog, folder, split):
    write_coco(tmp_path, 1, split, folder)
    with caplog.at_level(logging.INFO, logger=coco.__name__):
        first, _ = read(tmp_path, split)
    name = f"COCO_{split}_000000000001.jpg" if split.endswith("2014") else "000000000001.jpg"
    assert first.frames[0] == tmp_path / folder / split / name and first.frames[0].exists()
    assert caplog.messages == [f"coco: the images of {split} lie in {tmp_path / folder / split}"]


def test_what_a_file_may_leave_out(tmp_path):
    write_coco(tmp_path)

    def leave_out(content):
        del content["categories"], content["info"]
        for annotation in content["annotations"]:
            del annotation["iscrowd"], annotation["segmentation"], annotation["category_id"]

    rewrite(tmp_path, leave_out)
    assert [dict(sequence.meta) for sequence in read(tmp_path)] == [{}] * 4


def test_images_are_not_asked_for_but_their_folder_is(tmp_path):
    write_coco(tmp_path, images=2)
    for image in (tmp_path / "images" / "train2017").iterdir():
        image.unlink()
    source = Source(tmp_path)
    entries = list(DATASETS["coco"].entries(source, "train2017"))
    assert len([entry.read() for entry in entries]) == 4
    assert set(source.stamps) == {str(FILE), "images/train2017"}
    (tmp_path / "images" / "train2017").rmdir()
    (tmp_path / "train2017").symlink_to(tmp_path / "train2017")
    with pytest.raises(ValueError, match=f"^{tmp_path}: holds neither images/train2017/ nor train2017/; unpack"):
        read(tmp_path)


@pytest.mark.parametrize(("change", "message"), [
    ({"image_id": 9}, "is of image 9, which is not listed; get"),
    ({"image_id": [1]}, r"is of image \[1\], which is not listed"),
    ({"bbox": None}, "has bbox None, not 4 numbers; get"),
    ({"bbox": [20, 12, 24]}, r"has bbox \[20, 12, 24\], not 4 numbers; get"),
    ({"bbox": [1, "2", 3, 4]}, r"has bbox \[1, '2', 3, 4\], not 4 numbers"),
    ({"bbox": [1, True, 3, 4]}, r"has bbox \[1, True, 3, 4\], not 4 numbers"),
    ({"bbox": [1, 2, 10**400, 4]}, r"has bbox \[1, 2, 1000*, 4\], not 4"),
])  # fmt: skip
def test_a_broken_annotation_hides_no_other(tmp_path, change, message):
    write_coco(tmp_path)
    rewrite(tmp_path, lambda content: content["annotations"][0].update(change))
    entries = list(DATASETS["coco"].entries(Source(tmp_path), "train2017"))
    assert [entry.name for entry in entries] == ["101", "102", "103", "104"]
    assert entries[2].read().name == "103"
    with pytest.raises(ValueError, match=f"^{tmp_path / FILE}: annotation 101 {message}") as error:
        entries[0].read()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("change", "message"), [
    (lambda content: content.pop("images"), "has no list 'images' of mappings, so it is not COCO's; get"),
    (lambda content: content["annotations"].append(7), "has no list 'annotations' of mappings"),
    (lambda content: content.update(categories=3), "has no list 'categories' of mappings"),
    (lambda content: content["annotations"][2].pop("id"), "annotation number 3 has no id; get"),
])  # fmt: skip
def test_a_broken_file_is_one_line_that_names_it(tmp_path, change, message):
    write_coco(tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(ValueError, match=f"^{tmp_path / FILE}: {message}") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_a_file_without_objects(tmp_path):
    write_coco(tmp_path)
    rewrite(tmp_path, lambda content: content["annotations"].clear())
    with pytest.raises(ValueError, match=f"^{tmp_path}: holds no sequence of coco train2017 in a layout"):
        read(tmp_path)


@pytest.mark.parametrize(("text", "message"), [
    ('{"images": [{"id": 1}, ', r"is no JSON \(.*\); get"),
    ("[1, 2]", "has no list 'images' of mappings"),
    (None, "No such file or directory; check"),
])  # fmt: skip
def test_a_file_that_is_none(tmp_path, text, message):
    write_coco(tmp_path)
    (tmp_path / FILE).unlink()
    if text is not None:
        (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match=f"^{tmp_path / FILE}: {message}") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
