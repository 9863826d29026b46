"""Writes the layouts of published datasets in miniature, with real small JPEGs, for tests that read them.

The target of every sequence is a bright rectangle that moves; ``moving_boxes`` are its boxes.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

SIZE = (96, 72)
VID_SET = "ILSVRC2015_VID_train_0000"


def moving_boxes(count: int, first: int = 0) -> np.ndarray:
    """float64 ``[count, 4]`` xywh of the target in frames ``first``, ``first + 1``, ... of a 96 x 72 px image."""
    number = np.arange(first, first + count)
    fixed = np.full(count, 1.0)
    return np.stack([20 + 3 * (number % 11), 12 + 2 * (number % 9), 24 * fixed, 18 * fixed], axis=1)


def jpeg(number: int, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG of ``size`` (width, height) whose colours and target depend on ``number``."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 120, width), np.linspace(0, 120, height))
    image = np.stack([x, y, np.full_like(x, 17 * number % 120)], axis=2).astype(np.uint8)
    left, top, w, h = moving_boxes(1, number)[0].astype(int)
    image[top : top + h, left : left + w] = (240, 200, 40 + 13 * number % 200)
    return cv2.imencode(".jpg", image)[1].tobytes()


def write_frames(folder: Path, pattern: str, first: int, count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """``count`` images named ``pattern % first``, ``pattern % (first + 1)``, ...; the target's boxes."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / (pattern % (first + index))).write_bytes(jpeg(index, size))
    return moving_boxes(count)


def write_boxes(path: Path, boxes: np.ndarray, separator: str = ",") -> None:
    """One row a line, numbers as short as they can be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(separator.join(f"{value:g}" for value in row) + "\n" for row in boxes))


def write_got10k(root: Path, folder: str, lengths: Iterable[int], first_box_only: bool = False) -> Path:
    """The sequences of GOT-10k's folder train, val or test; names count from 1."""
    names = []
    for number, length in enumerate(lengths, start=1):
        names.append(f"GOT-10k_{folder.title()}_{number:06d}")
        sequence = root / folder / names[-1]
        boxes = write_frames(sequence, "%08d.jpg", 1, length)
        write_boxes(sequence / "groundtruth.txt", boxes[:1] if first_box_only else boxes)
        if not first_box_only:
            (sequence / "absence.label").write_text("0\n" * length)
            (sequence / "cover.label").write_text("8\n" * length)
    (root / folder / "list.txt").write_text("\n".join(names) + "\n")
    return root


def write_lasot(root: Path, lengths: Mapping[str, int], by_class: bool = True) -> Path:
    """LaSOT's (or its extension's) sequences by name, a folder a class as in the archive, or side by side."""
    for name, length in lengths.items():
        sequence = root / name.split("-")[0] / name if by_class else root / name
        write_boxes(sequence / "groundtruth.txt", write_frames(sequence / "img", "%08d.jpg", 1, length))
        for flags in ("full_occlusion.txt", "out_of_view.txt"):
            (sequence / flags).write_text(",".join("0" * length))
    return root


def write_trackingnet(root: Path, chunks: Mapping[str, Mapping[str, int]]) -> Path:
    """TrackingNet's chunks (``TRAIN_0``, ``TEST``), each with the lengths of its videos by name."""
    for chunk, lengths in chunks.items():
        for video, length in lengths.items():
            boxes = write_frames(root / chunk / "frames" / video, "%d.jpg", 0, length)
            write_boxes(root / chunk / "anno" / f"{video}.txt", boxes[:1] if chunk == "TEST" else boxes)
    return root


def write_coco(root: Path, images: int = 2, split: str = "train2017", folder: str = "images/") -> Path:
    """COCO with two objects in each image, the second a crowd in every third one; ids of annotations count from 101."""
    prefix = f"COCO_{split}_" if split.endswith("2014") else ""
    pictures, annotations = [], []
    for index in range(images):
        write_frames(root / folder / split, f"{prefix}%012d.jpg", index + 1, 1)
        pictures.append({"id": index + 1, "file_name": f"{prefix}{index + 1:012d}.jpg", "width": 96, "height": 72})
        for number, box in enumerate(([20, 12, 24, 18], [1.5, 2, 70.25, 60])):
            annotations.append({
                "id": 101 + 2 * index + number, "image_id": index + 1, "category_id": 1 + number, "bbox": box,
                "iscrowd": int(number == 1 and index % 3 == 2), "area": box[2] * box[3],
                "segmentation": [[box[0], box[1], box[0] + box[2], box[1], box[0], box[1] + box[3]]],
            })  # fmt: skip
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "fire hydrant"}]
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "images": pictures, "annotations": annotations, "categories": categories}
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def write_imagenet_vid(
    root: Path, length: int, tracks: Mapping[str, Mapping[str, Iterable[int]]], folder: str = VID_SET
) -> Path:
    """ImageNet-VID's training videos by name, each of ``length`` frames, with the frames that show each track.

    The boxes of a track are ``moving_boxes`` of the frame's number, none is occluded.
    """
    for video, shown in tracks.items():
        shown = {track: set(frames) for track, frames in shown.items()}
        write_frames(root / "Data" / "VID" / "train" / folder / video, "%06d.JPEG", 0, length)
        annotations = root / "Annotations" / "VID" / "train" / folder / video
        annotations.mkdir(parents=True)
        for number in range(length):
            left, top, width, height = moving_boxes(1, number)[0].astype(int)
            objects = "".join(
                f"<object><trackid>{track}</trackid><name>n02691156</name><bndbox>"
                f"<xmax>{left + width}</xmax><xmin>{left}</xmin><ymax>{top + height}</ymax><ymin>{top}</ymin>"
                "</bndbox><occluded>0</occluded><generated>0</generated></object>"
                for track, frames in shown.items()
                if number in frames
            )
            (annotations / f"{number:06d}.xml").write_text(
                f"<annotation><folder>{folder}/{video}</folder><filename>{number:06d}</filename>"
                f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></size>{objects}</annotation>\n"
            )
    return root
