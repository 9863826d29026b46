"""Miniature datasets, written where a test asks, and a test of distributions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.types import Sequence


@pytest.fixture
def kolmogorov_p() -> Callable[[np.ndarray, Callable[[np.ndarray], np.ndarray]], float]:
    """``(values, cdf) -> p`` of the two-sided Kolmogorov-Smirnov test by its asymptotic series (Stephens' correction).

    For a distribution on few values, whose cdf is a staircase, the true p is larger.
    """

    def p_value(values: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
        points, counts = np.unique(values, return_counts=True)
        after = np.cumsum(counts) / len(values)
        before = after - counts / len(values)
        left = cdf(np.nextafter(points.astype(float), -np.inf))
        distance = max(np.abs(after - cdf(points)).max(), np.abs(before - left).max())
        root = np.sqrt(len(values))
        scaled = (root + 0.12 + 0.11 / root) * distance
        if scaled < 0.2:  # the series converges too slowly there
            return 1.0
        k = np.arange(1, 101)
        return float(np.clip(2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * k**2 * scaled**2)), 0, 1))

    return p_value


@pytest.fixture
def write_got10k(tmp_path: Path) -> Callable[..., Path]:
    """``(folder, lengths) -> root``: a sequence of 8 x 8 black frames, all with one box, for each number of frames."""

    def write(folder: str, lengths: list[int], first_box_only: bool = False) -> Path:
        names = [f"GOT-10k_{folder.title()}_{number:06d}" for number in range(1, len(lengths) + 1)]
        jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        for name, length in zip(names, lengths, strict=True):
            sequence = tmp_path / folder / name
            sequence.mkdir(parents=True)
            for frame in range(1, length + 1):
                (sequence / f"{frame:08d}.jpg").write_bytes(jpeg)
            rows = 1 if first_box_only else length
            (sequence / "groundtruth.txt").write_text("1.5000,2.0000,3.0000,4.2500\n" * rows)
            if not first_box_only:
                (sequence / "absence.label").write_text("0\n" * length)
                (sequence / "cover.label").write_text("8\n" * length)
        (tmp_path / folder / "list.txt").write_text("\n".join(names) + "\n")
        return tmp_path

    return write


@pytest.fixture
def make_sequence(tmp_path: Path) -> Callable[..., Sequence]:
    """``(name, images, boxes) -> Sequence`` whose frames are the RGB images, stored without loss."""

    def make(name: str, images: list[np.ndarray], boxes: list, image_set: bool = False) -> Sequence:
        frames = []
        for number, image in enumerate(images):
            frames.append(tmp_path / f"{name}_{number:04d}.png")
            cv2.imwrite(str(frames[-1]), image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        boxes = np.array(boxes, dtype=np.float64)
        return Sequence(name, "toy", tuple(frames), boxes, np.ones(len(boxes), bool), image_set)

    return make
