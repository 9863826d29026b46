"""Training pairs by number: sample n of a seed is always the same template and search crop."""

import functools
import logging
import math
from collections import abc
from dataclasses import replace
from typing import Literal, NamedTuple, Self

import cv2
import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from lib.config.schema import Section
from lib.data.appearance import AugmentConfig, Probability, stretch, stretch_box, vary_pair
from lib.data.augment import JitterConfig, Role, is_well_seen, jitter_box, jitter_mapping, mirror_box, scale_box
from lib.data.batch import Batch
from lib.data.croppers import AnyWindow, Cropper, FrameCropper
from lib.data.cutouts import CutoutsConfig
from lib.data.datasets.registry import DatasetName
from lib.data.decoding.images import ImageError, find_decoder, open_image
from lib.data.pools import Mixture, Pool
from lib.data.sampling import Pairing, draw_frames
from lib.data.types import Sequence
from lib.geometry.aligned import AlignedWindow, align
from lib.geometry.crop import CropConfig, EmptyCropError, Fill, box_to_crop, crop_mapping, crop_window, is_empty

logger = logging.getLogger(__name__)

FIRST_VALIDATION_NUMBER = 2**40
MAX_DAMAGED = 10
MAX_EMPTY = 100
MOST_DRAWS = 12  # of an aligned crop's jitter
# A crop is empty if there is padding at every pixel of this grid, as in the lineage: its models have patches of 16.
_TOKEN = 16


class SourceConfig(Section):
    """One split of a dataset to train on.

    * ``weight``: it is drawn in proportion to it.
    * ``annotated_every``: only frames whose number is a multiple of it, and the last of a video, are drawn; 30 is GRM's
      rule for TrackingNet, where people annotated one frame in 30.
    * ``cutouts``: the targets are cut out by their masks and pasted on videos of another dataset.
    """

    name: DatasetName
    split: str
    weight: PositiveFloat = 1.0
    annotated_every: PositiveInt = 1
    cutouts: CutoutsConfig | None = None


class DataConfig(Section):
    """The datasets to train on, and how pairs are drawn and varied. Defaults are the lineage's (GRM, OSTrack).

    * ``pairing``, ``max_gap``: with "causal" the search frame follows the template by at most ``max_gap - 1`` frames if
      the target is visible there; with "interval" (TransT: 100) it lies from ``max_gap`` before to ``max_gap - 1``
      after the template.
    * ``grayscale``, ``joint_flip``: probabilities for the whole pair; ``flip``: for each crop.
    * ``brightness``: 0.2 multiplies each crop by a factor from 0.8 to 1.2.
    * ``augment``: color, blur and resolution; all off by default.
    * ``store``: "crops" takes the pixels from crop stores (``crops`` in paths.yaml) if they hold them.
    * ``decoder``: of JPEG files; "auto" is the fastest that is installed. It changes no sample.
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
    workers: NonNegativeInt = 4

    @model_validator(mode="after")
    def _validation_is_whole(self) -> Self:
        if bool(self.val) != bool(self.val_samples):
            raise ValueError("val and val_samples belong together: name datasets and a number of samples, or neither")
        return self


class _Plan(NamedTuple):
    """All that was drawn for one crop: its window in the frame, the target's box in fractions of it (float32 ``[4]``
    xywh), the ratio by which it is stretched, the factor of its brightness, and whether it is mirrored."""

    window: AnyWindow
    box: np.ndarray
    aspect: float
    gain: float
    mirrored: bool


class Pairs:
    """Template and search pairs of several pools, by number.

    Raises ``ValueError`` as ``Mixture`` does, and for a decoder whose library is missing.
    """

    def __init__(
        self, config: DataConfig, pools: list[Pool], template: CropConfig, search: CropConfig, seed: int
    ) -> None:
        find_decoder(config.decoder)
        self.config, self.seed = config, seed
        self._mixture = Mixture(pools)
        jitters = config.template_jitter, config.search_jitter
        self._roles = [Role(crop=crop, jitter=jitter) for crop, jitter in zip((template, search), jitters, strict=True)]

    def sample(self, number: int) -> Batch:
        """Sample ``number`` as a batch of one, decided by it and the seed alone.

        After an empty crop the next draw comes from the same stream of random numbers; after a damaged image (logged)
        it comes from a new stream, so that it does not matter how far the damaged draw got. Raises ``ImageError`` after
        ``MAX_DAMAGED`` images and ``EmptyCropError`` after ``MAX_EMPTY`` crops, naming them.
        """
        damaged: list[str] = []
        empty: list[str] = []
        rng = self._stream(number, 0)
        while True:
            pool, sequence = self._mixture.draw(rng)
            frames = draw_frames(sequence, self.config.pairing, self.config.max_gap, rng, pool.every)
            try:
                sample = self._build(number, pool, sequence, frames, rng)
                return replace(sample, damaged=tuple(damaged), empty=tuple(empty))
            except ImageError as error:
                logger.warning("%s; sample %d is drawn again", error, number)
                damaged.append(str(error))
                if len(damaged) == MAX_DAMAGED:
                    listed = "; ".join(dict.fromkeys(damaged))
                    raise ImageError(f"{MAX_DAMAGED} unreadable images in sample {number}: {listed}") from error
                rng = self._stream(number, len(damaged))
            except EmptyCropError as error:
                empty.append(f"{_source(sequence, frames)}: {error}")
                if len(empty) == MAX_EMPTY:
                    raise EmptyCropError(
                        f"sample {number}: {MAX_EMPTY} crops in a row show nothing of their image "
                        f"(at last {empty[-1]}); check the boxes, or lower data.search_jitter"
                    ) from error

    def _stream(self, number: int, damaged: int) -> np.random.Generator:
        """The random numbers of a sample, anew after each damaged image."""
        spawned = (damaged,) if damaged else ()
        return np.random.default_rng(np.random.SeedSequence((self.seed, number), spawn_key=spawned))

    def _build(
        self, number: int, pool: Pool, sequence: Sequence, frames: tuple[int, int], rng: np.random.Generator
    ) -> Batch:
        """The sample of two frames. Both windows are drawn before a pixel is decoded."""
        config = self.config
        grayscale = rng.random() < config.grayscale
        flipped = rng.random() < config.joint_flip
        croppers, boxes, source = self._open(pool, sequence, frames, flipped, rng)
        shapes = [cropper.shape for cropper in croppers]  # of both, before more is drawn: damage shows here
        spans = 0.0, config.augment.still_aspect if sequence.image_set else 0.0
        plans = [
            self._plan(box, shape, role, span, rng)
            for box, shape, role, span in zip(boxes, shapes, self._roles, spans, strict=True)
        ]
        if croppers[0] is croppers[1]:
            croppers[0].keep([plan.window for plan in plans], flipped)
        crops, target_sizes = [], []
        for cropper, plan, role in zip(croppers, plans, self._roles, strict=True):
            size = role.crop.size
            crops.append(stretch(cropper.crop(plan.window, size, flipped, grayscale), plan.aspect))
            target_sizes.append(math.sqrt(plan.box[2] * plan.box[3]) * size)
        template, search = map(_as_tensors, vary_pair(crops, target_sizes, config.augment, rng), plans)
        return Batch((number,), *template, *search, (source,), missed=sum(cropper.missed for cropper in croppers))

    def _open(
        self, pool: Pool, sequence: Sequence, frames: tuple[int, int], flipped: bool, rng: np.random.Generator
    ) -> tuple[abc.Sequence[Cropper], list[np.ndarray], str]:
        """The croppers of both frames, the target's box in each (xywh in pixels, mirrored with its frame if
        ``flipped``), and a description of the pair. With cut-outs, the frames are those of a video on which the target
        is pasted."""
        config, crops, source = self.config, [role.crop for role in self._roles], _source(sequence, frames)
        if pool.cutouts is not None:
            drawn = pool.cutouts.draw(sequence, frames, config.pairing, config.max_gap, rng)
            pasted = pool.cutouts.open(drawn, crops, config.decoder, flipped)
            return (
                pasted,
                [cropper.box for cropper in pasted],
                f"{source} over {_source(drawn.video, drawn.video_frames)}",
            )

        @functools.cache  # a frame that both crops show alike is opened once
        def open_frame(frame: int, fill: Fill) -> FrameCropper:
            return FrameCropper(open_image(sequence.frames[frame], config.decoder), fill)

        croppers: list[Cropper] = []
        for role, frame, crop in zip(("template", "search"), frames, crops, strict=True):
            open_cropper = functools.partial(open_frame, frame, crop.fill)
            croppers.append(
                open_cropper() if pool.crops is None else pool.crops.cropper(sequence.name, frame, role, open_cropper)
            )
        boxes = [sequence.boxes[frame] for frame in frames]
        if flipped:
            boxes = [mirror_box(box, cropper.shape[1] - 1) for box, cropper in zip(boxes, croppers, strict=True)]
        return croppers, boxes, source

    def _plan(
        self, box: np.ndarray, shape: tuple[int, int], role: Role, span: float, rng: np.random.Generator
    ) -> _Plan:
        """The crop of a frame of that height and width around ``box``.

        With a ``span`` above 0 it is stretched by a ratio whose logarithm is uniform from -span to span: it shows more
        of the frame along one axis, and less along the other.
        """
        crop, aspect = role.crop, 1.0
        if crop.placement == "aligned":
            window = self._aligned_window(box, shape, role, rng)
            label = window.box_to_crop(box)
        else:
            jittered = jitter_box(box, role.jitter, rng, crop.context)
            aspect = math.exp(rng.uniform(-span, span)) if span else 1.0
            if aspect != 1:
                jittered = scale_box(jittered, math.sqrt(max(aspect, 1 / aspect)))
            window = crop_window(jittered, crop.factor, crop.context)
            if is_empty(shape, window, crop.size, _TOKEN):
                raise EmptyCropError(f"the {window.side} px crop at x={window.x1} y={window.y1} lies off the image")
            label = box_to_crop(box, jittered, crop.size / window.side, crop.size)
            label = label if aspect == 1 else stretch_box(label, aspect, crop.size)
        gain = rng.uniform(1 - self.config.brightness, 1 + self.config.brightness)
        mirrored = rng.random() < self.config.flip
        return _Plan(window, mirror_box(label, 1) if mirrored else label, aspect, gain, mirrored)

    def _aligned_window(
        self, box: np.ndarray, shape: tuple[int, int], role: Role, rng: np.random.Generator
    ) -> AlignedWindow:
        """The window around ``box``, jittered until the target is well seen in it, in at most ``MOST_DRAWS`` draws.

        After that the published code takes another pair at random; here the sample's next draw follows.
        """
        crop = role.crop
        mapping = crop_mapping(box, crop)
        if role.jitter == JitterConfig():
            return align(mapping, crop.size, shape)
        corners = np.concatenate((box[:2], box[:2] + box[2:]))
        for _ in range(MOST_DRAWS):
            jittered = jitter_mapping(mapping, box, role.jitter, crop.size, rng)
            if is_well_seen(jittered.to_crop(corners), crop.size):
                return align(jittered, crop.size, shape)
        raise EmptyCropError(f"too little of the target is seen in {MOST_DRAWS} crops in a row")


def _as_tensors(pixels: np.ndarray, plan: _Plan) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A crop's part of a batch of one: pixels uint8 ``[1, 3, S, S]``, the target's box and the gain."""
    if plan.mirrored:
        pixels = cv2.flip(pixels, 1)
    planes = np.empty((3, *pixels.shape[:2]), dtype=np.uint8)
    cv2.split(pixels, list(planes))  # into its place: stacking would copy once more
    gain = torch.tensor([plan.gain], dtype=torch.float64)
    return torch.from_numpy(planes)[None], torch.from_numpy(plan.box)[None], gain


def _source(sequence: Sequence, frames: tuple[int, int]) -> str:
    template, search = (sequence.frames[frame].name for frame in frames)
    return f"{sequence.dataset} {sequence.name} {template} -> {search}"
