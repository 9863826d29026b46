"""A small comparison of three trackers on images of its own, with names that try to break out of a page."""

from pathlib import Path

import cv2
import numpy as np

from lib.data.types import Sequence
from lib.evaluation.metrics.scoring import ScoredRun, score_set
from lib.evaluation.reports.comparison import ComparedTracker, Comparison
from lib.evaluation.results.result_set import MissingResultError
from tests.evaluation.toy_sets import Boxes, ToyResults

FRAMES, WIDTH, HEIGHT = 12, 96, 64
EVIL = "</script><img src=x onerror=\"document.title='broken'\"><!--"
PROTOCOLS = ("pytracking", "got10k", "trackingnet")
MANIFEST = {"overrides": {"model.division.threshold": 0.4}, "checkpoint_sha256": "ab" * 32, "settings": {"name": EVIL}}


def make_sequence(folder: Path, name: str, x: float) -> Sequence:
    """A square of 20 x 16 px that moves right by 2 px a frame, on images in ``folder``."""
    boxes = np.array([[x + 2 * i, 20, 20, 16] for i in range(FRAMES)], dtype=np.float64)
    frames = tuple(folder / f"{x}_{i + 1:04d}.png" for i in range(FRAMES))
    for file, box in zip(frames, boxes.astype(int), strict=True):
        image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        image[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = 210
        cv2.imwrite(str(file), image)
    return Sequence(name, "toy", frames, boxes, np.ones(FRAMES, bool), cover=np.full(FRAMES, 8))


def drifting(speed: float, lost: dict[str, int] | None = None) -> Boxes:
    """Boxes that fall behind by ``speed`` px a frame, more on later sequences; from frame ``lost[name]`` on (from 0)
    they are far away."""

    def boxes(sequence: Sequence) -> np.ndarray:
        found = sequence.boxes.copy()
        found[:, 0] -= speed * (1 + found[0, 0] / 10) * np.arange(len(found))
        if sequence.name in (lost or {}):
            found[lost[sequence.name] :, :2] += 300
        return found

    return boxes


def incomplete(sequence: Sequence) -> np.ndarray:
    """The first box repeated, with no result of ``second`` and one row too few of ``third``."""
    if sequence.name == "second":
        raise MissingResultError("raw/second.txt: there is no such file; track the sequence")
    rows = len(sequence.boxes) - (sequence.name == "third")
    return np.repeat(sequence.boxes[:1], rows, axis=0)


def toy_comparison(folder: Path, protocols: tuple[str, ...] = PROTOCOLS, benchmark: str = "got10k_val") -> Comparison:
    """Six sequences; ``ours`` of two runs, one of an evil name that loses a sequence in frame 5 (from 0), ``first box``
    that lacks results. Folders are made."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("first", "second", "third", EVIL, "item 2", "item 10")
    sequences = tuple(make_sequence(folder, name, 4.0 * number) for number, name in enumerate(names))

    def run(label: str, boxes: Boxes, manifest: dict | None = None) -> ScoredRun:
        results = ToyResults(label, boxes, manifest, seconds=0.02 if manifest else None)
        return score_set(results, benchmark, sequences, protocols)

    intervals = {protocol: {"AUC": (0.25, 0.75), "AO": (0.125, 0.5)} for protocol in protocols}
    seeds = (run("seed_0", drifting(0.4), MANIFEST), run("seed_1", drifting(0.5), MANIFEST))
    entries = (
        ComparedTracker("first box", (run("first_box", incomplete),)),
        ComparedTracker("ours", seeds, intervals),
        ComparedTracker(EVIL, (run("evil", drifting(0.1, {"third": 5})),)),
    )
    attributes = {"FM": frozenset({"first", EVIL, "item 2"}), "OCC": frozenset({"second", "third"})}
    words = {"FM": "Fast Motion", "OCC": EVIL}
    return Comparison(benchmark, protocols, sequences, entries, attributes, words, (f"swept on a test set {EVIL}",))
