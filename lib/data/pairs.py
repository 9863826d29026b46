"""Training pairs by number: sample n of a seed is always the same template and search crop."""

from __future__ import annotations

import functools
import logging
import math
from dataclasses import replace
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from lib.config.schema import Section
from lib.data.appearance import AugmentConfig, Probability, stretch, stretch_box, vary_pair
from lib.data.augment import JitterConfig, draw_jitter, is_well_seen, jitter_box, jitter_mapping, mirror_box, scale_box
from lib.data.batch import Sample
from lib.data.cutouts import CutoutsConfig, Look, PastedPair
from lib.data.datasets.registry import check_dataset
from lib.data.decoding.images import ImageError, check_decoder, open_image
from lib.data.sampling import (
    MIN_FRAMES,
    MIN_VISIBLE,
    Pairing,
    Pool,
    Positions,
    draw_frames,
    draw_sequence,
    drawable,
    share_bounds,
)
from lib.data.types import FrameFiles, Sequence
from lib.data.views import FrameView
from lib.geometry.aligned import AlignedWindow, align
from lib.geometry.crop import CropConfig, Fill, Window, box_to_crop, crop_mapping, crop_window, is_empty

logger = logging.getLogger(__name__)

FIRST_VALIDATION_NUMBER = 2**40
MAX_DAMAGED = 10
MAX_EMPTY = 100
MOST_DRAWS = 12  # of an aligned crop's jitter
# A crop is empty if no pixel of the picture reaches the token grid; all published models have patches of 16.
_TOKEN = 16


class SourceConfig(Section):
    """One split of a dataset, and how often it is drawn beside the others.

    ``annotated_every``: only frames whose number is a multiple of it, and the last of a video, are drawn. 30 is GRM's
    rule for TrackingNet, where a person has drawn one box in 30. ``cutouts``: the targets are cut out by their masks
    and pasted on videos of another dataset.
    """

    name: str
    split: str
    weight: PositiveFloat = 1.0
    annotated_every: PositiveInt = 1
    cutouts: CutoutsConfig | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        check_dataset(name)
        return name


class DataConfig(Section):
    """What is trained on and how pairs are drawn and varied. Defaults are the lineage's (GRM, OSTrack).

    * ``pairing`` and ``max_gap``: "causal", the search frame follows the template by at most ``max_gap - 1`` frames, if
      a visible one is there; "interval" (TransT, with 100), it lies from ``max_gap`` before to ``max_gap - 1`` after.
    * ``grayscale``, ``joint_flip``: probabilities for the pair as a whole; ``flip``: for each crop by itself.
    * ``brightness``: 0.2 multiplies each crop by a factor from 0.8 to 1.2.
    * ``augment``: color, blur and resolution; all off by default.
    * ``store``: "crops" takes the pixels from crop stores (``crops`` in paths.yaml) as far as they reach.
    * ``decoder``: what reads JPEG files; "auto" is the fastest that is installed. It changes no sample.
    * ``scaled_decoding``: large targets are read at a half, a quarter or an eighth of their size: faster, but softer.
    * ``workers``: processes that prepare samples, in each training process; 0 prepares them in the training process.
    """

    train: tuple[SourceConfig, ...] = Field(min_length=1)
    val: tuple[SourceConfig, ...] = ()
    samples_per_epoch: PositiveInt
    val_samples: NonNegativeInt = 0
    pairing: Pairing = "causal"
    max_gap: int = Field(default=200, ge=2)
    template_jitter: JitterConfig = JitterConfig()
    search_jitter: JitterConfig
    grayscale: Probability = 0.05
    joint_flip: Probability = 0.5
    flip: Probability = 0.5
    brightness: Probability = 0.2
    augment: AugmentConfig = AugmentConfig()
    store: Literal["frames", "crops"] = "frames"
    decoder: Literal["auto", "opencv", "simplejpeg", "turbojpeg", "jpeg4py"] = "auto"
    scaled_decoding: bool = False
    workers: NonNegativeInt = 4

    @model_validator(mode="after")
    def _validation_is_whole(self) -> DataConfig:
        if bool(self.val) != bool(self.val_samples):
            raise ValueError("val and val_samples belong together: name datasets and a number of samples, or neither")
        return self


class EmptyCropError(ValueError):
    """A crop that shows nothing of the picture."""


class _Role(NamedTuple):
    """What a crop is of a pair: its name, how it is taken and how it is moved."""

    name: Literal["template", "search"]
    crop: CropConfig
    jitter: JitterConfig


class _Plan(NamedTuple):
    """All that was drawn for one crop: its window in the frame, the target's box in fractions of it (float32 ``[4]``
    xywh), the factor of its brightness, whether it is mirrored, and the ratio by which it is stretched."""

    window: Window | AlignedWindow
    box: np.ndarray
    gain: float
    mirrored: bool
    aspect: float


class Pairs:
    """Template and search pairs of several pools, by number.

    Each pool is drawn in proportion to its weight and its sequences equally often. Those too short or too seldom
    visible are left out (their number is logged). ``ValueError`` if nothing is left of a pool, and for a decoder whose
    library is missing.
    """

    def __init__(
        self, config: DataConfig, pools: list[Pool], template: CropConfig, search: CropConfig, seed: int
    ) -> None:
        check_decoder(config.decoder)
        self.config, self.seed = config, seed
        self._bounds = share_bounds([pool.weight for pool in pools])
        self._pools = pools
        self._positions = [_drawable(pool) for pool in pools]
        self._roles = (
            _Role("template", template, config.template_jitter),
            _Role("search", search, config.search_jitter),
        )

    def sample(self, number: int) -> Sample:
        """Sample ``number``, decided by it and the seed alone.

        An empty crop, or a damaged image (logged), is drawn again from the same stream. Raises ``ImageError`` after
        ``MAX_DAMAGED`` images, ``EmptyCropError`` after ``MAX_EMPTY`` crops, naming them.
        """
        rng = np.random.default_rng((self.seed, number))
        damaged: list[str] = []
        empty: list[str] = []
        while True:
            pool, sequence = draw_sequence(self._pools, self._positions, self._bounds, rng)
            frames = draw_frames(sequence, self.config.pairing, self.config.max_gap, rng, pool.every)
            try:
                sample = self._build(number, pool, sequence, frames, rng)
                if damaged or empty:
                    sample = replace(sample, redrawn=(*damaged, *empty), damaged=tuple(damaged))
                return sample
            except ImageError as error:
                logger.warning("%s; sample %d is drawn again", error, number)
                damaged.append(str(error))
                if len(damaged) == MAX_DAMAGED:
                    listed = "; ".join(dict.fromkeys(damaged))
                    raise ImageError(f"{MAX_DAMAGED} unreadable images in sample {number}: {listed}") from error
            except EmptyCropError as error:
                empty.append(f"{_source(sequence, frames)}: {error}")
                if len(empty) == MAX_EMPTY:
                    raise EmptyCropError(
                        f"sample {number}: {MAX_EMPTY} crops in a row show nothing of their image "
                        f"(at last {empty[-1]}); check the boxes, or lower data.search_jitter"
                    ) from error

    def _build(
        self,
        number: int,
        pool: Pool,
        sequence: Sequence,
        frames: tuple[int, int],
        rng: np.random.Generator,
    ) -> Sample:
        """The sample of two frames. Everything is drawn before a pixel is decoded, so that the windows are known."""
        grayscale = rng.random() < self.config.grayscale
        flipped = rng.random() < self.config.joint_flip
        drawn = rng.bit_generator.state
        try:
            views: _Views | PastedPair
            if pool.cutouts is None:
                views = _Views(pool, sequence, frames, self._roles, self.config, flipped, grayscale)
                source = _source(sequence, frames)
            else:
                composition = pool.cutouts.draw(sequence, frames, self.config.pairing, self.config.max_gap, rng)
                look = self._roles[0].crop, self._roles[1].crop, self.config.decoder, self.config.scaled_decoding
                views = PastedPair(composition, pool.cutouts.masks, Look(*look, flipped, grayscale))
                source = f"{_source(sequence, frames)} over {_source(composition.video, composition.places)}"
            plans = tuple(
                self._plan(box, shape, role, sequence.image_set, rng)
                for box, shape, role in zip(views.boxes(), views.shapes(), self._roles, strict=True)
            )
            crops = views.crops(tuple(plan.window for plan in plans))
        except ImageError:
            # Whether damage shows before the crops are drawn or after depends on the decoder; the next draw must not.
            rng.bit_generator.state = drawn
            raise
        crops = [stretch(crop, plan.aspect) for crop, plan in zip(crops, plans, strict=True)]
        sizes = [math.sqrt(plan.box[2] * plan.box[3]) * len(crop) for crop, plan in zip(crops, plans, strict=True)]
        template, search = vary_pair(crops, sizes, self.config.augment, rng)
        return Sample(
            number, *_as_tensors(template, plans[0]), *_as_tensors(search, plans[1]),
            source=source, missed=views.missed,
        )  # fmt: skip

    def _plan(
        self, box: np.ndarray, shape: tuple[int, int], role: _Role, still: bool, rng: np.random.Generator
    ) -> _Plan:
        """The crop of a frame of that height and width around ``box``. One that is to be stretched shows more of the
        frame along one axis, and less along the other."""
        crop = role.crop
        if crop.placement == "aligned":
            window = self._aligned_window(box, shape, role, rng)
            return self._finish(_Plan(window, window.box_to_crop(box), 1.0, False, 1.0), rng)
        jittered = jitter_box(box, role.jitter, rng, crop.context)
        span = self.config.augment.still_aspect if still and role.name == "search" else 0.0
        aspect = math.exp(rng.uniform(-span, span)) if span else 1.0
        if aspect != 1:
            jittered = scale_box(jittered, math.sqrt(max(aspect, 1 / aspect)))
        try:
            window = crop_window(jittered, crop.factor, crop.context)
        except ValueError as error:
            raise EmptyCropError(str(error)) from error
        if is_empty(shape, window, crop.size, _TOKEN):
            raise EmptyCropError(f"the {window.side} px crop at x={window.x1} y={window.y1} lies off the image")
        label = box_to_crop(box, jittered, crop.size / window.side, crop.size)
        if aspect != 1:
            label = stretch_box(label, aspect, crop.size)
        return self._finish(_Plan(window, label, 1.0, False, aspect), rng)

    def _aligned_window(
        self, box: np.ndarray, shape: tuple[int, int], role: _Role, rng: np.random.Generator
    ) -> AlignedWindow:
        """The window around ``box``, jittered until the target is well seen in it, in at most ``MOST_DRAWS`` draws.

        The published code takes another pair at random if that fails, here the next of the sample's own stream is.
        """
        crop = role.crop
        try:
            mapping = crop_mapping(box, crop)
        except ValueError as error:
            raise EmptyCropError(str(error)) from error
        if role.jitter == JitterConfig():
            return align(mapping, crop.size, shape)
        corners = np.concatenate((box[:2], box[:2] + box[2:]))
        for _ in range(MOST_DRAWS):
            jittered = jitter_mapping(mapping, box, role.jitter, crop.size, draw_jitter(rng))
            if is_well_seen(jittered.forth(corners), crop.size):
                return align(jittered, crop.size, shape)
        raise EmptyCropError(f"the target is seen too little of in {MOST_DRAWS} crops in a row")

    def _finish(self, plan: _Plan, rng: np.random.Generator) -> _Plan:
        """The plan with what is drawn last: brightness and the crop's own flip."""
        gain = rng.uniform(1 - self.config.brightness, 1 + self.config.brightness)
        mirrored = rng.random() < self.config.flip
        return plan._replace(gain=gain, mirrored=mirrored, box=mirror_box(plan.box, 1) if mirrored else plan.box)


class _Views:
    """Where a pair's pixels come from: the pool's crop store as far as it reaches, else the frames, each read once.

    ``flipped`` and ``grayscale`` say that the frames are mirrored and gray. ``missed`` counts the crops that a store
    did not have.
    """

    def __init__(
        self,
        pool: Pool,
        sequence: Sequence,
        frames: tuple[int, int],
        roles: tuple[_Role, _Role],
        config: DataConfig,
        flipped: bool,
        grayscale: bool,
    ) -> None:
        self.missed = 0
        self._sequence, self._flipped, self._grayscale = sequence, flipped, grayscale
        self._frames, self._roles, self._store = frames, roles, pool.crops
        self._stored = [
            None if pool.crops is None else pool.crops.find(sequence.name, frame, role.name)
            for frame, role in zip(frames, roles, strict=True)
        ]

        @functools.cache
        def open_frame(frame: int, fill: Fill) -> FrameView:
            return FrameView(open_image(sequence.frames[frame], config.decoder), fill, config.scaled_decoding)

        self._open_frame = open_frame

    def shapes(self) -> list[tuple[int, int]]:
        """Height and width of both frames. Raises ``ImageError``."""
        views = [self._frame(place) if stored is None else stored for place, stored in enumerate(self._stored)]
        return [view.shape for view in views]

    def boxes(self) -> list[np.ndarray]:
        """The targets' boxes in both frames, float64 ``[4]`` xywh in pixels. Raises ``ImageError``."""
        boxes = [self._sequence.boxes[frame] for frame in self._frames]
        if self._flipped:
            boxes = [mirror_box(box, shape[1] - 1) for box, shape in zip(boxes, self.shapes(), strict=True)]
        return boxes

    def crops(self, windows: tuple[Window | AlignedWindow, ...]) -> list[np.ndarray]:
        """The pixels of a window in each frame: ``[S, S, 3]``, uint8 or, if aligned, float32. Raises ``ImageError``."""
        flipped, grayscale = self._flipped, self._grayscale
        sizes = [role.crop.size for role in self._roles]
        found = [
            None if stored is None else stored.crop(window, size, flipped, grayscale)
            for stored, window, size in zip(self._stored, windows, sizes, strict=True)
        ]
        absent = [place for place in (0, 1) if found[place] is None]
        if len(absent) == 2 and self._frame(0) is self._frame(1):
            self._frame(0).keep(zip(windows, sizes, strict=True), flipped)
        for place in absent:
            found[place] = self._frame(place).crop(windows[place], sizes[place], flipped, grayscale)
        self.missed = len(absent) if self._store is not None else 0
        return found

    def _frame(self, place: int) -> FrameView:
        return self._open_frame(self._frames[place], self._roles[place].crop.fill)


def _as_tensors(pixels: np.ndarray, plan: _Plan) -> tuple[torch.Tensor, torch.Tensor, float]:
    """What a sample holds of a crop: pixels uint8 ``[3, S, S]``, the target's box and the gain."""
    if plan.mirrored:
        pixels = cv2.flip(pixels, 1)
    planes = np.empty((3, *pixels.shape[:2]), dtype=np.uint8)
    cv2.split(pixels, list(planes))  # into its place: stacking would copy it once more
    return torch.from_numpy(planes), torch.from_numpy(plan.box), plan.gain


def _drawable(pool: Pool) -> Positions:
    """The positions of the sequences that pairs can be drawn from; ``ValueError`` if there are none."""
    positions = drawable(pool)
    name = pool.sequences[0].dataset if len(pool.sequences) else "a dataset without sequences"
    if not len(positions):
        among = f" among the last one and each {pool.every}th" if pool.every > 1 else ""
        raise ValueError(
            f"{name}: no pair can be drawn from its {len(pool.sequences)} sequences: "
            f"a video needs {MIN_FRAMES} frames, {MIN_VISIBLE} of them with a visible target{among}"
        )
    logger.info("%s: pairs are drawn from %d of %d sequences", name, len(positions), len(pool.sequences))
    return positions


def _source(sequence: Sequence, frames: tuple[int, int]) -> str:
    names = sequence.frames
    template, search = (
        names.file_name(frame) if isinstance(names, FrameFiles) else names[frame].name for frame in frames
    )
    return f"{sequence.dataset} {sequence.name} {template} -> {search}"
