"""Parity: the largest differences between an exported network and the eager one on the same crops."""

import json
from collections import abc
from dataclasses import asdict, dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from lib.data.synthetic.scene import PATTERNS, Frame, render
from lib.export.record import ExportError, ExportPrecision, ParitySummary
from lib.geometry.crop import padding_value
from lib.inference.follow import TargetSpec, follow
from lib.inference.network import Found, Network
from lib.inference.settings import TrackSettings
from lib.inference.target import Target, begin, look
from lib.inference.tracker import TrackResult

PIXELS = 0.05  # the largest difference of a box in fp32
SAME_CELL, OVERLAP = 0.98, 0.97  # share of the sequence's crops, and median IoU there, in reduced precisions

FRAMES = 100
_WIDTH, _HEIGHT = 256, 192
# Scenes of textures in motion; in both the target stays wholly in view.
_SCENES = 3, 7
_PLACES = 4  # of each scene, at which crops are cut beside those of the tracked sequence


class ParityError(ExportError):
    """An exported network whose answers differ from the eager one's; the message names the crop and the difference."""


@dataclass(frozen=True)
class Row:
    """One crop and both answers: ``batch`` is the size of the exported batch it was in.

    ``pixels`` is the largest difference of the box's four numbers, ``overlap`` the IoU of both boxes, ``score`` the
    difference of the scores; ``cell`` and ``expected`` are the candidates that the exported and the eager form chose.
    """

    crop: str
    batch: int
    tracked: bool
    pixels: float
    overlap: float
    score: float
    cell: int
    expected: int


@dataclass(frozen=True)
class ParityReport:
    """What ``compare`` found; ``size`` is the side of the search crop, ``free`` the overlap of both forms' own tracks
    in each frame of the sequence."""

    name: str
    precision: ExportPrecision
    size: int
    rows: tuple[Row, ...]
    free: tuple[float, ...]

    def check(self) -> None:
        """Raise ``ParityError`` unless all is within bounds.

        fp32: every box within ``PIXELS``. Reduced precisions, on the crops of the tracked sequence: the same best cell
        on a share of ``SAME_CELL``, and there a median overlap of ``OVERLAP``.
        """
        for batch in self._batches():
            rows = [row for row in self.rows if row.batch == batch]
            if self.precision == "fp32":
                self._check_exact(rows)
            else:
                self._check_reduced([row for row in rows if row.tracked])

    def summary(self) -> ParitySummary:
        """The report in five numbers, each the worst of all batches."""
        alike = [row for row in self.rows if row.cell == row.expected]
        shares, medians = [], []
        for batch in self._batches():
            same, median = _agreement([row for row in self.rows if row.batch == batch and row.tracked])
            shares.append(same)
            medians.append(median)
        return ParitySummary(
            pixels=max((row.pixels for row in alike), default=float(self.size)),
            score=max(row.score for row in self.rows),
            same_cell=min(shares),
            median_overlap=min(medians),
            free_overlap=float(np.mean(self.free)),
        )

    def json(self) -> str:
        """All rows, as text."""
        return json.dumps({"summary": self.summary().model_dump(), **asdict(self)}, indent=1) + "\n"

    def text(self) -> str:
        """A table for a terminal."""
        lines = [f"parity of {self.name} with eager fp32, in pixels of a search crop of {self.size}"]
        lines.append(
            f"{'':24}{'crops':>6}{'same cell':>11}{'box median':>12}{'worst':>9}{'IoU median':>12}{'score':>9}"
        )
        for batch in self._batches():
            for tracked, kind in ((True, "tracked sequence"), (False, "other crops")):
                rows = [row for row in self.rows if row.batch == batch and row.tracked == tracked]
                alike = [row.pixels for row in rows if row.cell == row.expected] or [float(self.size)]
                same, median = _agreement(rows)
                lines.append(
                    f"{f'batch {batch}, {kind}':24}{len(rows):6}{same:11.1%}{np.median(alike):12.4f}"
                    f"{max(alike):9.4f}{median:12.4f}{max(row.score for row in rows):9.1e}"
                )
        lines.append(f"each tracking for itself: mean IoU {np.mean(self.free):.4f} over {len(self.free)} frames")
        return "\n".join(lines)

    def _batches(self) -> list[int]:
        return sorted({row.batch for row in self.rows})

    def _check_exact(self, rows: abc.Sequence[Row]) -> None:
        worst = max(rows, key=lambda row: row.pixels)
        if worst.pixels > PIXELS:
            raise ParityError(
                f"{self.name}: refused, its box differs from eager's by {worst.pixels:.3g} pixels on {_place(worst)} "
                f"(cell {worst.cell}, eager {worst.expected}); {PIXELS:g} are allowed"
            )

    def _check_reduced(self, rows: abc.Sequence[Row]) -> None:
        same, median = _agreement(rows)
        if same < SAME_CELL:
            first = next(row for row in rows if row.cell != row.expected)
            raise ParityError(
                f"{self.name}: refused, it chose eager's cell on {same:.1%} of the tracked sequence, {SAME_CELL:.0%} "
                f"are needed; first on {_place(first)}: cell {first.cell}, eager {first.expected}, "
                f"{first.pixels:.3g} pixels apart"
            )
        if median < OVERLAP:
            worst = min(rows, key=lambda row: row.overlap)
            raise ParityError(
                f"{self.name}: refused, its boxes overlap with eager's by {median:.3f} in the median of the tracked "
                f"sequence, {OVERLAP:g} are needed; least on {_place(worst)}: {worst.overlap:.3f}, "
                f"{worst.pixels:.3g} pixels apart"
            )


class _Case(NamedTuple):
    """A crop, the number of the target that is looked for in it, and whether it is one of the tracked sequence."""

    name: str
    target: int
    pixels: np.ndarray
    tracked: bool


def compare(eager: Network, exported: Network, precision: ExportPrecision, name: str) -> ParityReport:
    """Both networks on the same crops: those of a sequence as ``eager`` tracks it, others of two scenes, black and
    noise; one crop at a time and, if ``exported`` takes more, in its batches, whose rows are of different targets.

    ``name`` is the exported form's in messages. Raises ``ParityError`` where ``exported`` answers NaN or infinity.
    """
    size = eager.settings.search.size
    track = _tracked(eager)
    sequence = [
        _Case(f"frame {number} of the sequence", 0, result.view.pixels, True)
        for number, result in enumerate(track, start=1)
    ]
    others = _others(eager.settings)
    expected = _joined([*(result.found for result in track), _answers(eager, others, 1)])
    rows: list[Row] = []
    for batch in sorted({1, exported.batch or 1}):
        cases = [*sequence, *others]
        rows += _rows(cases, batch, _answers(exported, cases, batch), expected, size)
    for row in rows:
        if not np.isfinite([row.pixels, row.score]).all():
            raise ParityError(f"{name}: refused, its answer on {_place(row)} is not finite")
    free = overlaps(*(np.stack([result.box for result in results]) for results in (track, _tracked(exported))))
    return ParityReport(name, precision, size, tuple(rows), tuple(free.tolist()))


def overlaps(boxes_xywh: np.ndarray, others_xywh: np.ndarray) -> np.ndarray:
    """The IoU of each row of boxes ``[N, 4]`` with the same row of others: float64 ``[N]``; 0 where both are empty."""
    (corner, size), (other, others) = (np.split(b.astype(np.float64), 2, axis=1) for b in (boxes_xywh, others_xywh))
    sides = np.minimum(corner + size, other + others) - np.maximum(corner, other)
    both = sides.clip(min=0).prod(axis=1)
    union = size.clip(min=0).prod(axis=1) + others.clip(min=0).prod(axis=1) - both
    return both / np.where(union > 0, union, 1)


@cache
def _scene(seed: int) -> tuple[Frame, ...]:
    return tuple(render(np.random.default_rng(seed), PATTERNS["val"], FRAMES + 1, _WIDTH, _HEIGHT))


def _tracked(network: Network) -> list[TrackResult]:
    """The sequence as ``network`` tracks it, without its first frame."""
    scene = _scene(_SCENES[0])
    steps = follow((frame.image for frame in scene), [TargetSpec("target", scene[0].box)], network)
    return [step.results["target"] for step in steps][1:]


def _others(settings: TrackSettings) -> list[_Case]:
    """Crops around the targets of both scenes, a black one, and noise; each with both targets."""
    size = settings.search.size
    noise = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    black, noise, more = np.concatenate([np.zeros_like(noise[:1]), noise]).astype(settings.search.dtype)
    crops = {"black": black, "noise": noise, "more noise": more}
    for name, seed in zip("AB", _SCENES, strict=True):
        scene = _scene(seed)
        for number in np.linspace(1, FRAMES, _PLACES).astype(int):
            frame = scene[number]
            target = Target(frame.box, padding_value(frame.image, settings.search.fill))
            crops[f"frame {number} of scene {name}"] = look(frame.image, target, settings.search).pixels
    return [
        _Case(f"{name}, with the target of scene {'AB'[target]}", target, pixels, False)
        for name, pixels in crops.items()
        for target in range(len(_SCENES))
    ]


def _answers(network: Network, cases: abc.Sequence[_Case], batch: int) -> Found:
    """What ``network`` finds in each case, ``batch`` of them at a time."""
    firsts = [begin(_scene(seed)[0].image, _scene(seed)[0].box, network.settings) for seed in _SCENES]
    states = [network.encode(first.view.pixels[None], first.box[None]) for first in firsts]
    rows = network.blank(states[0], batch)
    parts = []
    for start in range(0, len(cases), batch):
        part = cases[start : start + batch]
        for number, case in enumerate(part):
            network.put(rows, number, states[case.target])
        parts.append(network.find(rows, np.stack([case.pixels for case in part])))
    return _joined(parts)


def _joined(parts: abc.Sequence[Found]) -> Found:
    """All rows of these answers, without predictions."""
    return Found(*(np.concatenate(arrays) for arrays in zip(*(part[:3] for part in parts), strict=True)))


def _rows(cases: abc.Sequence[_Case], batch: int, answers: Found, expected: Found, size: int) -> list[Row]:
    pixels = np.abs(answers.boxes - expected.boxes).max(axis=1) * size
    corners = [np.concatenate([b[:, :2] - b[:, 2:] / 2, b[:, 2:]], axis=1) for b in (answers.boxes, expected.boxes)]
    columns = zip(
        cases,
        pixels.tolist(),
        overlaps(*corners).tolist(),
        np.abs(answers.scores - expected.scores).tolist(),
        answers.cells.tolist(),
        expected.cells.tolist(),
        strict=True,
    )
    return [Row(case.name, batch, case.tracked, *values) for case, *values in columns]


def _agreement(rows: abc.Sequence[Row]) -> tuple[float, float]:
    """The share of rows whose cell is eager's, and the median overlap of the boxes there."""
    alike = [row.overlap for row in rows if row.cell == row.expected]
    return len(alike) / len(rows), float(np.median(alike)) if alike else 0.0


def _place(row: Row) -> str:
    return f"{row.crop}, in a batch of {row.batch}"
