"""VOT-style folders: the short-term sets of VOT2018, VOT2020 and VOT2022, or any with a ``list.txt``."""

import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from lib.data.datasets.annotations import (
    UNPACK,
    numbered_frames,
    package_names,
    read_labels,
    read_names,
    read_properties,
)
from lib.data.datasets.order import natural_order, order_frames
from lib.data.datasets.record import Benchmark, Dataset, Entry
from lib.data.datasets.regions import region_box
from lib.data.files.source import Source
from lib.data.files.texts import parse_lines, refuse_cut, text_lines
from lib.data.types import FrameFiles, Sequence
from lib.geometry.overlaps import is_box

CHANNELS = ("color", "depth", "ir")
VOT_PATTERN = "%08d.jpg"
# Flags with the meaning of LaSOT's. VOT's own "occlusion" also means partly hidden, so it makes no frame absent.
ABSENT = ("full_occlusion.tag", "full_occlusion.label", "out_of_view.tag", "out_of_view.label")

logger = logging.getLogger(__name__)


def list_vot(dataset: str, source: Source, split: str) -> Iterator[Entry]:
    """The sequences that ``list.txt`` names, in its order.

    A sequence with ``groundtruth_<id>.txt`` is one sequence for each of these objects, named ``<sequence>_<id>``.
    Frames before the first with a box are left out (an object that appears later; logged), and frames after the last
    row have no box. See ``lib.data.datasets.regions`` for the boxes of polygons and masks.

    Frames are absent by the flags full_occlusion and out_of_view (``.tag`` or ``.label``); short files are filled up
    with 0, as in VOT's toolkit.
    """
    for name in read_names(source, "list.txt"):
        files = source.names(name) if source.is_folder(name) else []
        objects = [file for file in files if re.fullmatch(r"groundtruth_.+\.txt", file)]
        for file in sorted(objects, key=natural_order):
            object_name = f"{name}_{file.removeprefix('groundtruth_').removesuffix('.txt')}"
            yield Entry(object_name, partial(_read_sequence, source, dataset, name, object_name, file))
        if not objects:
            yield Entry(name, partial(_read_sequence, source, dataset, name, name, None))


def _read_sequence(source: Source, dataset: str, key: str, name: str, boxes_file: str | None) -> Sequence:
    properties = read_properties(source, f"{key}/sequence", "=")  # VOT2018 has no such file
    frames = _list_images(source, key, properties)
    boxes = _read_boxes(source, f"{key}/{boxes_file or properties.get('groundtruth', 'groundtruth.txt')}", len(frames))
    known = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    if len(known) == 0:
        raise ValueError(f"{source.location(key)}: no frame of {name} has a box; {UNPACK}")
    first = int(known[0])
    if first:
        logger.info("%s: %s begins at frame %d, the first with a box", source.location(key), name, first)
        frames, boxes = frames[first:], boxes[first:]
    visible, absent = is_box(boxes), None
    if files := sorted(set(ABSENT) & set(source.names(key))):
        absent = np.zeros(len(frames), dtype=bool)
        for file in files:
            flags = read_labels(source, f"{key}/{file}", None)[first : first + len(frames)]
            absent[: len(flags)] |= flags == 1
        visible &= ~absent
    return Sequence(name, dataset, frames, boxes, visible, absent=absent)


def _list_images(source: Source, key: str, properties: dict[str, str]) -> FrameFiles:
    """The images of the first channel there is: ``length`` of them, or all from number 1 on."""
    channel = next((properties[f"channels.{c}"] for c in CHANNELS if f"channels.{c}" in properties), "")
    if not channel:
        channel = "color/" if source.is_folder(f"{key}/color") else ""
    path = PurePosixPath(channel.replace("\\", "/"))  # the toolkit writes the separator of the system it ran on
    folder, pattern = (path.parent, path.name) if path.suffix else (path, VOT_PATTERN)
    folder_key = str(PurePosixPath(key) / folder)
    if not re.fullmatch(r"[^%]*%(0\d+)?d[^%]*", pattern):
        raise ValueError(
            f"{source.location(key)}/sequence: {channel!r} is no pattern of images such as color/{VOT_PATTERN}"
        )
    length = properties.get("length", "")
    if length.isdecimal():
        count = int(length)
    else:
        there = ((name, map(int, re.findall(r"\d+", name))) for name in source.names(folder_key))
        names = [name for name, numbers in there if any(n > 0 and pattern % n == name for n in numbers)]
        if names:
            order_frames(names, source.location(folder_key), first=1)
        count = len(names)
    if count == 0:
        raise ValueError(f"{source.location(folder_key)}: no images ({pattern % 1} ...); {UNPACK}")
    return numbered_frames(source, folder_key, pattern, 1, count)


def _read_boxes(source: Source, key: str, count: int) -> np.ndarray:
    """float64 ``[count, 4]`` xywh; NaN where the place of the target is unknown, and after the last row."""
    text, file = source.text(key), source.location(key)
    lines = text_lines(text)
    if len(lines) > count:
        raise ValueError(f"{file}: {len(lines)} rows, but its sequence has {count} images; {UNPACK}")
    rows = parse_lines(text, region_box, "a box, polygon, mask or code", file, UNPACK)
    # A part of a mask is a mask, and rows that are missing are frames without a box.
    refuse_cut(text, file, UNPACK, ended=len(lines) < count or lines[-1].startswith("m"))
    boxes = np.full((count, 4), np.nan)
    boxes[: len(rows)] = np.reshape(rows, (-1, 4))
    return boxes


VOT_DATASETS = tuple(
    Dataset(
        name,
        partial(list_vot, name),
        splits=(year,),
        names={year: partial(package_names, f"{year}.txt")},
        benchmarks={name: Benchmark(year)},
        folders=(year,),
        partial_folders=True,
    )
    for name, year in (("vot18", "vot2018"), ("vot20", "vot2020"), ("vot22", "vot2022"))
)
