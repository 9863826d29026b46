"""Writes a synthetic dataset in GOT-10k's layout; the folder gets its name when it is complete."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from lib.data.synthetic.scene import PATTERNS, render_scene
from lib.runtime.children import Processes
from lib.runtime.files import new_folder
from lib.runtime.json_text import parse_json
from lib.runtime.locks import lock_of, only_writer

STAMP = "synthetic.json"
_JPEG_QUALITY = 88
SPLITS = ("train", "val")


@dataclass(frozen=True)
class SyntheticSet:
    """Everything that determines a synthetic set: sequences and frames a sequence in each split, image size and seed.

    ``version`` counts changes of the drawing, so that a set of an earlier version is not taken for this one.
    """

    train: int = 480
    val: int = 32
    frames: int = 24
    val_frames: int = 60
    width: int = 256
    height: int = 192
    seed: int = 0
    version: int = 1

    def __post_init__(self) -> None:
        least = {"train": 1, "val": 1, "frames": 2, "val_frames": 2, "width": 32, "height": 32, "seed": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"synthetic set: {name} is {getattr(self, name)}; it must be {bound} or more")


def write_synthetic(root: Path, wanted: SyntheticSet, processes: int = 1) -> bool:
    """Write a set under ``root`` in GOT-10k's layout; False if the same set is there already.

    Each sequence is a function of (seed, split, index) alone. The splits share no pattern family
    (``PATTERNS`` in ``lib.data.synthetic.scene``). ``groundtruth.txt`` holds the boxes of ``RenderedFrame`` there,
    ``cover.label`` the visible share in eighths, rounded up, ``absence.label`` 1 where nothing is visible.

    Raises ``ValueError`` if ``root`` holds anything else, and while another process writes it.
    """
    root = Path(os.path.realpath(root))  # a link cannot be replaced by the folder beside it
    if _is_written(root, wanted) and not lock_of(root).exists():
        return False
    with only_writer(root):
        if _is_written(root, wanted):  # by now, by another process
            return False
        _write(root, wanted, processes)
    return True


def _is_written(root: Path, wanted: SyntheticSet) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    with suppress(FileNotFoundError, NotADirectoryError, ValueError):
        if parse_json((root / STAMP).read_text()) == asdict(wanted):
            return True
    raise ValueError(f"{root}: holds something other than the set asked for (see {STAMP}); name another folder")


def _write(root: Path, wanted: SyntheticSet, processes: int) -> None:
    entries = [(split, index) for split in SPLITS for index in range(getattr(wanted, split))]
    bar = partial(tqdm, total=len(entries), desc="synthetic sequences", disable=None)
    with new_folder(root) as folder:
        write = partial(_write_sequence, folder, wanted)
        if processes == 1:
            list(bar(map(write, entries)))
        else:  # drawing works on small arrays, which holds Python's lock: threads would not be faster
            with Processes(processes, partial(cv2.setNumThreads, 1)) as pool:
                list(bar(pool.map(write, entries)))
        for split in SPLITS:
            names = sorted(path.name for path in (folder / split).iterdir())
            (folder / split / "list.txt").write_text("".join(f"{name}\n" for name in names))
        (folder / STAMP).write_text(json.dumps(asdict(wanted), indent=1) + "\n")


def _write_sequence(root: Path, wanted: SyntheticSet, entry: tuple[str, int]) -> None:
    split, index = entry
    rng = np.random.default_rng((wanted.seed, SPLITS.index(split), index))
    frames = wanted.frames if split == "train" else wanted.val_frames
    folder = root / split / f"GOT-10k_{split.capitalize()}_{index + 1:06d}"
    scene = render_scene(rng, PATTERNS[split], frames, wanted.width, wanted.height)
    shown = ((frame.image, frame.box, int(np.ceil(8 * frame.visible))) for frame in scene)
    write_sequence(folder, shown, _JPEG_QUALITY)
    meta = _META.format(width=wanted.width, height=wanted.height, seed=wanted.seed)
    (folder / "meta_info.ini").write_text(meta)


def write_sequence(folder: Path, frames: Iterable[tuple[np.ndarray, np.ndarray, int]], quality: int) -> int:
    """Write a sequence in GOT-10k's layout: of each frame the image, uint8 RGB ``[H, W, 3]``, the box xywh, and the
    target's visible share in eighths. Returns the bytes of the JPEGs."""
    folder.mkdir(parents=True)
    size, boxes, covers = 0, [], []
    for number, (image, box, cover) in enumerate(frames, start=1):
        _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        size += (folder / f"{number:08d}.jpg").write_bytes(code.tobytes())
        boxes.append(box)
        covers.append(cover)
    np.savetxt(folder / "groundtruth.txt", np.stack(boxes), fmt="%.4f", delimiter=",")
    np.savetxt(folder / "cover.label", np.array(covers), fmt="%d")
    np.savetxt(folder / "absence.label", np.array(covers) == 0, fmt="%d")
    return size


_META = """[METAINFO]
url: synthetic/{seed}
begin: 00:00:00
end: 00:00:00
anno_fps: 10Hz
object_class: pattern
motion_class: drifting
major_class: synthetic
root_class: synthetic
motion_adverb: smoothly
resolution: ({width}, {height})
"""
