"""One video, frame by frame: its targets as one batch, each from the frame in which it begins."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lib.data.decoding.video import Frame
from lib.inference.network import Network, put
from lib.inference.target import Boxlike, Target, View, begin, check_image, checked_box
from lib.inference.tracker import TrackResult, advance

if TYPE_CHECKING:
    from supervision import Detections


class TargetSpec(NamedTuple):
    """A target to follow: its ``name``, and its ``box`` (xywh in pixels) in the frame of number ``frame``."""

    name: str
    box: Boxlike
    frame: int = 0


class Step(NamedTuple):
    """A tracked frame: its ``number``, from 0, its ``time`` in seconds, the ``image``, and by the targets' names a
    result for each that has begun.

    A target's first result is its given box with score 1. ``seconds`` passed from the image to the results.
    """

    number: int
    time: float
    image: np.ndarray
    results: dict[str, TrackResult]
    seconds: float

    @property
    def views(self) -> dict[str, View]:
        """The search crop of each target that the network looked for in this frame."""
        return {name: result.view for name, result in self.results.items() if result.view is not None}

    def to_supervision(self) -> "Detections":
        """The results as ``supervision.Detections``, without lost targets; ``tracker_id`` counts the targets from 0 in
        their order, ``data["name"]`` holds their names. ``ImportError`` if that library is missing."""
        import supervision

        kept = [(number, name, r) for number, (name, r) in enumerate(self.results.items()) if not r.lost]
        boxes = np.array([result.box for _, _, result in kept]).reshape(-1, 4)
        numbers = np.array([number for number, _, _ in kept], dtype=int)
        return supervision.Detections(
            xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
            confidence=np.array([result.score for _, _, result in kept]),
            class_id=np.zeros(len(kept), dtype=int),
            tracker_id=numbers,
            data={"name": np.array([name for _, name, _ in kept], dtype=str)},
        )


def follow(frames: Iterable[Frame | np.ndarray], targets: Sequence[TargetSpec], network: Network) -> Iterator[Step]:
    """Follow ``targets`` through one video, as one batch: a step for each of ``frames``.

    A frame is a ``Frame``, such as a ``VideoReader`` gives, or an image alone (RGB uint8 ``[H, W, 3]``), whose time is
    its number. A target begins in the first frame whose number is at least its own. Raises ``ValueError`` for no
    target, for two of one name, and, in the first frame, for a box outside the image; and as ``Tracker`` does.
    """
    if not targets:
        raise ValueError("no target to follow; name one or more")
    name, count = Counter(target.name for target in targets).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} targets are named {name}; give each another name")
    # A state's rows are filled in the order in which targets begin, so the first ones are those of the batch.
    order = sorted(targets, key=lambda target: target.frame)
    followed: list[Target] = []
    state: tuple[Any, ...] = ()
    for position, item in enumerate(frames):
        number, time, image = item if isinstance(item, Frame) else (position, float(position), item)
        started = perf_counter()
        if position == 0:
            check_image(image)
            check_boxes(order, image.shape)
        results: dict[str, TrackResult] = {}
        if followed:
            found, followed = advance(network, image, followed, state)
            results = {target.name: result for target, result in zip(order, found, strict=False)}
        while len(followed) < len(order) and order[len(followed)].frame <= number:
            target = order[len(followed)]
            first = begin(image, target.box, network.settings)
            encoded = network.encode(first.view.pixels[None], first.box[None])
            state = put(state, len(followed), encoded, len(order))
            followed.append(first.target)
            results[target.name] = TrackResult(first.target.box.copy(), 1.0)
        named = {target.name: results[target.name] for target in targets if target.name in results}
        yield Step(number, time, image, named, perf_counter() - started)


def check_boxes(targets: Sequence[TargetSpec], image_shape: Sequence[int]) -> None:
    """Raise ``ValueError`` naming the target whose box cannot be a first one, as ``begin`` does."""
    for target in targets:
        try:
            checked_box(target.box, image_shape)
        except ValueError as error:
            raise ValueError(f"target {target.name}: {error}; a box is x,y,w,h in pixels of the video") from error
