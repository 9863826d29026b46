"""What a reader answers: the sequences of a split by name, each still to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from lib.data.stores.source import Source
from lib.data.types import Sequence


class Entry(NamedTuple):
    """One sequence of a split: its name, and a function that reads its annotations (``ValueError`` in one line).

    Listing and reading are apart so that a check can go on after a sequence that is damaged.
    """

    name: str
    read: Callable[[], Sequence]


class Dataset(NamedTuple):
    """A dataset: ``entries(source, split)`` lists a split; ``splits`` are the names it knows, for messages (a reader
    may know more, such as a single chunk), ``expected`` how many sequences the official split has, where that is known.
    """

    entries: Callable[[Source, str], Iterator[Entry]]
    splits: tuple[str, ...]
    expected: dict[str, int] = {}


def check_split(dataset: str, split: str, splits: tuple[str, ...]) -> None:
    """``ValueError`` for a split that the dataset does not have."""
    if split not in splits:
        raise ValueError(f"{dataset} has no split {split!r}; its splits are: {', '.join(splits)}")
