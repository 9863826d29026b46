"""Fixtures of several packages: a small synthetic set, made-up sequences, and a log that no test changes for others."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.synthetic.writing import SyntheticSet, write_synthetic
from lib.data.types import Sequence


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indices that the programs make lie here, not in the checkout. Programs import this checkout's ``lib``, also where
    another one is installed."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
    os.environ["TRACKING_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return Path(os.environ["TRACKING_CACHE"])


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Puts the project's logger back: a program that runs within a test sets it up."""
    logger = logging.getLogger("lib")
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.fixture(scope="session")
def toy_got10k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a set in GOT-10k's layout, 3 sequences to train on and 2 to test on; tests leave it as it is."""
    root = tmp_path_factory.mktemp("toy") / "got10k"
    write_synthetic(root, SyntheticSet(train=3, val=2, frames=20, val_frames=20, width=96, height=72, seed=1))
    return root


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
