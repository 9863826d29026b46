"""Pairs whose target is pasted: an object cut out by its mask moves over the frames of another video.

``Cutouts.draw`` draws video, look-alike and motion; ``Cutouts.open`` loads their pixels; a ``PastedCropper`` takes
crops of a composed frame.
"""

import math
from collections import abc
from collections.abc import Callable
from typing import Annotated, NamedTuple

import cv2
import numpy as np
from pydantic import AfterValidator

from lib.config.schema import Section
from lib.data.appearance import Probability
from lib.data.augment import to_grayscale
from lib.data.croppers import FrameCropper
from lib.data.datasets.registry import DatasetName
from lib.data.decoding.images import EncodedImage, open_image
from lib.data.masks import MaskFolder
from lib.data.pasting import Cutout, Layer, find_visible_part, load_cutout, mirror, paste, place_beside, place_cutout
from lib.data.sampling import Pairing, draw_frames
from lib.data.stores.index import SequenceIndex
from lib.data.types import Sequence
from lib.geometry.crop import CropConfig, Fill, Window

MIN_OBJECT = 32.0  # sqrt(w * h) in pixels of its own image; a smaller object is too coarse to be cut out
DISTANCES = (0.9, 2.0)  # from a target to its look-alike, in units of the distance at which their boxes touch
PERIODS = (50.0, 250.0)  # frames; of the waves by which objects move
MAX_TURN = math.radians(15)
MAX_SCALING = 0.2  # change of the logarithm of a size
RECOLORED = (0.5, 1.5)  # factors of the channels of a look-alike in other colors
_DETAIL = 1.5  # pixels of a cut-out for each one that a crop without jitter shows of it


def _shares(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 < span[0] <= span[1] <= 1:
        raise ValueError("should be two numbers above 0 and up to 1, the smaller first, such as [0.03, 0.5]")
    return span


class CutoutsConfig(Section):
    """The targets of a source are cut out by their masks and pasted on the frames of another dataset's videos.

    * ``over``, ``split``: the dataset of the videos, and its split.
    * ``lookalike``: probability of a look-alike beside the target: the same cut-out mirrored, or in other colors, or
      another object of its class.
    * ``size``: the target's sqrt(w * h) as shares of the frame's sqrt(W * H); the logarithm is uniform between them.
    """

    over: DatasetName
    split: str
    lookalike: Probability = 0.7
    size: Annotated[tuple[float, float], AfterValidator(_shares)] = (0.03, 0.5)


class Motion:
    """How a target and its look-alike move over a video: functions of a frame's number, smooth and bounded.

    * ``x``, ``y``: the target's center as shares of the frame's width and height, within the frame at all times.
    * ``size``: the logarithm of its sqrt(w * h) as a share of the frame's; it swings around one between the shares
      ``size`` of the constructor. ``turn``: in radians.
    * ``direction``, ``distance``: from the target to its look-alike, in radians and in units of ``DISTANCES``.
    * ``ratio``: of the look-alike's size to the target's, a number.
    """

    def __init__(self, size: tuple[float, float], rng: np.random.Generator) -> None:
        def wave(middle: float, swing: float) -> Callable[[int], float]:
            period, phase = math.exp(rng.uniform(*np.log(PERIODS))), rng.random()
            return lambda frame: middle + swing * math.sin(2 * math.pi * (frame / period + phase))

        swings = rng.uniform(0, 0.4, 2).tolist()
        self.x, self.y = (wave(rng.uniform(swing + 0.05, 0.95 - swing), swing) for swing in swings)
        self.size = wave(rng.uniform(*np.log(size)), rng.uniform(0, MAX_SCALING))
        self.turn = wave(0.0, rng.uniform(0, MAX_TURN))
        self.direction = wave(rng.uniform(0, 2 * math.pi), rng.uniform(0, 1))
        near, far = DISTANCES
        self.distance = wave((near + far) / 2, rng.uniform(0, (far - near) / 2))
        self.ratio = math.exp(rng.uniform(-MAX_SCALING, MAX_SCALING))


class ShownObject(NamedTuple):
    """An object in both frames of a pair: its sequence and two frames of it, whether it is mirrored, and the factors of
    its channels."""

    sequence: Sequence
    frames: tuple[int, int]
    mirrored: bool = False
    gains: tuple[float, ...] = (1.0, 1.0, 1.0)


class Composition(NamedTuple):
    """Everything drawn for a pair: the target and its look-alike or None, the video and the numbers of its two frames,
    the motion, and whether the look-alike may lie above the target."""

    target: ShownObject
    lookalike: ShownObject | None
    video: Sequence
    video_frames: tuple[int, int]
    motion: Motion
    above: bool


class Cutouts:
    """Draws pairs in which the objects of a pool are pasted on videos (``over``).

    ``masks`` is the folder of the objects' masks, None if their outlines are in the annotations. ``positions`` are
    those of the objects that can be cut out. Raises ``ValueError`` if there is none, and if there is no video.
    """

    def __init__(
        self,
        objects: SequenceIndex,
        over: SequenceIndex,
        config: CutoutsConfig,
        masks: MaskFolder | None = None,
        every: int = 1,
    ) -> None:
        self._objects, self._over, self._config = objects, over, config
        self._masks, self._every = masks, every
        large = objects.largest_areas() >= MIN_OBJECT**2
        chosen = objects.can_be_drawn(every) & large & (objects.outlined | (masks is not None))
        self.positions = np.flatnonzero(chosen).astype(np.int32)
        if not len(self.positions):
            raise ValueError(
                f"no object of {len(objects)} can be cut out: each needs an outline in the annotations (or set "
                f"its dataset's masks in paths.yaml), and {MIN_OBJECT:g} pixels of sqrt(w * h)"
            )
        self._videos = np.flatnonzero(over.can_be_drawn()).astype(np.int32)
        if not len(self._videos) or over[self._videos[0]].image_set:
            raise ValueError(
                f"cutouts.over: {config.over} {config.split} has no videos to paste on; name a dataset that has"
            )
        names, classes = objects.classes()
        classes = classes[self.positions]
        # Without a class (""), an object has no others of its kind.
        self._of_class = {name: self.positions[classes == number] for number, name in enumerate(names) if name}

    def draw(
        self, target: Sequence, frames: tuple[int, int], pairing: Pairing, max_gap: int, rng: np.random.Generator
    ) -> Composition:
        """The random choices of a pair that shows two frames of an object. Reads no file."""
        video = self._over[self._videos[int(rng.integers(len(self._videos)))]]
        video_frames = draw_frames(video, pairing, max_gap, rng)
        shown, lookalike = ShownObject(target, frames), None
        if rng.random() < self._config.lookalike:
            kind, others = rng.integers(3), self._of_class.get(target.meta.get("class", ""), ())
            other = self._objects[int(others[rng.integers(len(others))])] if len(others) else target
            if kind == 0 and other.name != target.name:
                lookalike = ShownObject(other, draw_frames(other, pairing, max_gap, rng, self._every))
            elif kind == 1:
                lookalike = shown._replace(gains=tuple(rng.uniform(*RECOLORED, 3).tolist()))
            else:
                lookalike = shown._replace(mirrored=True)
        motion = Motion(self._config.size, rng)
        return Composition(shown, lookalike, video, video_frames, motion, above=bool(rng.random() < 0.5))

    def open(
        self, drawn: Composition, crops: abc.Sequence[CropConfig], decoder: str, flipped: bool
    ) -> "list[PastedCropper]":
        """The two frames of a composition, for a template and a search crop (``crops``), to be shown mirrored if
        ``flipped``. Raises ``ImageError`` for an image or mask that cannot be read."""
        images = [open_image(drawn.video.frames[frame], decoder) for frame in drawn.video_frames]
        # As many pixels of sqrt(w * h) as the crops have use for.
        most = _DETAIL * max(crop.size / crop.factor for crop in crops)
        loaded: dict[tuple[str, int], Cutout] = {}

        def layer(shown: ShownObject, number: int, size: float, center: np.ndarray, angle: float) -> Layer:
            frame = shown.frames[number]
            key = shown.sequence.name, frame
            if key not in loaded:
                # The other frame may need it larger, by as much as a size changes.
                detail = min(size * math.exp(2 * MAX_SCALING), most)
                loaded[key] = load_cutout(shown.sequence, frame, self._masks, detail, decoder)
            cutout = loaded[key]
            if shown.gains != (1.0, 1.0, 1.0):
                cutout = cutout._replace(pixels=cv2.transform(cutout.pixels, np.diag((*shown.gains, 1.0))))
            return place_cutout(cutout, size, center, angle, shown.mirrored)

        croppers, motion = [], drawn.motion
        for number, (image, frame, crop) in enumerate(zip(images, drawn.video_frames, crops, strict=True)):
            height, width = image.shape
            size = math.sqrt(height * width) * math.exp(motion.size(frame))
            center = np.array((width * motion.x(frame), height * motion.y(frame)))
            angle = motion.turn(frame)
            target, lookalike = layer(drawn.target, number, size, center, angle), None
            if drawn.lookalike is not None:
                lookalike = layer(drawn.lookalike, number, size * motion.ratio, center, -angle)
                lookalike = place_beside(target, lookalike, motion.direction(frame), motion.distance(frame))
            if flipped:
                target, lookalike = mirror(target, width), None if lookalike is None else mirror(lookalike, width)
            box, layers = find_visible_part(target, lookalike, drawn.above, image.shape)
            croppers.append(PastedCropper(image, crop.fill, layers, box))
        return croppers


class PastedCropper(FrameCropper):
    """Takes crops of a frame with layers pasted on it, the last above all others. Made by ``Cutouts.open``.

    The layers lie in the frame as crops show it, mirrored or not. ``box`` holds the visible part of the target:
    float64 ``[4]`` xywh in pixels, without area if that is too little.
    """

    def __init__(self, image: EncodedImage, fill: Fill, layers: list[Layer], box: np.ndarray) -> None:
        super().__init__(image, fill)
        self._layers, self.box = layers, box

    def crop(self, window: Window, size: int, flipped: bool, grayscale: bool) -> np.ndarray:
        """As ``Cropper.crop``; ``flipped`` as in ``Cutouts.open``.

        A window that is smaller than its crop is composed in the frame's own pixels and enlarged as a whole: the target
        is no sharper than its surroundings then.
        """
        canvas = super().crop(window, min(window.side, size), flipped, grayscale=False)
        for layer in self._layers:
            paste(canvas, layer, window, self.shape)
        canvas = cv2.resize(canvas, (size, size))
        return to_grayscale(canvas) if grayscale else canvas
