"""Find: the interface of a network that encodes a target once and then finds it in crops, a batch at a time.

``lib.inference.torch_network`` implements it with PyTorch, ``lib.export.exported`` with a file for ONNX Runtime or
OpenVINO.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from lib.inference.settings import TrackSettings


class Found(NamedTuple):
    """The best candidate in each of B crops: ``boxes`` float32 ``[B, 4]`` cxcywh in fractions of the crop, ``scores``
    float32 ``[B]``, the network's own before the window, and ``cells`` int64 ``[B]``, the candidates' numbers.

    ``prediction`` holds all candidates (``lib.models.heads.base.Prediction``, on the network's device), None for a
    network that gives the best ones only. A network with captured graphs overwrites it in the next call.
    """

    boxes: np.ndarray
    scores: np.ndarray
    cells: np.ndarray
    prediction: Any = None


class Network(Protocol):
    """A network on its device, with the crops it is made for.

    Crops are RGB ``[B, S, S, 3]`` of 0 to 255, uint8 or, where ``settings`` have them aligned, float32. A state is a
    tuple of arrays or tensors with a leading batch axis. ``batch`` is the number of crops that the network computes at
    once, None for any number; ``suggested_batch`` suits the network and its device. ``name`` and ``device`` are for
    messages and reports.
    """

    settings: TrackSettings
    batch: int | None
    suggested_batch: int
    name: str
    device: str

    def encode(self, crops: np.ndarray, boxes: np.ndarray) -> tuple[Any, ...]:
        """The state of B targets, from their template crops and boxes float32 ``[B, 4]`` xywh in fractions of them."""

    def find(self, state: tuple[Any, ...], crops: np.ndarray) -> Found:
        """The target of each row of ``crops``, which is in the same row of ``state``; a state may have further rows."""


def put(states: tuple[Any, ...], slot: int, state: tuple[Any, ...], slots: int) -> tuple[Any, ...]:
    """``states`` of ``slots`` targets, with the one target of ``state`` in row ``slot``. Empty ``states`` become new
    ones, contiguous and with this target in every row."""
    states = states or tuple(leaf.reshape(1, -1)[[0] * slots].reshape(slots, *leaf.shape[1:]) for leaf in state)
    for leaf, row in zip(states, state, strict=True):
        leaf[slot] = row[0]
    return states
