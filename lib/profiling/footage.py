"""Frames of 1280 x 720 with the pictures of a real video, to measure how fast they are read, cropped and tracked."""

from itertools import islice, repeat
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lib.config.paths import CLIP
from lib.data.decoding.video import VideoReader
from lib.data.synthetic.writing import write_sequence

WIDTH, HEIGHT = 1280, 720
# With it a frame has about 115 kB; LaSOT's 3.5 million frames, mostly of this size, have 65 kB on average (227 GB).
FOOTAGE_QUALITY = 58
# sqrt(w * h) of the targets in pixels, from the first sequence to the last in equal ratios.
SMALLEST, LARGEST = 60, 250
# A target in the middle of the frame, float64 ``[4]`` xywh in pixels.
BOX = np.array([(WIDTH - 160) / 2, (HEIGHT - 120) / 2, 160, 120])


def read_footage(frames: int, shift: tuple[int, int] = (0, 0)) -> list[np.ndarray]:
    """So many frames of the video, uint8 RGB ``[HEIGHT, WIDTH, 3]``: the pictures repeated over the frame, rolled by
    ``shift`` rows and columns. After its last frame the video begins again."""
    with VideoReader(CLIP) as video:
        images = [frame.image for frame in islice(video, frames)]
    whole = [np.tile(np.roll(image, shift, (0, 1)), (3, 3, 1))[:HEIGHT, :WIDTH].copy() for image in images]
    return [whole[number % len(whole)] for number in range(frames)]


def write_footage(root: Path, sequences: int, frames: int, quality: int = FOOTAGE_QUALITY) -> int:
    """Write ``train/`` of a GOT-10k with so many sequences of so many frames. Returns the bytes of all images.

    Each sequence has the pictures at other places of the frame, and a square box of its own size that moves over them.
    """
    rng, size = np.random.default_rng(0), 0
    names = [f"GOT-10k_Train_{number:06d}" for number in range(1, sequences + 1)]
    for name, side in zip(tqdm(names, "frames", disable=None), np.geomspace(SMALLEST, LARGEST, sequences), strict=True):
        images = read_footage(frames, tuple(rng.integers(0, (HEIGHT, WIDTH))))
        corners = (0.5 + 0.4 * np.sin(np.arange(frames)[:, None] / (9, 13))) * (WIDTH - side, HEIGHT - side)
        boxes = np.concatenate([corners, np.full((frames, 2), side)], axis=1)
        size += write_sequence(root / "train" / name, zip(images, boxes, repeat(8)), quality)
    (root / "train" / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return size
