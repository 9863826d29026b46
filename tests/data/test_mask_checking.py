"""Each fault of a mask is found, and a set without faults has none."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from miniatures import write_coco, write_got10k
from one_sequence import read_dataset

from lib.data.checking import check_dataset_on_disk
from lib.data.files.source import Source
from lib.data.masks import MaskFolder


@pytest.fixture
def masks(tmp_path: Path) -> MaskFolder:
    """Two sequences of 4 frames in ``data``, with masks in ``masks``."""
    write_got10k(tmp_path / "data", "train", [4, 4])
    folder = MaskFolder(tmp_path / "masks", Source(tmp_path / "data"))
    for sequence in read_dataset("got10k", "full", tmp_path / "data"):
        for frame, (x, y, w, h) in enumerate(sequence.boxes.astype(int).tolist()):
            mask = np.zeros((72, 96), np.uint8)
            mask[y : y + h, x : x + w] = 255
            path = folder.path(sequence, frame)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), mask)
    return folder


def problems(name: str, split: str, root: Path, folder: Path | None = None) -> list[tuple[str, str, int, str]]:
    report = check_dataset_on_disk(name, root, [split], masks=True, mask_folder=folder, threads=2)
    return [tuple(problem) for problem in report.splits[0].problems if "mask" in problem.kind]


def test_good_masks_have_no_fault(masks, tmp_path):
    assert problems("got10k", "full", tmp_path / "data", masks.root) == []


def test_faults_of_files_are_found(masks, tmp_path):
    first, second = read_dataset("got10k", "full", tmp_path / "data")
    masks.path(first, 0).unlink()
    masks.path(first, 1).write_bytes(b"no image")
    cv2.imwrite(str(masks.path(first, 2)), np.zeros((72, 96), np.uint8))
    cv2.imwrite(str(masks.path(first, 3)), np.full((72, 90), 255, np.uint8))
    cv2.imwrite(str(masks.path(second, 0)), np.full((72, 96), 255, np.uint8))
    found = {(kind, name): (count, detail) for kind, name, count, detail in
             problems("got10k", "full", tmp_path / "data", masks.root)}  # fmt: skip
    assert {key: count for key, (count, _) in found.items()} == {
        ("no_mask", first.name): 1, ("bad_mask", first.name): 3, ("mask_box", second.name): 1,
    }  # fmt: skip
    assert str(masks.path(first, 0)) in found["no_mask", first.name][1]
    assert found["mask_box", second.name][1] == (
        "00000001.jpg: the mask's box is x=0 y=0 w=96 h=72, the annotated one x=20 y=12 w=24 h=18"
    )


def test_faults_of_outlines_are_found(tmp_path):
    file = write_coco(tmp_path, images=3) / "annotations" / "instances_train2017.json"
    assert problems("coco", "train2017", tmp_path) == []
    content = json.loads(file.read_text())
    changes = [None, [[20, 12, 44, 12, 44, 30, 20, 30]], {"size": [72, 96], "counts": [72 * 96]}, [[0, 0, 3, 0, 0, 4]]]
    for annotation, outline in zip(content["annotations"], changes, strict=False):
        annotation["segmentation"] = outline
    file.write_text(json.dumps(content))
    found = problems("coco", "train2017", tmp_path)
    assert [problem[:3] for problem in found] == [
        ("no_mask", "101", 1), ("no_mask", "102", 1), ("bad_mask", "103", 1), ("mask_box", "104", 1),
    ]  # fmt: skip


def test_an_image_that_cannot_be_read_needs_no_mask(masks, tmp_path):
    sequence = read_dataset("got10k", "full", tmp_path / "data")[0]
    masks.path(sequence, 0).unlink()
    (tmp_path / "data" / "train" / sequence.name / "00000001.jpg").unlink()
    assert problems("got10k", "full", tmp_path / "data", masks.root) == []
