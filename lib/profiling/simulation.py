"""TrackingNet and COCO as large as they are, or smaller: their layouts and annotations around one small picture.

For measuring what only size shows: how long an index takes to make and to open, and how much memory workers take.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

# Videos of TrackingNet's training set; pictures and objects of COCO 2017's, without crowds.
TRACKINGNET_VIDEOS = 30132
COCO_IMAGES, COCO_OBJECTS = 118287, 860001

WIDTH, HEIGHT = 128, 96
_CHUNKS = 12
_ROWS = 10000
# As many numbers as an outline of COCO has on average, so that the file has about the true size (470 MB).
_OUTLINE = str([[20 + number / 4 for number in range(56)]])


def write_simulated_trackingnet(
    root: Path, videos: int = TRACKINGNET_VIDEOS, frames: int = 480, seed: int = 0, jpegs: bool = True
) -> None:
    """Chunks ``TRAIN_0`` to ``TRAIN_11`` with ``videos`` in all, each a piece of one long random walk.

    With ``jpegs`` the frames of every video lead to the same ones, ``frames`` links to one picture; without, there are
    annotations only.
    """
    rng = np.random.default_rng(seed)
    rows = [f"{x:.2f},{y:.2f},{w:.2f},{h:.2f}\n" for x, y, w, h in _walk(rng, _ROWS + frames).tolist()]
    for chunk in range(_CHUNKS):
        (root / f"TRAIN_{chunk}" / "anno").mkdir(parents=True)
        (root / f"TRAIN_{chunk}" / "frames").mkdir()
    if jpegs:
        _write_picture(root / "picture.jpg", rng)
        (root / "pictures").mkdir()
        for frame in range(frames):
            (root / "pictures" / f"{frame}.jpg").symlink_to("../picture.jpg")
    for video, first in enumerate(rng.integers(0, _ROWS, videos).tolist()):
        chunk, name = root / f"TRAIN_{video % _CHUNKS}", f"simulated{video:06d}_0"
        (chunk / "anno" / f"{name}.txt").write_text("".join(rows[first : first + frames]))
        if jpegs:
            (chunk / "frames" / name).symlink_to("../../pictures")


def write_simulated_coco(
    root: Path, images: int = COCO_IMAGES, objects: int = COCO_OBJECTS, seed: int = 0, jpegs: bool = True
) -> None:
    """``annotations/instances_train2017.json`` and ``images/train2017``, where every file is a link to one picture, or,
    without ``jpegs``, nothing."""
    rng = np.random.default_rng(seed)
    folder = root / "images" / "train2017"
    folder.mkdir(parents=True)
    (root / "annotations").mkdir()
    named = (
        f'{{"id": {image}, "file_name": "{_picture(image)}", "width": {WIDTH}, "height": {HEIGHT}}}'
        for image in range(images)
    )
    drawn = zip(rng.integers(0, images, objects).tolist(), _walk(rng, objects).tolist(), strict=True)
    outlined = (
        f'{{"segmentation": {_OUTLINE}, "area": {box[2] * box[3] / 2}, "iscrowd": 0, "image_id": {image}, '
        f'"bbox": {box}, "category_id": {1 + number % 2}, "id": {number}}}'
        for number, (image, box) in enumerate(drawn)
    )
    with open(root / "annotations" / "instances_train2017.json", "w") as file:
        file.write('{"images": [')
        file.writelines(_with_commas(named))
        file.write('],\n"annotations": [')
        file.writelines(_with_commas(outlined))
        file.write('],\n"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "car"}]}\n')
    if jpegs:
        _write_picture(root / "picture.jpg", rng)
        for image in range(images):
            (folder / _picture(image)).symlink_to("../../picture.jpg")


def _picture(image: int) -> str:
    return f"{image:012d}.jpg"


def _with_commas(records: Iterator[str]) -> Iterator[str]:
    for number, record in enumerate(records):
        yield f",\n{record}" if number else record


def _walk(rng: np.random.Generator, count: int) -> np.ndarray:
    """float64 ``[count, 4]`` xywh: a box that wanders inside the picture, in hundredths of a pixel."""
    phases = np.cumsum(rng.uniform(0, 0.02, (count, 4)), axis=0) + rng.uniform(0, 6, 4)
    share = 0.5 + 0.5 * np.sin(phases)
    size = 16 + 24 * share[:, 2:]
    return np.round(np.concatenate([share[:, :2] * ((WIDTH, HEIGHT) - size), size], axis=1), 2)


def _write_picture(path: Path, rng: np.random.Generator) -> None:
    """A smooth random picture: a few kilobytes, as quick to decode as a picture can be."""
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
