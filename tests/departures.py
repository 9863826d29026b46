"""Sequences whose target departs: a panel covers it for a while, and then it is elsewhere. To measure recovery:
python tests/departures.py --data GOT10K --out FOLDER
and then tracking/test.py --dataset got10k_val with data.got10k set to FOLDER (docs/confidence.md)."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from lib.data.decoding.images import read_image
from lib.data.types import Sequence
from lib.evaluation.benchmarks import read_benchmark
from lib.geometry.overlaps import is_box

COVERED = 1.4  # sides of the panel, in sides of the target
PERIOD = 60  # frames from one departure to the next
LENGTH = 15  # frames of a departure


def depart(sequence: Sequence, period: int = PERIOD, length: int = LENGTH) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images uint8 RGB and boxes float64 ``[4]`` xywh of a copy of the sequence in which the target departs.

    In the last ``length`` of each ``period`` frames a panel in the image's mean color covers the target. After it the
    image is rolled, so that the target is about half an image away, half its size or more from the border. Boxes are
    NaN where it is covered, absent or cut by the roll's seam.
    """
    shift = np.zeros(2, dtype=int)
    hidden_before = False
    for number, (frame, box) in enumerate(zip(sequence.frames, sequence.boxes, strict=True)):
        image, known = read_image(frame), bool(is_box(box[None])[0])
        size = np.array(image.shape[1::-1])
        hidden = number % period >= period - length
        if hidden and known:
            low, high = (np.round(box[:2] + box[2:] * (0.5 + sign * COVERED / 2)).astype(int) for sign in (-1, 1))
            image[max(low[1], 0) : max(high[1], 0), max(low[0], 0) : max(high[0], 0)] = image.mean(axis=(0, 1))
        if hidden_before and not hidden and known:
            corner = (box[:2] + shift + size / 2) % size
            least = np.minimum(box[2:] / 2, (size - box[2:]) / 2)
            shift = np.round(np.clip(corner, least, size - box[2:] - least) - box[:2]).astype(int) % size
        hidden_before = hidden or (hidden_before and not known)
        image = np.roll(image, shift[::-1], axis=(0, 1))
        corner = (box[:2] + shift) % size
        whole = known and not hidden and bool((corner + box[2:] <= size).all())
        yield image, np.concatenate([corner, box[2:]]) if whole else np.full(4, np.nan)


def write_departures(root: Path, out: Path, cache: Path) -> None:
    """Write the validation set of GOT-10k's layout in ``root`` with departures, in the same layout."""
    sequences = list(read_benchmark("got10k_val", root, cache).sequences)
    for sequence in sequences:
        folder = out / "val" / sequence.name
        folder.mkdir(parents=True)
        boxes = []
        for number, (image, box) in enumerate(depart(sequence), start=1):
            cv2.imwrite(str(folder / f"{number:08d}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            boxes.append(box)
        there = ~np.isnan(boxes).any(axis=1)
        np.savetxt(folder / "groundtruth.txt", np.nan_to_num(boxes), fmt="%.4f", delimiter=",")
        np.savetxt(folder / "cover.label", 8 * there, fmt="%d")
        np.savetxt(folder / "absence.label", ~there, fmt="%d")
        (folder / "meta_info.ini").write_text(f"[METAINFO]\nresolution: {image.shape[1], image.shape[0]}\n")
    (out / "val" / "list.txt").write_text("".join(f"{sequence.name}\n" for sequence in sequences))


def main() -> int:
    """0 when the set is written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="root of GOT-10k, or of a set in its layout")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        write_departures(arguments.data, arguments.out, Path(cache))
    return 0


if __name__ == "__main__":
    sys.exit(main())
