"""Writes a dataset in TrackingNet's layout, to measure how much memory an index of that size takes."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 128, 96  # of the frames, in pixels

_CHUNKS = 12
_ROWS = 10000


def write_simulated_trackingnet(root: Path, videos: int, frames: int = 480) -> None:
    """Write chunks ``TRAIN_0`` to ``TRAIN_11`` with ``videos`` in all; the boxes of each are part of a random walk, and
    its frames links to one image."""
    rng = np.random.default_rng(0)
    rows = [f"{x:.2f},{y:.2f},{w:.2f},{h:.2f}\n" for x, y, w, h in _walk(rng, _ROWS + frames).tolist()]
    for chunk in range(_CHUNKS):
        (root / f"TRAIN_{chunk}" / "anno").mkdir(parents=True)
        (root / f"TRAIN_{chunk}" / "frames").mkdir()
    image = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    cv2.imwrite(str(root / "image.jpg"), image)
    (root / "images").mkdir()
    for frame in range(frames):
        (root / "images" / f"{frame}.jpg").symlink_to("../image.jpg")
    for video, first in enumerate(rng.integers(0, _ROWS, videos).tolist()):
        chunk, name = root / f"TRAIN_{video % _CHUNKS}", f"simulated{video:06d}_0"
        (chunk / "anno" / f"{name}.txt").write_text("".join(rows[first : first + frames]))
        (chunk / "frames" / name).symlink_to("../../images")


def _walk(rng: np.random.Generator, count: int) -> np.ndarray:
    """float64 ``[count, 4]`` xywh: a box that moves inside the image, in hundredths of a pixel."""
    phases = np.cumsum(rng.uniform(0, 0.02, (count, 4)), axis=0) + rng.uniform(0, 6, 4)
    share = 0.5 + 0.5 * np.sin(phases)
    size = 16 + 24 * share[:, 2:]
    return np.round(np.concatenate([share[:, :2] * ((WIDTH, HEIGHT) - size), size], axis=1), 2)
