"""Sequences as videos: a panel for each tracker, side by side, with its box and the annotated one."""

from collections import abc
from pathlib import Path

import numpy as np

from lib.data.decoding.images import read_image
from lib.data.decoding.video import VideoWriter
from lib.data.types import Sequence
from lib.evaluation.reports.comparison import Comparison
from lib.runtime.escapes import file_name, printable
from lib.visualization.boxes import PREDICTED_COLOR, TRUTH_COLOR, outline
from lib.visualization.sheet import Panel, resized, tile

FILMED = 2  # sequences of the worst and of the best
PANEL = 480  # pixels of a panel's width
FILM_COLUMNS = 3
FILM_RATE = 20.0  # frames a second
LABEL = 34  # characters of a label in a panel's title


def write_films(comparison: Comparison, folder: Path) -> None:
    """The worst and the best sequences as ``<benchmark>_worst_<n>_<sequence>.mp4`` and ``best``, the extreme one first.

    The rank is the mean over trackers of the first score by the first protocol; a sequence without a score of every
    tracker is left out. Raises ``ValueError`` for a damaged image or file of boxes.
    """
    for kind, chosen in comparison.extremes(comparison.entries, FILMED, FILMED).items():
        for number, (_, sequence) in enumerate(chosen, start=1):
            file = folder / f"{comparison.benchmark}_{kind}_{number}_{file_name(sequence.name)}.mp4"
            tracks = {entry.label: entry.runs[0].results.boxes(sequence) for entry in comparison.entries}
            write_film(file, sequence, tracks)


def write_film(file: Path, sequence: Sequence, tracks: abc.Mapping[str, np.ndarray]) -> None:
    """The sequence as an MP4 with a panel for each tracker; folders are made. ``tracks`` are the boxes by label,
    ``[M, 4]`` xywh in pixels: a tracker whose boxes end early has no box after that. Raises ``ImageError``."""
    columns = FILM_COLUMNS if len(tracks) > 4 else min(2, len(tracks))
    titles = [f"{_fitted(printable(label))}, ground truth green" for label in tracks]
    height = None  # of the first frame; a video has one size
    with VideoWriter(file, FILM_RATE) as writer:
        for number, frame in enumerate(sequence.frames):
            image = read_image(frame)
            small = resized(image, PANEL, height)
            height = len(small)
            shrink = np.array([PANEL / image.shape[1], height / image.shape[0]] * 2)
            panels = [Panel(title, small.copy()) for title in titles]
            for (_, panel), boxes in zip(panels, tracks.values(), strict=True):
                for rows, color in ((sequence.boxes, TRUTH_COLOR), (boxes, PREDICTED_COLOR)):
                    if number < len(rows):
                        outline(panel, rows[number] * shrink, color, 2)
            writer.write(tile(panels, columns))


def _fitted(label: str) -> str:
    return label if len(label) <= LABEL else f"{label[: LABEL // 2 - 2]}...{label[1 - LABEL // 2 :]}"
