"""Training pairs by number: sample n of a seed is always the same template and search crop."""

from __future__ import annotations

import logging
from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from lib.config.schema import Section
from lib.data.augment import JitterConfig, jitter_box, mirror_box, to_grayscale
from lib.data.datasets.registry import check_dataset
from lib.data.images import ImageError, read_image
from lib.data.sampling import MIN_FRAMES, MIN_VISIBLE, can_be_drawn, draw_frames, draw_sequence
from lib.data.types import Sample, Sequence
from lib.geometry.crop import CropConfig, box_to_crop, crop_window, cut, padding_mask

logger = logging.getLogger(__name__)

FIRST_VALIDATION_NUMBER = 2**40
MAX_DAMAGED = 10
MAX_EMPTY = 100
# A crop is empty if no pixel of the picture reaches the token grid; all published models have patches of 16.
_TOKEN = 16

Probability = Annotated[float, Field(ge=0, le=1)]


class SourceConfig(Section):
    """One split of a dataset, and how often it is drawn beside the others."""

    name: str
    split: str
    weight: PositiveFloat = 1.0

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        check_dataset(name)
        return name


class DataConfig(Section):
    """What is trained on and how pairs are drawn and varied. Defaults are the lineage's (GRM, OSTrack).

    * ``max_gap``: the search frame follows the template by at most ``max_gap - 1`` frames, if a visible one is there.
    * ``grayscale``, ``joint_flip``: probabilities for the pair as a whole; ``flip``: for each crop by itself.
    * ``brightness``: 0.2 multiplies each crop by a factor from 0.8 to 1.2.
    * ``workers``: processes that prepare samples, in each training process; 0 prepares them in the training process.
    """

    train: tuple[SourceConfig, ...] = Field(min_length=1)
    val: tuple[SourceConfig, ...] = ()
    samples_per_epoch: PositiveInt
    val_samples: NonNegativeInt = 0
    max_gap: int = Field(default=200, ge=2)
    template_jitter: JitterConfig = JitterConfig()
    search_jitter: JitterConfig
    grayscale: Probability = 0.05
    joint_flip: Probability = 0.5
    flip: Probability = 0.5
    brightness: Probability = 0.2
    workers: NonNegativeInt = 4

    @model_validator(mode="after")
    def _validation_is_whole(self) -> DataConfig:
        if bool(self.val) != bool(self.val_samples):
            raise ValueError("val and val_samples belong together: name datasets and a number of samples, or neither")
        return self


class EmptyCropError(ValueError):
    """A crop that shows nothing of the picture."""


class Pairs:
    """Template and search pairs of several datasets, by number.

    ``datasets`` are (weight, sequences); each is drawn in proportion to its weight and its sequences equally often.
    Those too short or too seldom visible are left out (their number is logged); ``ValueError`` if nothing is left.
    """

    def __init__(
        self,
        config: DataConfig,
        datasets: list[tuple[float, list[Sequence]]],
        template: CropConfig,
        search: CropConfig,
        seed: int,
    ) -> None:
        self.config, self.template, self.search, self.seed = config, template, search, seed
        weights = np.array([weight for weight, _ in datasets])
        self._shares = weights / weights.sum()
        self._datasets = [_drawable(sequences) for _, sequences in datasets]

    def sample(self, number: int) -> Sample:
        """Sample ``number``, decided by it and the seed alone.

        An empty crop, or a damaged image (logged), is drawn again from the same stream. Raises ``ImageError`` after
        ``MAX_DAMAGED`` images, ``EmptyCropError`` after ``MAX_EMPTY`` crops, naming them.
        """
        rng = np.random.default_rng((self.seed, number))
        damaged: list[str] = []
        empty: list[str] = []
        while True:
            sequence = draw_sequence(self._datasets, self._shares, rng)
            frames = draw_frames(sequence, self.config.max_gap, rng)
            try:
                return self._build(number, sequence, frames, (*damaged, *empty), rng)
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
        sequence: Sequence,
        frames: tuple[int, int],
        redrawn: tuple[str, ...],
        rng: np.random.Generator,
    ) -> Sample:
        """The sample of two frames; what changes both images alike is drawn first."""
        grayscale = rng.random() < self.config.grayscale
        flipped = rng.random() < self.config.joint_flip
        views = {}
        for frame in dict.fromkeys(frames):
            image, box = read_image(sequence.frames[frame]), sequence.boxes[frame]
            if grayscale:
                image = to_grayscale(image)
            if flipped:
                image, box = cv2.flip(image, 1), mirror_box(box, image.shape[1] - 1)
            views[frame] = image, box
        template, template_box, template_gain = self._crop(
            *views[frames[0]], self.template, self.config.template_jitter, rng
        )
        search, search_box, search_gain = self._crop(*views[frames[1]], self.search, self.config.search_jitter, rng)
        return Sample(
            number, template, template_box, template_gain, search, search_box, search_gain,
            _source(sequence, frames), redrawn,
        )  # fmt: skip

    def _crop(
        self, image: np.ndarray, box: np.ndarray, crop: CropConfig, jitter: JitterConfig, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Pixels uint8 ``[3, S, S]``, the target's box in fractions of the crop, and the brightness factor."""
        jittered = jitter_box(box, jitter, rng)
        try:
            window = crop_window(jittered, crop.factor)
        except ValueError as error:
            raise EmptyCropError(str(error)) from error
        if padding_mask(image.shape, window, crop.size)[::_TOKEN, ::_TOKEN].all():
            raise EmptyCropError(f"the {window.side} px crop at x={window.x1} y={window.y1} lies off the image")
        pixels = cut(image, window, crop.size)
        label = box_to_crop(box, jittered, crop.size / window.side, crop.size)
        gain = rng.uniform(1 - self.config.brightness, 1 + self.config.brightness)
        if rng.random() < self.config.flip:
            pixels, label = cv2.flip(pixels, 1), mirror_box(label, 1)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), torch.from_numpy(label), gain


def _drawable(sequences: list[Sequence]) -> list[Sequence]:
    """The sequences that pairs can be drawn from; ``ValueError`` if there are none."""
    drawable = [sequence for sequence in sequences if can_be_drawn(sequence)]
    name = sequences[0].dataset if sequences else "a dataset without sequences"
    if not drawable:
        raise ValueError(
            f"{name}: no pair can be drawn from its {len(sequences)} sequences: "
            f"a video needs {MIN_FRAMES} frames, {MIN_VISIBLE} of them with a visible target"
        )
    logger.info("%s: pairs are drawn from %d of %d sequences", name, len(drawable), len(sequences))
    return drawable


def _source(sequence: Sequence, frames: tuple[int, int]) -> str:
    template, search = (sequence.frames[frame].name for frame in frames)
    return f"{sequence.dataset} {sequence.name} {template} -> {search}"
