"""Sequences without images, and boxes near theirs, for tests of scores."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lib.data.types import Sequence
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import ScoredRun, score_set

Boxes = Callable[[Sequence], np.ndarray]


def sequence(name: str, frames: int = 30, seed: int = 0, dataset: str = "toy", covered: bool = True) -> Sequence:
    """A target of about 40 x 30 px that strolls through an image of 320 x 240 px, which nobody needs to read."""
    random = np.random.default_rng(seed)
    boxes = np.concatenate([random.uniform(40, 160, 2), random.uniform(30, 40, 2)]) + np.zeros((frames, 4))
    boxes[:, :2] += np.cumsum(random.normal(size=(frames, 2)), axis=0)
    return Sequence(
        name,
        dataset,
        tuple(Path(f"/nowhere/{name}/{number}.jpg") for number in range(frames)),
        boxes,
        np.ones(frames, bool),
        cover=np.full(frames, 8) if covered else None,
        meta={"resolution": "(320, 240)"},
    )


def sequences(count: int, prefix: str = "video", frames: int = 30, covered: bool = True) -> tuple[Sequence, ...]:
    """Several, of different lengths."""
    return tuple(sequence(f"{prefix}{number}", frames + 3 * number, number, covered=covered) for number in range(count))


def noisy(level: float, seed: int = 0) -> Boxes:
    """Boxes that are off by about ``level`` of the target's size, more in some sequences; the first as given."""

    def boxes(video: Sequence) -> np.ndarray:
        random = np.random.default_rng([seed, *video.name.encode()])
        size = video.boxes[:, 2:].mean()
        off = random.normal(size=video.boxes.shape) * level * size * random.uniform(0.3, 2)
        off[0] = 0
        off[:, 2:] /= 4
        return video.boxes + off

    return boxes


def scored(
    videos: tuple[Sequence, ...],
    boxes: Boxes,
    benchmark: str = "otb",
    protocols: tuple[str, ...] = tuple(PROTOCOLS),
    label: str = "toy",
) -> ScoredRun:
    """The scores of these boxes."""
    return score_set(ToyResults(label, boxes), benchmark, videos, protocols)


@dataclass(frozen=True)
class ToyResults:
    """What a comparison asks of a result set."""

    label: str
    boxes: Boxes
    manifest: dict[str, Any] | None = None
    benchmark: str = "otb"
    producer: str = "a toy"
    found: tuple[str, ...] = ()

    seconds: float | None = 0.02

    @property
    def source(self) -> Path:
        """A path by its label."""
        return Path("/results") / self.label

    def names(self) -> tuple[str, ...]:
        """The sequences that there are results of."""
        return self.found

    def mean_seconds(self) -> float | None:
        """As if it had been measured."""
        return self.seconds

    def frame_scores(self, _name: str) -> None:
        """None were kept."""
