"""The annotations of a dataset, read once and kept."""

from __future__ import annotations

from collections import abc
from pathlib import Path

from lib.data.datasets.registry import read_dataset
from lib.data.types import Sequence


def open_dataset(name: str, split: str, root: Path, cache: Path) -> abc.Sequence[Sequence]:
    """The sequences of a split of the dataset whose files lie in ``root``; ``ValueError`` for what cannot be read."""
    return read_dataset(name, split, root)
