"""The simulated TrackingNet is one that the reader of the true one accepts, and pairs can be drawn from it."""

from pathlib import Path

import cv2
import numpy as np
from one_sequence import read_dataset

from lib.data.datasets.registry import DATASETS
from lib.data.sampling import can_be_drawn
from lib.profiling.simulation import HEIGHT, TRACKINGNET_VIDEOS, WIDTH, write_simulated_trackingnet


def test_its_sequences(tmp_path):
    write_simulated_trackingnet(tmp_path, videos=25, frames=30, jpegs=True)
    sequences = read_dataset("trackingnet", "train", tmp_path)
    assert [len(sequence) for sequence in sequences] == [30] * 25 and all(map(can_be_drawn, sequences))
    assert len({sequence.name for sequence in sequences}) == 25
    assert [len(read_dataset("trackingnet", f"train_{chunk}", tmp_path)) for chunk in (0, 11)] == [3, 2]
    boxes = sequences[0].boxes
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 16).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (WIDTH + 0.01, HEIGHT + 0.01)).all()
    assert len(np.unique(boxes, axis=0)) > 0.9 * len(boxes)
    for frame in (*sequences[0].frames, sequences[24].frames[29]):
        assert cv2.imread(str(frame)).shape == (HEIGHT, WIDTH, 3)


def test_it_is_a_function_of_its_seed(tmp_path):
    def texts(folder: str, seed: int) -> dict[Path, bytes]:
        root = tmp_path / folder
        write_simulated_trackingnet(root, 13, 20, seed=seed)
        assert not list(root.rglob("*.jpg"))
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    first = texts("a", 1)
    assert first == texts("b", 1) and first != texts("c", 2)


def test_the_full_size_is_that_of_the_set():
    assert DATASETS["trackingnet"].expected["train"] == TRACKINGNET_VIDEOS
