"""Temple-Color 128: 129 sequences, as released or with the folders named by pytracking (``tpl_Board``)."""

import logging
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import UNPACK, Listed, package_names, package_table, read_listed, read_numbers
from lib.data.datasets.record import Benchmark, Dataset, Entry, Spelling
from lib.data.files.source import Source
from lib.data.types import Sequence

PREFIX = "tpl_"

logger = logging.getLogger(__name__)


def list_tc128(source: Source, split: str) -> Iterator[Entry]:
    """The sequences in pytracking's order and with its names (``tpl_Board``); ``ce`` are the 78 that only this dataset
    has, named ``..._ce``.

    ``<folder>/<name>_frames.txt`` has the numbers of a sequence's images (``first,last``); where it is missing, the
    table has them. Folders have the prefix ``tpl_`` or not, which is logged.
    """
    prefixed = any(name.startswith(PREFIX) for name in source.names())
    logger.info("%s: TC128 %s", source.location(), f"with folders named {PREFIX}..." if prefixed else "as released")
    for listed in package_table("tc128.json"):
        if split == "tc128" or "_ce" in listed.name:
            yield Entry(listed.name, partial(_read_sequence, source, listed, prefixed))


def _read_sequence(source: Source, listed: Listed, prefixed: bool) -> Sequence:
    # The released folder is spelled like the file: Yo-yos_ce3, where the table has the name Yo_yos_ce3.
    folder, _, file = listed.boxes.rpartition("/")
    name = file.removesuffix("_gt.txt")
    folder = folder if prefixed else name
    listed = listed._replace(folder=f"{folder}/img", boxes=f"{folder}/{file}")
    key = f"{folder}/{name}_frames.txt"
    if source.exists(key):
        first, last = read_numbers(source, key, 1, 2)[0].tolist()
        if not (first.is_integer() and last.is_integer() and 0 <= first <= last):
            raise ValueError(f"{source.location(key)}: is not the numbers of the first and the last image; {UNPACK}")
        listed = listed._replace(first=int(first), last=int(last))
    return read_listed(source, "tc128", listed)


DATASET = Dataset(
    "tc128",
    list_tc128,
    splits=("tc128", "ce"),
    names={
        "tc128": partial(package_names, "tc128.json"),
        "ce": lambda: [name for name in package_names("tc128.json") if "_ce" in name],
    },
    benchmarks={"tc128": Benchmark("tc128"), "tc128ce": Benchmark("ce")},
    spelling=Spelling(PREFIX, separators=True, shared="otb"),
    folders=("tcolor128",),
    partial_folders=True,
)
