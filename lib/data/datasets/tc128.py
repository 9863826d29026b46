"""Temple-Color 128: 129 sequences, as released or with the folders named by pytracking (``tpl_Board``)."""

import logging
from collections.abc import Iterator
from functools import partial

import numpy as np

from lib.data.datasets.annotations import Listed, package_table, read_listed, read_numbers, table_names
from lib.data.datasets.record import Benchmark, Dataset, Entry, Spelling
from lib.data.files.source import Source
from lib.data.types import Sequence

PREFIX = "tpl_"

logger = logging.getLogger(__name__)


def list_tc128(source: Source, split: str) -> Iterator[Entry]:
    """The sequences in pytracking's order and with its names (``tpl_Board``); ``ce`` are the 78 that only this dataset
    has, named ``..._ce``.

    ``<folder>/<name>_frames.txt`` has the numbers of a sequence's images (``first,last``); where it is missing, the
    table has them. Folders have the prefix ``tpl_`` or not, which is logged. Raises ``ValueError`` naming the file.
    """
    prefixed = any(name.startswith(PREFIX) for name in source.names())
    logger.info("%s: TC128 %s", source.location(), f"with folders named {PREFIX}..." if prefixed else "as released")
    for listed in package_table("tc128.json"):
        if split == "tc128" or _is_color_extension(listed.name):
            yield Entry(listed.name, partial(_read_sequence, source, listed, prefixed))


def _read_sequence(source: Source, listed: Listed, prefixed: bool) -> Sequence:
    # The released folder is spelled like the file: Yo-yos_ce3, where the table has the name Yo_yos_ce3.
    folder, _, file = listed.boxes.rpartition("/")
    name = file.removesuffix("_gt.txt")
    folder = folder if prefixed else name
    first, last = _frame_range(source, f"{folder}/{name}_frames.txt", listed)
    listed = listed._replace(folder=f"{folder}/img", boxes=f"{folder}/{file}", first=first, last=last)
    return read_listed(source, "tc128", listed)


def _frame_range(source: Source, key: str, listed: Listed) -> tuple[int, int]:
    """Numbers of the first and the last image."""
    if not source.exists(key):
        return listed.first, listed.last
    numbers = read_numbers(source, key, 1, 2)[0]
    if not np.array_equal(numbers, numbers.round()) or not 0 <= numbers[0] <= numbers[1]:
        raise ValueError(
            f"{source.location(key)}: {source.text(key).strip()!r} is not the numbers of the first and the last image; "
            "unpack the sequence again"
        )
    return int(numbers[0]), int(numbers[1])


def _is_color_extension(name: str) -> bool:
    return "_ce" in name


def _names_ce() -> list[str]:
    return [name for name in table_names("tc128.json") if _is_color_extension(name)]


DATASET = Dataset(
    "tc128",
    list_tc128,
    splits=("tc128", "ce"),
    names={"tc128": partial(table_names, "tc128.json"), "ce": _names_ce},
    benchmarks={"tc128": Benchmark("tc128"), "tc128ce": Benchmark("ce")},
    spelling=Spelling(PREFIX, separators=True, shared="otb"),
    folders=("tcolor128",),
    partial_folders=True,
)
