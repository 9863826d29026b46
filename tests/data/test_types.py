"""Frames as a tuple of paths that is not kept in memory; a batch on its way to the device."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from lib.data.batch import Batch
from lib.data.types import FrameFiles


def test_frame_files_are_like_a_tuple_of_paths():
    folder, names = Path("/data/a"), ["00000001.jpg", "00000002.jpg", "10.jpg"]
    frames, paths = FrameFiles(folder, names), tuple(folder / name for name in names)
    assert tuple(frames) == paths and len(frames) == 3
    assert frames[-1] == paths[-1] and tuple(frames[1:]) == paths[1:] and paths[1] in frames
    assert tuple(pickle.loads(pickle.dumps(frames))) == paths
    with pytest.raises(IndexError):
        frames[3]


def batch() -> Batch:
    images, boxes, gains = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.rand(2, 4), torch.ones(2)
    return Batch((5, 6), images, boxes, gains, images + 1, boxes + 1, gains + 1, ("a", "b"), ("c",), 3)


def test_a_batch_moves_all_its_tensors_and_keeps_the_rest():
    moved = batch().to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6 and all(tensor.device.type == "meta" for tensor in tensors)
    assert (moved.numbers, moved.sources, moved.redrawn, moved.missed) == ((5, 6), ("a", "b"), ("c",), 3)
    assert len(moved) == 2


def test_a_batch_pins_all_its_tensors(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor.clone())
    whole = batch()
    torch.testing.assert_close(whole.pin_memory().search_box, whole.search_box)
    assert len(pinned) == 6
