"""A tracked sequence to look at: its boxes on every frame as a video, and some frames on a sheet."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from lib.data.decoding.images import read_image
from lib.data.decoding.video import VideoWriter
from lib.visualization.boxes import draw_boxes
from lib.visualization.sheet import tile, write_png

LEAST_WIDTH = 480  # smaller frames are enlarged by a whole factor, so that legends can be read
SHEET_FRAMES = 12
SHEET_COLUMNS = 4


def overlay(image: np.ndarray, boxes: Mapping[str, np.ndarray]) -> np.ndarray:
    """``draw_boxes`` on the image, enlarged by a whole factor if it is narrow."""
    factor = -(-LEAST_WIDTH // image.shape[1])
    large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) if factor > 1 else image
    return draw_boxes(large, {label: np.asarray(box) * factor for label, box in boxes.items()})


def write_video(path: Path, images: Iterable[np.ndarray], rate: float) -> None:
    """Write uint8 RGB frames of one size, ``rate`` frames a second, as ``lib.data.decoding.video.VideoWriter`` does."""
    with VideoWriter(path, rate) as writer:
        for image in images:
            writer.write(image)


def write_overlay(
    frames: Sequence[Path], tracks: Mapping[str, np.ndarray], video: Path, sheet: Path, rate: float = 10.0
) -> None:
    """Boxes of one sequence on its frames: ``video`` (.mp4) with all of them, ``sheet`` (.png) with twelve.

    ``frames`` are image files; ``tracks`` holds an array ``[len(frames), 4]`` xywh in pixels under each label, the
    ground truth first. Raises ``ImageError`` for a damaged frame and ``VideoError``.
    The sheet is written first.
    """
    for label, boxes in tracks.items():
        assert boxes.shape == (len(frames), 4), f"{label}: boxes {boxes.shape} for {len(frames)} frames"

    def drawn(number: int) -> np.ndarray:
        return overlay(read_image(frames[number]), {label: boxes[number] for label, boxes in tracks.items()})

    chosen = np.unique(np.linspace(0, len(frames) - 1, SHEET_FRAMES).round().astype(int)).tolist()
    titles = [f"frame {number + 1}" for number in chosen]
    write_png(sheet, tile([drawn(number) for number in chosen], SHEET_COLUMNS, titles))
    write_video(video, (drawn(number) for number in range(len(frames))), rate)
