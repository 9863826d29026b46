"""Small datasets with pictures of one's own, crop stores of them, and pictures that cameras could have taken."""

from collections.abc import Iterable
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np

from lib.data.augment import JitterConfig, Role
from lib.data.stores.cropping import write_crops
from lib.data.stores.crops import CropStore, open_crops
from lib.data.stores.index import SequenceIndex, open_dataset
from lib.data.stores.reach import CropSettings
from lib.data.synthetic.writing import write_sequence
from lib.geometry.crop import CropConfig

TEMPLATE, SEARCH = CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0)
STILL, LIVELY = JitterConfig(), JitterConfig(center=3.0, scale=0.25)
NAME = "GOT-10k_Train_000001"


def settings(template: CropConfig = TEMPLATE, search: CropConfig = SEARCH, jitter: JitterConfig = LIVELY, **changes):
    """What is stored of frames for those crops; the template without jitter."""
    roles = {"template": Role(crop=template, jitter=STILL), "search": Role(crop=search, jitter=jitter)}
    return CropSettings(**roles, **changes)


def write_pictures(root: Path, images: Iterable[np.ndarray], boxes: np.ndarray, name: str = NAME) -> Path:
    """The RGB images as one more sequence of the train folder of a GOT-10k, as good as without loss."""
    write_sequence(root / "train" / name, zip(images, boxes, repeat(8)), quality=98)
    with open(root / "train" / "list.txt", "a") as names:
        names.write(f"{name}\n")
    return root


def make_store(folder: Path, made_for: CropSettings, name: str = "got10k", split: str = "full") -> Path:
    """The folder of the crop store of the dataset in ``folder / "data"``."""
    return write_crops(name, split, folder / "data", folder / "cache", folder / "crops", made_for).folder


def open_store(folder: Path, wanted: CropSettings, name: str = "got10k", split: str = "full", **changes) -> CropStore:
    """The store of ``make_store``, for training that wants these crops."""
    options = {"dataset": name, "split": split, "remedy": "MAKE IT", "decoder": "auto", **changes}
    return open_crops(folder / "crops" / split, open_index(folder, name, split), wanted, **options)


def open_index(folder: Path, name: str = "got10k", split: str = "full") -> SequenceIndex:
    """The sequences of the dataset in ``folder / "data"``."""
    return open_dataset(name, split, folder / "data", folder / "cache")


def natural(height: int, width: int, seed: int = 0) -> np.ndarray:
    """RGB noise whose amplitude falls with the frequency, as in photographs, under shapes with sharp sides; as soft as
    a lens, and for its colors a JPEG, leave it."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1
    brightness, hue = (
        np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) / frequency, (height, width)) for _ in range(2)
    )
    shapes = np.zeros((height, width), np.float32)
    for _ in range(40):
        center, axes = (int(rng.integers(width)), int(rng.integers(height))), rng.integers(4, height // 5, 2).tolist()
        cv2.ellipse(shapes, center, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.normal(0, 40)), -1)
    gray = cv2.GaussianBlur(120 + shapes + 25 * brightness / brightness.std(), (0, 0), 0.6)
    color = cv2.GaussianBlur(20 * hue / hue.std(), (0, 0), 2.0)[..., None] * np.array([1.0, 0.2, -0.9])
    return np.clip(gray[..., None] + color, 0, 255).astype(np.uint8)


def ramp(height: int, width: int, slope: tuple[float, float]) -> np.ndarray:
    """Gray, in three equal channels, that rises steadily by so many levels a column and a row."""
    y, x = np.mgrid[0:height, 0:width]
    gray = 128 + slope[0] * (x - width / 2) + slope[1] * (y - height / 2)
    return np.rint(np.stack([gray] * 3, axis=2)).astype(np.uint8)
