"""ImageNet-VID: each object that is followed through a training video is a sequence."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, NoReturn
from xml.etree import ElementTree

import numpy as np

from lib.data.datasets.annotations import list_folders, numbered_frames
from lib.data.datasets.record import Dataset, Entry
from lib.data.files.source import Source
from lib.data.files.texts import parse_number
from lib.data.types import Sequence
from lib.geometry.overlaps import is_box

logger = logging.getLogger(__name__)

_ANNOTATIONS = "Annotations/VID/train"
_IMAGES = "Data/VID/train"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Object(NamedTuple):
    """An object in a frame; ``box`` xywh."""

    box: tuple[float, float, float, float]
    occluded: bool
    object_class: str


def list_imagenet_vid(source: Source, split: str) -> Iterator[Entry]:
    """A sequence for each track of each training video, named ``<set>.<video>.<track>``, sorted by set and video.

    Its frames are all from the first to the last that shows the object; a frame between them without the object has a
    row of NaN. (OSTrack and pytracking end a track at its first such frame.) A frame is visible if its object is not
    marked as occluded and has an area. ``w = xmax - xmin`` as in OSTrack and pytracking
    (lib/train/dataset/imagenetvid.py); got10k's toolkit adds 1.

    A video is parsed once, when its tracks are listed.
    """
    folders = (_ANNOTATIONS, f"ILSVRC2015/{_ANNOTATIONS}", f"ILSVRC/{_ANNOTATIONS}")
    annotations = next(filter(source.is_folder, folders), None)
    if annotations is None:
        return
    images = annotations.removesuffix(_ANNOTATIONS) + _IMAGES
    logger.info("imagenet_vid: the annotations lie in %s", source.location(annotations))
    sets = list_folders(source, annotations)
    # Copies prepared for SiamFC have links a, b, c, d beside the official names, or alone: the links count only where
    # there is nothing else.
    official = [name for name in sets if re.fullmatch(r"ILSVRC\d+_VID_train_\d+", name)]
    if not official:
        logger.info("imagenet_vid: no ILSVRC*_VID_train_* there, so its folders are %s", ", ".join(sets))
    for folder in official or sets:
        for video in source.names(f"{annotations}/{folder}"):
            yield from _list_video(source, f"{annotations}/{folder}/{video}", f"{images}/{folder}/{video}")


def _list_video(source: Source, key: str, images: str) -> Iterator[Entry]:
    name = ".".join(key.split("/")[-2:])
    try:
        tracks = _read_tracks(source, key)
    except ValueError as error:  # its tracks are unknown, but it must not hide the other videos
        yield Entry(name, partial(_refuse, str(error)))
        return
    for track, objects in tracks.items():
        numbers, items = list(objects), list(objects.values())
        first, count = numbers[0], numbers[-1] - numbers[0] + 1
        boxes, visible = np.full((count, 4), np.nan), np.zeros(count, dtype=bool)
        rows = np.array(numbers) - first
        boxes[rows] = [item.box for item in items]
        visible[rows] = [not item.occluded for item in items]
        frames = numbered_frames(source, images, "%06d.JPEG", first, count)
        sequence = partial(Sequence, f"{name}.{track}", "imagenet_vid", frames, boxes, visible & is_box(boxes))
        yield Entry(f"{name}.{track}", partial(sequence, meta={"class": items[0].object_class}))


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


def _read_tracks(source: Source, key: str) -> dict[str, dict[int, _Object]]:
    """The objects of a video by track and frame; of two with one track in a frame the first counts, as in the published
    code."""
    numbers = sorted(int(name.removesuffix(".xml")) for name in source.names(key) if re.fullmatch(r"\d{6}\.xml", name))
    if not numbers:
        raise ValueError(f"{source.location(key)}: holds no annotations (<number>.xml); unpack the video again")
    tracks: dict[str, dict[int, _Object]] = defaultdict(dict)
    for number in numbers:
        for track, item in _read_frame(source, f"{key}/{number:06d}.xml"):
            tracks[track].setdefault(number, item)
    return tracks


def _read_frame(source: Source, key: str) -> Iterator[tuple[str, _Object]]:
    file = source.location(key)
    try:
        elements = ElementTree.fromstring(source.text(key)).findall("object")
    except ElementTree.ParseError as error:
        raise ValueError(f"{file}: is no XML ({error}); unpack the video again") from error
    for element in elements:
        track = _text(element, "trackid")
        try:
            left, top, right, bottom = (parse_number(_text(element, f"bndbox/{corner}")) for corner in _CORNERS)
        except ValueError:
            track = ""
        if not track:
            raise ValueError(f"{file}: an object has no trackid or no numbers in its bndbox; unpack the video again")
        box = (left, top, right - left, bottom - top)
        yield track, _Object(box, _text(element, "occluded") != "0", _text(element, "name"))


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


DATASET = Dataset("imagenet_vid", list_imagenet_vid, splits=("train",), partial_folders=True)
