"""One tracked video: the template once, then a window, the network and a box for every frame."""

from __future__ import annotations

import math
from collections.abc import Sequence as Boxlike
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lib.config.schema import Section
from lib.data.types import TrackResult
from lib.geometry.boxes import clip_box, clip_center
from lib.geometry.crop import (
    CropConfig,
    Value,
    Window,
    box_from_crop,
    box_to_crop,
    crop_window,
    cut,
    padding_value,
    truncated_box,
)
from lib.geometry.grids import hann_window, hann_window_to_zero
from lib.models.base import Prediction, TrackingModel, normalise


class TrackerConfig(Section):
    """How candidate boxes become one box.

    * ``window``: "multiply" weighs the scores with a Hann window before the best is taken (OSTrack, GRM), "blend" takes
      ``1 - penalty`` of the scores and ``penalty`` of a Hann window that is 0 at the border (TransT), "none" does not.
    * ``clip``: what keeps the box at the image. "margin": ``clip_margin`` pixels of it stay inside (OSTrack's
      lineage); "center": its centre stays inside, and its sides between ``clip_margin`` and the image's (TransT).
    * ``template_box``: the target's box in the template crop, as the network is told it. "label": centred like the
      labels of training; "truncated": its corner cut to whole crop pixels, as SimTrack's published tracker does.
    """

    window: Literal["multiply", "blend", "none"] = "multiply"
    penalty: float = Field(default=0.49, ge=0, le=1)
    clip: Literal["margin", "center"] = "margin"
    clip_margin: int = Field(default=10, ge=1)
    template_box: Literal["label", "truncated"] = "label"


class Tracker:
    """Follows one target with ``model``, which is moved to ``device`` and put into eval mode.

    Between calls it keeps ``state`` (the encoded template), ``box`` (the last box, float64 ``[4]`` xywh in pixels) and
    ``network_seconds`` (what the network alone took in the last call; crop and transfer to the device not counted).
    A crop whose fill is "mean" shows the mean colour of the first frame outside every frame, as in TransT.
    """

    def __init__(
        self,
        model: TrackingModel,
        template: CropConfig,
        search: CropConfig,
        config: TrackerConfig,
        device: str | torch.device,
    ) -> None:
        self.model = model.to(device).eval()
        self.device = torch.device(device)
        self.state: Any = None
        self.box: np.ndarray | None = None
        self.network_seconds = 0.0
        self._template = template
        self._search = search
        self._config = config
        self._search_padding: Value = 0
        self._hann: Tensor | None = None

    @torch.inference_mode()
    def init(self, image: np.ndarray, box: np.ndarray | Boxlike[float]) -> None:
        """Take the target from ``image`` (RGB uint8 ``[H, W, 3]``) at ``box`` (xywh in pixels).

        Raises ``ValueError`` for another kind of image and for a box without size or wholly outside the image.
        """
        _check_image(image)
        box = _checked_box(box, image.shape)
        window = crop_window(box, self._template.factor, self._template.context)
        size = self._template.size
        if self._config.template_box == "label":
            crop_box = torch.as_tensor(box_to_crop(box, box, size / window.side, size), dtype=torch.float32)
        else:
            crop_box = torch.as_tensor(truncated_box(box, size / window.side, size), dtype=torch.float32)
        pixels = self._pixels(image, window, size, padding_value(image, self._template.fill))
        started = self._now()
        self.state = self.model.encode_template(pixels, crop_box[None].to(self.device))
        self.network_seconds = self._now() - started
        self.box = box
        self._search_padding = padding_value(image, self._search.fill)

    @torch.inference_mode()
    def update(self, image: np.ndarray) -> TrackResult:
        """The target's box in the next ``image`` (RGB uint8 ``[H, W, 3]``).

        The score is the network's own for the chosen box, before the Hann window. Raises ``ValueError`` for another
        kind of image and where the network answers NaN.
        """
        assert self.box is not None, "update() before init()"
        _check_image(image)
        window = crop_window(self.box, self._search.factor, self._search.context)
        size = self._search.size
        pixels = self._pixels(image, window, size, self._search_padding)
        started = self._now()
        prediction = self.model.locate(self.state, pixels)
        self.network_seconds = self._now() - started

        crop_box, score = self._choose(prediction)
        box = box_from_crop(crop_box, self.box, size / window.side, size)
        if not (np.isfinite(box).all() and math.isfinite(score)):
            raise ValueError("the network answered a box or score that is not finite: its weights are no good")
        clip = clip_box if self._config.clip == "margin" else clip_center
        self.box = clip(box, image.shape[0], image.shape[1], self._config.clip_margin)
        return TrackResult(self.box.copy(), score)

    def _pixels(self, image: np.ndarray, window: Window, size: int, padding: Value) -> Tensor:
        crop = torch.from_numpy(cut(image, window, size, padding)).to(self.device)
        return normalise(crop.permute(2, 0, 1)[None])

    def _choose(self, prediction: Prediction) -> tuple[np.ndarray, float]:
        """The best candidate: its box, cxcywh in fractions of the crop, and its score before the window."""
        scores = prediction.scores[0]
        best = int(self._weighed(scores).argmax())
        return prediction.boxes[0, best].float().cpu().numpy(), float(scores[best])

    def _weighed(self, scores: Tensor) -> Tensor:
        """The scores ``[N]`` of the cells of a square grid, row by row, in favour of the middle."""
        if self._config.window == "none":
            return scores
        if self._hann is None or len(self._hann) != len(scores):
            cells = math.isqrt(len(scores))
            assert cells * cells == len(scores), f"{len(scores)} candidates are no square grid"
            shape = hann_window if self._config.window == "multiply" else hann_window_to_zero
            self._hann = shape(cells).flatten().to(self.device)
        if self._config.window == "multiply":
            return scores * self._hann
        return (1 - self._config.penalty) * scores + self._config.penalty * self._hann

    def _now(self) -> float:
        """Seconds, after the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()


def _check_image(image: np.ndarray) -> None:
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"an image is an RGB uint8 array [H, W, 3], not {found}")
    if 0 in image.shape:
        raise ValueError(f"an image of {image.shape[1]} x {image.shape[0]} pixels holds no target")


def _checked_box(box: np.ndarray | Boxlike[float], image_shape: tuple[int, ...]) -> np.ndarray:
    """``box`` as float64 ``[4]``, its own copy."""
    checked = np.array(box, dtype=np.float64)
    if checked.shape != (4,):
        raise ValueError(f"a first box is four numbers x, y, w, h, not an array of shape {list(checked.shape)}")
    x, y, w, h = checked
    if not np.isfinite(checked).all() or w <= 0 or h <= 0:
        raise ValueError(f"the first box {checked.tolist()} has no size; x, y, w, h must be finite, w and h above 0")
    height, width = image_shape[:2]
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(f"the first box {checked.tolist()} lies outside the image of {width} x {height} pixels")
    return checked
