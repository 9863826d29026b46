"""Short sequences on disk whose target is a bright square."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.types import Sequence


@pytest.fixture
def make_sequence(tmp_path: Path) -> Callable[..., Sequence]:
    """``make_sequence(name, frames=4, first=(x, y, w, h))`` writes a sequence whose box moves by 2 px a frame."""

    def make(name: str, frames: int = 4, first: tuple[float, ...] = (10, 12, 16, 14)) -> Sequence:
        folder = tmp_path / "frames" / name
        folder.mkdir(parents=True)
        boxes = np.array([first] * frames, dtype=np.float64)
        boxes[:, 0] += 2 * np.arange(frames)
        paths = tuple(folder / f"{i + 1:08d}.png" for i in range(frames))
        for path, (x, y, w, h) in zip(paths, boxes.astype(int), strict=True):
            image = np.full((60, 80, 3), 40, np.uint8)
            image[y : y + h, x : x + w] = 220
            cv2.imwrite(str(path), image)
        return Sequence(name, "toy", paths, boxes, np.ones(frames, bool), cover=np.full(frames, 8))

    return make
