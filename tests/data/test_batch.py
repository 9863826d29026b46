"""A batch on its way to the device."""

import torch

from lib.data.batch import Batch


def batch() -> Batch:
    images, boxes, gains = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.rand(2, 4), torch.ones(2)
    return Batch((5, 6), images, boxes, gains, images + 1, boxes + 1, gains + 1, ("a", "b"), ("c",), missed=3)


def test_a_batch_moves_all_its_tensors_and_keeps_the_rest():
    moved = batch().to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6 and all(tensor.device.type == "meta" for tensor in tensors)
    assert (moved.numbers, moved.sources, moved.damaged, moved.missed) == ((5, 6), ("a", "b"), ("c",), 3)
    assert len(moved) == 2


def test_a_batch_pins_all_its_tensors(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor.clone())
    whole = batch()
    torch.testing.assert_close(whole.pin_memory().search_box, whole.search_box)
    assert len(pinned) == 6
