"""The record of a dataset: reader, splits, benchmarks and names of results. Each file of readers ends with one."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from lib.data.datasets.annotations import Listed, read_listed
from lib.data.files.source import Source
from lib.data.types import Sequence

# Endings of the files beside the boxes of a sequence, in this project, pytracking and OSTrack.
SIDE_FILES = (
    "_time", "_network_time", "_scores", "_all_boxes", "_all_scores", "_object_presence_scores", "_confidence",
)  # fmt: skip


class Entry(NamedTuple):
    """One sequence of a split: its name, and a function that reads it.

    Listing and reading are separate, so that a damaged sequence does not hide the others.
    """

    name: str
    read: Callable[[], Sequence]


class Benchmark(NamedTuple):
    """A split that trackers are tested on.

    * ``split``: of the dataset.
    * ``protocol``: how results are scored by default, a key of ``lib.evaluation.metrics.protocols.PROTOCOLS``.
    * ``server``: who scores results where the ground truth is not public, else empty.
    * ``test_set``: whether trackers are compared by its scores, so that no setting may be chosen by them.
    * ``dataset``: name of the dataset; ``lib.evaluation.benchmarks`` fills it in.
    """

    split: str
    protocol: str = "pytracking"
    server: str = ""
    test_set: bool = True
    dataset: str = ""


class Spelling(NamedTuple):
    """How other tools name the result files of a dataset's sequences.

    * ``prefix``: begins the names of some tools' files, not of others'.
    * ``separators``: whether tools write ``-``, ``.`` and ``_`` for one another.
    * ``aliases``: names that follow no rule, with ours.
    * ``shared``: a benchmark whose sequences have the same names without the prefix; a tool that tracked both wrote
      the files of both into one folder.
    """

    prefix: str = ""
    separators: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    shared: str = ""


class Dataset(NamedTuple):
    """A dataset; mappings have its splits as keys.

    * ``name``: of the dataset in ``paths.yaml``, ``data.train`` and on the command line.
    * ``reader``: lists the sequences of a split; a sequence is an ``Entry``, which has its own function, or a
      ``Listed``, which ``read_listed`` reads. A reader asks the disk only through its ``Source``, and raises
      ``ValueError`` in one line that names the file, folder or sequence.
    * ``splits``: names of the splits. With ``more_splits`` the reader knows others too, such as single chunks.
    * ``names``: the official names of the sequences, where the package has a list.
    * ``expected``: number of sequences, where it is published without the names.
    * ``attributes``: files of sequence attributes (``lib/data/datasets/attributes``).
    * ``benchmarks``: benchmarks by name.
    * ``spelling``: names of result files.
    * ``folders``: other names of the dataset in the paths of results; small letters and digits.
    * ``partial_folders``: whether a sequence may be a part of its folder, so that an image without a row is no fault.
    """

    name: str
    reader: Callable[[Source, str], Iterable[Entry | Listed]]
    splits: tuple[str, ...]
    names: Mapping[str, Callable[[], Iterable[str]]] = {}
    expected: Mapping[str, int] = {}
    attributes: Mapping[str, tuple[str, ...]] = {}
    benchmarks: Mapping[str, Benchmark] = {}
    spelling: Spelling = Spelling()
    folders: tuple[str, ...] = ()
    partial_folders: bool = False
    more_splits: bool = False

    def count(self, split: str) -> int | None:
        """The official number of sequences of a split, None if it is not known."""
        if split in self.names:
            return len(list(self.names[split]()))
        return self.expected.get(split)

    def entries(self, source: Source, split: str) -> Iterator[Entry]:
        """The sequences of a split in their order. Raises ``ValueError`` for an unknown split, for files that cannot be
        listed, and if there is no sequence."""
        if split not in self.splits and not self.more_splits:
            raise ValueError(f"{self.name} has no split {split!r}; its splits are: {', '.join(self.splits)}")
        one = None
        for one in self.reader(source, split):
            yield Entry(one.name, partial(read_listed, source, self.name, one)) if isinstance(one, Listed) else one
        if one is None:
            raise ValueError(
                f"{source.location()}: holds no sequence of {self.name} {split} in a layout that docs/data.md lists; "
                "correct its path, or unpack it again"
            )


def clashing_names(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names whose results share a file: ``car`` and ``car_time``, whose boxes would be the times of ``car``,
    and each further occurrence of a name."""
    counts = Counter(names)
    for name, count in counts.items():
        yield from [(name, name)] * (count - 1)
        for suffix in SIDE_FILES:
            if name.endswith(suffix) and name.removesuffix(suffix) in counts:
                yield name.removesuffix(suffix), name
