"""Simulated sets are what the readers of the true ones accept, and pairs can be drawn from them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.datasets.registry import DATASETS, read_dataset
from lib.data.sampling import can_be_drawn
from lib.data.types import Sequence
from lib.profiling.simulation import (
    COCO_IMAGES,
    COCO_OBJECTS,
    HEIGHT,
    TRACKINGNET_VIDEOS,
    WIDTH,
    write_simulated_coco,
    write_simulated_trackingnet,
)


def assert_inside_pictures(sequences: list[Sequence]) -> None:
    boxes = np.concatenate([sequence.boxes for sequence in sequences])
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 16).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (WIDTH + 0.01, HEIGHT + 0.01)).all()
    assert len(np.unique(boxes, axis=0)) > 0.9 * len(boxes)


def test_trackingnet(tmp_path):
    write_simulated_trackingnet(tmp_path, videos=25, frames=30)
    sequences = read_dataset("trackingnet", "train", tmp_path)
    assert [len(sequence) for sequence in sequences] == [30] * 25 and all(map(can_be_drawn, sequences))
    assert len({sequence.name for sequence in sequences}) == 25
    assert [len(read_dataset("trackingnet", f"train_{chunk}", tmp_path)) for chunk in (0, 11)] == [3, 2]
    assert_inside_pictures(sequences[:1])
    for frame in (*sequences[0].frames, sequences[24].frames[29]):
        assert cv2.imread(str(frame)).shape == (HEIGHT, WIDTH, 3)


def test_coco(tmp_path):
    write_simulated_coco(tmp_path, images=20, objects=50)
    sequences = read_dataset("coco", "train2017", tmp_path)
    assert len(sequences) == len({sequence.name for sequence in sequences}) == 50
    assert all(map(can_be_drawn, sequences)) and 10 < len({sequence.frames[0] for sequence in sequences}) <= 20
    assert_inside_pictures(sequences)
    for sequence in sequences:
        assert cv2.imread(str(sequence.frames[0])).shape == (HEIGHT, WIDTH, 3)
    content = json.loads((tmp_path / "annotations" / "instances_train2017.json").read_text())
    sizes = [len(json.dumps(annotation)) for annotation in content["annotations"]]
    assert 450 < np.mean(sizes) < 600, "instances_train2017.json has 448 MB for 860,001 annotations"


@pytest.mark.parametrize("write", [write_simulated_trackingnet, write_simulated_coco])
def test_a_simulation_is_a_function_of_its_seed(tmp_path, write):
    def texts(folder: str, seed: int) -> dict[Path, bytes]:
        root = tmp_path / folder
        write(root, 13, 20, seed=seed, jpegs=False)
        assert not list(root.rglob("*.jpg"))
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    first = texts("a", 1)
    assert first == texts("b", 1) and first != texts("c", 2)


def test_the_full_sizes_are_those_of_the_sets():
    assert DATASETS["trackingnet"].expected["train"] == TRACKINGNET_VIDEOS
    assert DATASETS["coco"].expected["train2017"] <= COCO_OBJECTS and COCO_IMAGES == 118287
