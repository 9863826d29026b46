"""Reads sequences of a dataset that a test wrote, without an index, and checks what holds for every one."""

from pathlib import Path

import numpy as np
import pytest

from lib.data.datasets.registry import find_dataset
from lib.data.stores.packed import open_source
from lib.data.types import Sequence


def read_dataset(name: str, split: str, root: Path, cache: Path | None = None) -> list[Sequence]:
    """The sequences of a split of the dataset whose files lie in ``root``; ``cache`` is that of its ``Source``."""
    return [entry.read() for entry in find_dataset(name).entries(open_source(root, cache), split)]


def names_of(dataset: str, split: str, root: Path) -> list[str]:
    """The names of a split's sequences, in order."""
    return [entry.name for entry in find_dataset(dataset).entries(open_source(root), split)]


def read_one(dataset: str, split: str, root: Path, name: str, cache: Path | None = None) -> Sequence:
    """The sequence of that name; its first and last image must be there, and all arrays have a row for each."""
    entries = find_dataset(dataset).entries(open_source(root, cache), split)
    [sequence] = [entry.read() for entry in entries if entry.name == name]
    assert (sequence.name, sequence.dataset, sequence.image_set) == (name, dataset, False)
    assert sequence.frames[0].is_file() and sequence.frames[-1].is_file()
    assert sequence.boxes.dtype == np.float64 and sequence.boxes.shape == (len(sequence), 4)
    assert sequence.visible.dtype == bool and sequence.visible.shape == (len(sequence),)
    assert sequence.absent is None or sequence.absent.dtype == bool and sequence.absent.shape == (len(sequence),)
    return sequence


def refused(dataset: str, split: str, root: Path, message: str, name: str | None = None) -> None:
    """Listing the split, or reading the sequence of that name in it, must say ``message`` (a pattern) in one line."""
    with pytest.raises(ValueError, match=message) as caught:
        entries = list(find_dataset(dataset).entries(open_source(root), split))
        for entry in entries:
            if name in (None, entry.name):
                entry.read()
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)
