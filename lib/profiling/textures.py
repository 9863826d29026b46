"""Writes frames that cost about as much to read and decode as photographs, to measure speed.

Pictures of "dead leaves" (opaque shapes of many sizes over each other), which have the edges and the spectrum of
natural images (Lee, Mumford and Huang 2001), under noise at several scales and a camera's grain. In GOT-10k's layout.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

WIDTH, HEIGHT = 1280, 720
# With it a frame has about 100 kB; LaSOT's 3.5 million frames, mostly of this size, have 65 kB on average (227 GB).
JPEG_QUALITY = 72
# sqrt(w * h) of the targets in pixels, from the first sequence to the last in equal ratios.
SMALLEST, LARGEST = 60, 250

_AREA_PER_LEAF = 1700  # pixels
_GRAIN = 1.3, 3.5  # standard deviation, gray levels, drawn for each sequence
_MARGIN = 128  # pixels by which a backdrop is larger than a frame, for the camera's motion


def write_textures(root: Path, sequences: int, frames: int, seed: int = 0, quality: int = JPEG_QUALITY) -> int:
    """Write ``train/`` of a GOT-10k with so many sequences of so many frames. Returns the bytes of all images.

    Each sequence is a texture that moves before another one; its target is never hidden and keeps its size.
    """
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 1, (HEIGHT + _MARGIN, WIDTH + _MARGIN, 1)).astype(np.float32)
    names = [f"GOT-10k_Train_{number:06d}" for number in range(1, sequences + 1)]
    size = 0
    for name, side in zip(tqdm(names, "frames", disable=None), np.geomspace(SMALLEST, LARGEST, sequences), strict=True):
        aspect = rng.uniform(0.6, 1.6)
        folder = root / "train" / name
        folder.mkdir(parents=True)
        boxes = []
        for number, (image, box) in enumerate(_render(rng, grain, side * aspect, side / aspect, frames), start=1):
            _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            (folder / f"{number:08d}.jpg").write_bytes(code.tobytes())
            boxes.append(box)
            size += len(code)
        np.savetxt(folder / "groundtruth.txt", boxes, fmt="%.4f", delimiter=",")
        (folder / "absence.label").write_text("0\n" * frames)
        (folder / "cover.label").write_text("8\n" * frames)
    (root / "train" / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return size


def _render(
    rng: np.random.Generator, grain: np.ndarray, width: float, height: float, frames: int
) -> Iterator[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """Frames uint8 BGR ``[HEIGHT, WIDTH, 3]`` of one sequence, and the target's box, xywh in pixels."""
    backdrop = _leaves(rng, HEIGHT + _MARGIN, WIDTH + _MARGIN)
    columns, rows = int(width), int(height)
    target = _leaves(rng, rows, columns)
    shape = np.zeros((rows, columns, 1), np.float32)
    cv2.ellipse(shape, (columns // 2, rows // 2), (columns // 2, rows // 2), 0, 0, 360, 1, -1)
    free = np.array((WIDTH - columns, HEIGHT - rows))
    grain = rng.uniform(*_GRAIN) * grain
    paths = [_path(rng, frames) for _ in range(3)]
    for number in range(frames):
        x, y = (paths[0][number] * free).astype(int)
        left, top = (paths[1][number] * _MARGIN).astype(int)
        image = backdrop[top : top + HEIGHT, left : left + WIDTH].copy()
        image[y : y + rows, x : x + columns] += shape * (target - image[y : y + rows, x : x + columns])
        left, top = (paths[2][number] * _MARGIN).astype(int)
        image += grain[top : top + HEIGHT, left : left + WIDTH]
        yield image.clip(0, 255).astype(np.uint8), (x, y, columns, rows)


def _path(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A smooth path ``[frames, 2]`` within 0..1 along each axis."""
    time = np.arange(frames)[:, None]
    return 0.5 + 0.45 * np.sin(time / rng.uniform(6, 15, 2) + rng.uniform(0, 6, 2))


def _leaves(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture, float32 ``[height, width, 3]`` in 0..255: large shapes below, small ones above, each in one color."""
    image = 128 + 50 * _noise(rng, height, width, 128)
    for size in sorted(12 + 20 * rng.pareto(1.5, height * width // _AREA_PER_LEAF), reverse=True):
        center = rng.integers(0, (width, height)).tolist()
        axes = np.clip(size * rng.uniform(0.3, 1, 2), 2, width).astype(int).tolist()
        color = 0.4 * image[center[1], center[0]] + 0.6 * rng.uniform(20, 235) + rng.normal(0, 15, 3)
        cv2.ellipse(image, center, axes, rng.uniform(0, 180), 0, 360, color.tolist(), -1)
    image += 18 * _noise(rng, height, width, 512)
    return cv2.GaussianBlur(image, (0, 0), 0.7).clip(0, 255)


def _noise(rng: np.random.Generator, height: int, width: int, finest: int) -> np.ndarray:
    """Colored noise float32 ``[height, width, 3]`` of about 1: from 4 to ``finest`` cells a column, each scale twice
    as fine as the last and weaker."""
    image = np.zeros((height, width, 3), np.float32)
    cells, strength = 4, 1.0
    while cells <= min(finest, height):
        shape = cells, max(1, cells * width // height)
        noise = rng.normal(0, strength, (*shape, 1)) + rng.normal(0, strength / 3, (*shape, 3))
        image += cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        cells, strength = 2 * cells, 0.6 * strength
    return image
