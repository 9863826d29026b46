"""GOT-10k: ``train``, ``val`` and ``test`` folders of sequences, and the published parts of the train folder."""

from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import Listed, package_names, read_names
from lib.data.datasets.record import Benchmark, Dataset
from lib.data.files.source import Source

FOLDERS = {"official_val": "val", "test": "test"}
# 0-based rows of train/list.txt, as OSTrack and pytracking publish them. Beware: GRM has a file called
# got10k_train_split.txt too, but with all 9335 rows, which is "full" here.
ROWS = ("vot_train", "vot_val", "train", "val")


def list_got10k(source: Source, split: str) -> Iterator[Listed]:
    """The sequences of a split, in the order of its list.

    Of the train folder: ``full`` is all of it, ``train`` and ``val`` divide it, ``vot_train`` and ``vot_val`` divide it
    without the sequences near VOT's. ``official_val`` and ``test`` are the folders val and test; in ``test`` only the
    first frame is annotated. A frame is visible if absence.label is 0, cover.label is not and the box has an area.
    """
    folder = FOLDERS.get(split, "train")
    names = read_names(source, f"{folder}/list.txt")
    if split in ROWS:
        rows = [int(row) for row in package_names(f"got10k_{split}_split.txt")]
        if max(rows) >= len(names):
            raise ValueError(
                f"{source.location('train/list.txt')}: names {len(names)} sequences, but split {split!r} needs "
                f"{max(rows) + 1}; use split 'full', which takes what is there, or get the whole of GOT-10k"
            )
        names = [names[row] for row in rows]
    for name in names:
        key = f"{folder}/{name}"
        listed = Listed(name, key, f"{key}/groundtruth.txt", one_box=split == "test")
        if split != "test":
            listed = listed._replace(flags=(f"{key}/absence.label",), cover=f"{key}/cover.label")
        # The got10k protocol needs the resolution; reading 9335 files more would take a second.
        yield listed._replace(properties=f"{key}/meta_info.ini") if split == "official_val" else listed


def _official(part: str) -> list[str]:
    return [f"GOT-10k_{part}_{number:06d}" for number in range(1, 181)]


DATASET = Dataset(
    "got10k",
    list_got10k,
    splits=("full", *ROWS, *FOLDERS),
    expected={"full": 9335, "vot_train": 7086, "vot_val": 1249, "train": 7934, "val": 1401},
    names={"official_val": partial(_official, "Val"), "test": partial(_official, "Test")},
    benchmarks={
        "got10k_val": Benchmark("official_val", "got10k", test_set=False),
        "got10k_test": Benchmark("test", "got10k", server="the GOT-10k server (got-10k.aitestunion.com)"),
    },
)
