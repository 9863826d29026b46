"""COCO: each annotated object that is no crowd is a sequence of one frame."""

import logging
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from lib.data.datasets.outlines import pack_outline
from lib.data.datasets.record import Dataset, Entry
from lib.data.files.source import Source
from lib.data.types import FrameFiles, Location, Sequence
from lib.geometry.overlaps import is_box
from lib.runtime.json_text import parse_json

logger = logging.getLogger(__name__)


def list_coco(source: Source, split: str) -> Iterator[Entry]:
    """The objects of ``annotations/instances_<split>.json`` with ``iscrowd`` 0, in its order, named by their ids.

    The images lie in ``images/<split>``, as in OSTrack, or in ``<split>``, where COCO's archives unpack; the disk is
    not asked for each. A box is visible if it has an area: OSTrack also computes whether it is larger than 50 px, but
    its sampler never uses that. For outlines see ``pack_outline``.
    """
    key = f"annotations/instances_{split}.json"
    file = source.location(key)
    content = _parse(source.text(key), file)
    folder = next(filter(source.is_folder, (f"images/{split}", split)), None)
    if folder is None:
        raise ValueError(f"{source.location()}: holds neither images/{split}/ nor {split}/; unpack the images there")
    location = source.location(folder)
    logger.info("coco: the images of %s lie in %s", split, location)
    images = {str(item.get("id")): item.get("file_name") for item in content["images"]}
    classes = {str(item.get("id")): {"class": str(item.get("name", ""))} for item in content["categories"]}
    for number, annotation in enumerate(content["annotations"], start=1):
        if not isinstance(annotation.get("id"), (int, str)):
            raise ValueError(f"{file}: annotation number {number} has no id; get the file again")
        if not annotation.get("iscrowd"):
            image = images.get(str(annotation.get("image_id")))
            meta = classes.get(str(annotation.get("category_id")), {})
            yield Entry(str(annotation["id"]), partial(_read_object, file, annotation, location, image, meta))


def _parse(text: str, file: Location) -> dict[str, list[dict[str, Any]]]:
    """The parts of the file that are used, each a list of mappings; categories may be missing."""
    try:
        # Outlines are nine tenths of the file. Packed while it is parsed, their numbers never are objects in memory.
        content = parse_json(text, object_hook=_pack)
    except ValueError as error:
        raise ValueError(f"{file}: is no JSON ({error}); get the file again") from error
    parts = {"categories": [], **content} if isinstance(content, dict) else {}
    for name in ("images", "annotations", "categories"):
        part = parts.get(name)
        if not isinstance(part, list) or not all(isinstance(item, dict) for item in part):
            raise ValueError(f"{file}: has no list {name!r} of mappings, so it is not COCO's; get the file again")
    return parts


def _pack(item: dict[str, Any]) -> dict[str, Any]:
    if "segmentation" in item:
        item["segmentation"] = None if item.get("iscrowd") else pack_outline(item["segmentation"])
    return item


def _is_number(value: Any) -> bool:
    """Whether a float can hold it; JSON's integers have no bound."""
    return type(value) in (int, float) and not abs(value) > sys.float_info.max


def _read_object(
    file: Location, annotation: Mapping[str, Any], folder: Location, image: Any, meta: Mapping[str, str]
) -> Sequence:
    name, bbox = str(annotation["id"]), annotation.get("bbox")
    if not isinstance(image, str):
        number = annotation.get("image_id")
        raise ValueError(f"{file}: annotation {name} is of image {number!r}, which is not listed; get the file again")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise ValueError(f"{file}: annotation {name} has bbox {bbox!r}, not 4 numbers; get the file again")
    boxes, outline = np.array([bbox], dtype=np.float64), annotation.get("segmentation")
    frames = FrameFiles(folder, [image])
    return Sequence(name, "coco", frames, boxes, is_box(boxes), image_set=True, meta=meta, outline=outline)


DATASET = Dataset(
    "coco",
    list_coco,
    splits=("train2017", "val2017", "train2014", "val2014"),
    # Objects that are no crowd (cocodataset/cocoapi issue 117); numbers for 2014 are not published.
    expected={"train2017": 849949, "val2017": 36335},
    partial_folders=True,
)
