"""Parity: the largest differences between an exported network and the eager one on the same crops."""

import json
from collections import abc
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from lib.data.synthetic.scene import PATTERNS, RenderedFrame, render_scene
from lib.export.record import ExportError, ExportPrecision
from lib.geometry.crop import padding_value
from lib.geometry.overlaps import overlaps
from lib.inference.follow import TargetSpec, follow
from lib.inference.network import Found, Network, put
from lib.inference.settings import TrackSettings
from lib.inference.target import Target, begin, look
from lib.inference.tracker import TrackResult
from lib.runtime.escapes import columns

PIXELS = 0.05  # the largest difference of a box in fp32
SAME_CELL, OVERLAP = 0.98, 0.97  # share of the sequence's crops, and median IoU there, in reduced precisions

SCENE_FRAMES = 100
_WIDTH, _HEIGHT = 256, 192
# Scenes of textures in motion; in both the target stays wholly in view.
_SCENES = 3, 7
_PLACES = 4  # of each scene, at which crops are cut beside those of the tracked sequence


class ParityError(ExportError):
    """An exported network whose answers differ from the eager one's; the message names the crop and the difference."""


# One crop in a batch of the exported network, compared with the eager network's answer. ``tracked``: the crop is of the
# tracked sequence; ``pixels``: the largest difference of the box's four numbers; ``overlap``: the IoU of both boxes;
# ``score``: the difference of the scores; ``cell`` and ``expected``: the candidates of the exported and the eager one.
PARITY_ROW = np.dtype([
    ("crop", "U60"), ("batch", int), ("tracked", bool), ("pixels", float), ("overlap", float), ("score", float),
    ("cell", int), ("expected", int),
])  # fmt: skip


@dataclass(frozen=True, eq=False)
class ParityReport:
    """The differences that ``compare_networks`` measured: ``rows`` of ``PARITY_ROW``, for each batch size and crop.

    ``size`` is the side of the search crop in pixels; ``free`` is the overlap of both networks' own tracks in each
    frame of the sequence.
    """

    name: str
    precision: ExportPrecision
    size: int
    rows: np.recarray
    free: np.ndarray

    def check(self) -> None:
        """Raise ``ParityError`` unless all is within bounds.

        fp32: every box within ``PIXELS``. Reduced precisions, on the crops of the tracked sequence: the same best cell
        on a share of ``SAME_CELL``, and there a median overlap of ``OVERLAP``.
        """
        for rows in self._batches():
            if self.precision == "fp32":
                worst = rows[rows.pixels.argmax()]
                if worst.pixels > PIXELS:
                    self._refuse(f"a box is {worst.pixels:.3g} pixels from eager's, {PIXELS:g} are allowed", worst)
                continue
            rows = rows[rows.tracked]
            same, median = _agreement(rows)
            if same < SAME_CELL:
                problem = f"eager's cell is chosen on {same:.1%} of the tracked sequence, {SAME_CELL:.0%} are needed"
                self._refuse(problem, rows[rows.cell != rows.expected][0])
            if median < OVERLAP:
                problem = f"boxes overlap with eager's by {median:.3f} in the median of the tracked sequence"
                self._refuse(f"{problem}, {OVERLAP:g} are needed", rows[rows.overlap.argmin()])

    def summary(self) -> dict[str, float]:
        """The report in five numbers, each the worst of all batches.

        ``pixels``: the largest difference of a box, of the crops where both chose the same cell; ``score``: of a score.
        On the tracked sequence: ``same_cell``, the share of crops with the same best cell, and ``median_overlap`` of
        the boxes there. ``free_overlap``: the mean of ``free``.
        """
        shares, medians = zip(*(_agreement(rows[rows.tracked]) for rows in self._batches()), strict=True)
        return {
            "pixels": float(self._pixels(self.rows).max()),
            "score": float(self.rows.score.max()),
            "same_cell": min(shares),
            "median_overlap": min(medians),
            "free_overlap": float(self.free.mean()),
        }

    def json(self) -> str:
        """All rows, as text."""
        rows = [dict(zip(PARITY_ROW.names, row, strict=True)) for row in self.rows.tolist()]
        head = {"name": self.name, "precision": self.precision, "size": self.size}
        tree = {"summary": self.summary(), **head, "rows": rows, "free": self.free.tolist()}
        return json.dumps(tree, indent=1) + "\n"

    def text(self) -> str:
        """A table for a terminal."""
        lines = []
        for batch in self._batches():
            for rows, kind in ((batch[batch.tracked], "tracked sequence"), (batch[~batch.tracked], "other crops")):
                same, median = _agreement(rows)
                pixels = self._pixels(rows)
                numbers = f"{len(rows)} {same:.1%} {np.median(pixels):.4f} {pixels.max():.4f} {median:.4f}"
                lines.append([f"batch {batch.batch[0]}, {kind}", *numbers.split(), f"{rows.score.max():.1e}"])
        head = ["", "crops", "same cell", "box median", "worst", "IoU median", "score"]
        return "\n".join([
            f"parity of {self.name} with eager fp32, in pixels of a search crop of {self.size}",
            *columns(head, lines),
            f"each tracking for itself: mean IoU {self.free.mean():.4f} over {len(self.free)} frames",
        ])  # fmt: skip

    def _batches(self) -> list[np.recarray]:
        return [self.rows[self.rows.batch == batch] for batch in np.unique(self.rows.batch)]

    def _pixels(self, rows: np.recarray) -> np.ndarray:
        """Differences of the boxes where both chose the same cell; the crop's side if they never did."""
        pixels = rows.pixels[rows.cell == rows.expected]
        return pixels if len(pixels) else np.array([float(self.size)])

    def _refuse(self, problem: str, row: np.record) -> None:
        raise ParityError(
            f"{self.name}: refused, {problem}; see {row.crop}, in a batch of {row.batch}: cell {row.cell}, eager "
            f"{row.expected}, {row.pixels:.3g} pixels apart, overlap {row.overlap:.3f}"
        )


class _Case(NamedTuple):
    """A crop, and the number of the target that is looked for in it."""

    crop: str
    target: int
    pixels: np.ndarray


def compare_networks(eager: Network, exported: Network, precision: ExportPrecision, name: str) -> ParityReport:
    """Both networks on the same crops: those of a sequence as ``eager`` tracks it, others of two scenes, black and
    noise; one crop at a time and, if ``exported`` takes more, in its batches, whose rows are of different targets.

    ``name`` is the exported form's in messages. Raises ``ParityError`` where ``exported`` answers NaN or infinity.
    """
    track = _tracked(eager)
    others = _others(eager.settings)
    cases = [_Case(f"frame {number} of the sequence", 0, result.view.pixels) for number, result in enumerate(track, 1)]
    cases += others
    expected = _joined([*(result.found for result in track), _answers(eager, others, 1)])
    size = eager.settings.search.size
    batches = []
    for batch in sorted({1, exported.batch or 1}):
        answers = _answers(exported, cases, batch)
        rows = np.recarray(len(cases), PARITY_ROW)
        rows.crop, rows.batch, rows.tracked = [case.crop for case in cases], batch, np.arange(len(cases)) < len(track)
        rows.pixels = np.abs(answers.boxes - expected.boxes).max(axis=1) * size
        rows.overlap = overlaps(*(_xywh(boxes) for boxes in (answers.boxes, expected.boxes)))
        rows.score = np.abs(answers.scores - expected.scores)
        rows.cell, rows.expected = answers.cells, expected.cells
        for row in rows[~np.isfinite(rows.pixels + rows.score)]:
            raise ParityError(f"{name}: refused, not finite on {row.crop}, in a batch of {row.batch}")
        batches.append(rows)
    free = overlaps(*(np.stack([result.box for result in results]) for results in (track, _tracked(exported))))
    return ParityReport(name, precision, size, np.concatenate(batches).view(np.recarray), free)


@cache
def _scene(seed: int) -> tuple[RenderedFrame, ...]:
    return tuple(render_scene(np.random.default_rng(seed), PATTERNS["val"], SCENE_FRAMES + 1, _WIDTH, _HEIGHT))


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
        for number in np.linspace(1, SCENE_FRAMES, _PLACES).astype(int):
            frame = scene[number]
            target = Target(frame.box, padding_value(frame.image, settings.search.fill))
            crops[f"frame {number} of scene {name}"] = look(frame.image, target, settings.search).pixels
    return [
        _Case(f"{name}, with the target of scene {'AB'[target]}", target, pixels)
        for name, pixels in crops.items()
        for target in range(len(_SCENES))
    ]


def _answers(network: Network, cases: abc.Sequence[_Case], batch: int) -> Found:
    """What ``network`` finds in each case, ``batch`` of them at a time."""
    firsts = [begin(_scene(seed)[0].image, _scene(seed)[0].box, network.settings) for seed in _SCENES]
    states = [network.encode(first.view.pixels[None], first.box[None]) for first in firsts]
    rows: tuple[Any, ...] = ()
    parts = []
    for start in range(0, len(cases), batch):
        part = cases[start : start + batch]
        for number, case in enumerate(part):
            rows = put(rows, number, states[case.target], batch)
        parts.append(network.find(rows, np.stack([case.pixels for case in part])))
    return _joined(parts)


def _joined(parts: abc.Sequence[Found]) -> Found:
    """All rows of these answers, without predictions."""
    return Found(*(np.concatenate(arrays) for arrays in zip(*(part[:3] for part in parts), strict=True)))


def _xywh(boxes_cxcywh: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes_cxcywh[:, :2] - boxes_cxcywh[:, 2:] / 2, boxes_cxcywh[:, 2:]], axis=1)


def _agreement(rows: np.recarray) -> tuple[float, float]:
    """The share of rows whose cell is eager's, and the median overlap of the boxes there."""
    alike = rows.overlap[rows.cell == rows.expected]
    return len(alike) / len(rows), float(np.median(alike)) if len(alike) else 0.0
