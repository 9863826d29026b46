"""One target: its template once, then look, find and place for every frame."""

from collections import abc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.inference.network import Found, Network
from lib.inference.target import Boxlike, FirstView, Image, Target, View, begin, keep, look, place


@dataclass(frozen=True, eq=False)
class TrackResult:
    """Result of a tracker in a frame; it unpacks as ``box, score``.

    ``box`` float64 ``[4]`` xywh in image pixels; ``score``, higher is surer, before the Hann window. ``view`` is the
    crop that the network got; ``found`` its answers for the whole batch, with this target in ``row``. The first frame
    of ``follow`` has neither. ``lost``: the score is too low for the target to be there.
    """

    box: np.ndarray
    score: float
    lost: bool = False
    view: View | None = None
    found: Found | None = None
    row: int = 0

    def __iter__(self) -> Iterator[Any]:
        return iter((self.box, self.score))

    @property
    def crop(self) -> np.ndarray | None:
        """The search crop for pictures, uint8 RGB ``[S, S, 3]``."""
        return self.view.pixels.round().astype(np.uint8, copy=False) if self.view else None

    @property
    def prediction(self) -> Any:
        """All candidates of the batch (``lib.models.heads.base.Prediction``), None for an exported network."""
        return self.found.prediction if self.found else None


class Tracker:
    """Follows one target with ``network``.

    Between calls it keeps ``first`` (the view of the first frame), ``state`` (the encoded template) and ``box`` (the
    last box, float64 ``[4]`` xywh in pixels).
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.first: FirstView | None = None
        self.state: Any = None
        self._target: Target | None = None

    @property
    def box(self) -> np.ndarray | None:
        """The target's last box; None before ``init``."""
        return self._target.box if self._target else None

    @box.setter
    def box(self, box: np.ndarray) -> None:
        """Look around another box in the next frame."""
        assert self._target is not None, "a box is set before init()"
        self._target = self._target._replace(box=np.array(box, dtype=np.float64))

    def init(self, image: Image, box: Boxlike) -> None:
        """Take the target from ``image`` (RGB uint8 ``[H, W, 3]``) at ``box`` (xywh in pixels).

        Raises ``ValueError`` for another kind of image and for a box without size or wholly outside the image.
        """
        self.first = first = begin(image, box, self.network.settings)
        self.state = self.network.encode(first.view.pixels[None], first.box[None])
        self._target = first.target

    def update(self, image: Image) -> TrackResult:
        """The target's box in the next ``image`` (RGB uint8 ``[H, W, 3]``).

        Raises ``ValueError`` for another kind of image and where the network answers NaN.
        """
        assert self._target is not None, "update() before init()"
        (result,), (self._target,) = advance(self.network, image, [self._target], self.state)
        return result


def advance(
    network: Network, image: Image, targets: abc.Sequence[Target], state: tuple[Any, ...]
) -> tuple[list[TrackResult], list[Target]]:
    """The targets of the first rows of ``state`` in the next image, and what to look for in the image after it."""
    settings = network.settings
    views = [look(image, target, settings.search) for target in targets]
    crops = np.stack([view.pixels for view in views]) if len(views) > 1 else views[0].pixels[None]
    found = network.find(state, crops)
    results, kept = [], []
    for row, (target, view) in enumerate(zip(targets, views, strict=True)):
        score = float(found.scores[row])
        box = place(found.boxes[row], score, view, settings.tracker)
        kept.append(keep(target, box, score, settings.tracker))
        lost = settings.tracker.is_lost(score)
        results.append(TrackResult(kept[-1].box.copy(), score, lost, view, found, row))
    return results, kept
