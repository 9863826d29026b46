"""GOT-10k: ``train``, ``val`` and ``test`` folders of sequences, and the published parts of the train folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lib.data.datasets.annotations import list_frames, read_names, read_numbers
from lib.data.types import Sequence

FOLDERS = {"official_val": "val", "test": "test"}
# 0-based rows of train/list.txt, as OSTrack and pytracking publish them. Beware: GRM has a file called
# got10k_train_split.txt too, but with all 9335 rows, which is "full" here.
ROWS = ("vot_train", "vot_val", "train", "val")
SPLITS = ("full", *ROWS, *FOLDERS)


def read_got10k(root: Path, split: str) -> list[Sequence]:
    """The sequences of a split, in the order of its list.

    Of the train folder: ``full`` is all of it, ``train`` and ``val`` divide it, ``vot_train`` and ``vot_val`` divide it
    without the sequences near VOT's. ``official_val`` and ``test`` are the folders val and test; in ``test`` only the
    first frame is annotated. A frame is visible if absence.label is 0, cover.label is not and the box has a size.
    Raises ``ValueError`` naming the sequence or file.
    """
    if split not in SPLITS:
        raise ValueError(f"got10k has no split {split!r}; its splits are: {', '.join(SPLITS)}")
    folder = Path(root) / FOLDERS.get(split, "train")
    names = read_names(folder / "list.txt")
    if not names:
        raise ValueError(f"{folder / 'list.txt'}: names no sequence; unpack the dataset again")
    if split in ROWS:
        names = _rows(names, split, folder)
    return [_read_sequence(folder / name, first_box_only=split == "test") for name in names]


def _rows(names: list[str], split: str, folder: Path) -> list[str]:
    """The names in the rows that a split consists of."""
    rows = [int(row) for row in read_names(Path(__file__).parent / "lists" / f"got10k_{split}_split.txt")]
    if max(rows) >= len(names):
        raise ValueError(
            f"{folder / 'list.txt'}: names {len(names)} sequences, but split {split!r} needs {max(rows) + 1}; "
            "use split 'full', which takes what is there, or get the whole of GOT-10k"
        )
    return [names[row] for row in rows]


def _read_sequence(folder: Path, first_box_only: bool) -> Sequence:
    frames = list_frames(folder, ".jpg")
    boxes = read_numbers(folder / "groundtruth.txt", 1 if first_box_only else len(frames), 4)
    visible = np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    cover = None
    if not first_box_only:
        absence = read_numbers(folder / "absence.label", len(frames), 1)[:, 0]
        cover = read_numbers(folder / "cover.label", len(frames), 1)[:, 0].astype(np.int64)
        visible &= (absence == 0) & (cover > 0)
    return Sequence(folder.name, "got10k", frames, boxes, visible, cover=cover)
