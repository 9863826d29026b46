"""The datasets by name: which reader turns a folder into sequences."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from lib.data.datasets.entry import Dataset
from lib.data.datasets.got10k import SPLITS as GOT10K_SPLITS
from lib.data.datasets.got10k import list_got10k
from lib.data.source import open_source
from lib.data.types import Sequence

DATASETS: dict[str, Dataset] = {
    "got10k": Dataset(
        list_got10k,
        GOT10K_SPLITS,
        {
            "full": 9335,
            "vot_train": 7086,
            "vot_val": 1249,
            "train": 7934,
            "val": 1401,
            "official_val": 180,
            "test": 180,
        },
    ),
}

# Known, so that published experiments can name them; their readers come later.
PLANNED = (
    "avist", "coco", "imagenet_vid", "itb", "lasot", "lasot_extension_subset", "nfs", "otb", "tnl2k", "trackingnet",
    "uav",
)  # fmt: skip


def check_dataset(name: str) -> None:
    """Raises ``ValueError`` for a name that is neither in ``DATASETS`` nor ``PLANNED``, with the nearest one."""
    known = (*DATASETS, *PLANNED)
    if name not in known:
        near = get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
        raise ValueError(f"unknown dataset {name!r}; {hint}")


def find_dataset(name: str) -> Dataset:
    """The dataset of that name; ``ValueError`` for an unknown name, and for one whose reader comes later."""
    check_dataset(name)
    if name not in DATASETS:
        raise ValueError(f"the reader of dataset {name!r} is not there yet; ready are: {', '.join(DATASETS)}")
    return DATASETS[name]


def read_dataset(name: str, split: str, root: Path) -> list[Sequence]:
    """The sequences of a split of the dataset whose files lie in ``root``, read from its texts, without an index.

    ``ValueError`` for what cannot be read. Programs go through ``lib.data.index.open_dataset``.
    """
    return [entry.read() for entry in find_dataset(name).entries(open_source(root), split)]
