"""Random changes of a training pair's look: color, blur and resolution. All are off by default."""

import math
from collections import abc
from typing import Annotated

import cv2
import numpy as np
from PIL import Image, ImageFilter
from pydantic import AfterValidator, Field, NonNegativeFloat

from lib.config.schema import Section
from lib.data.augment import to_grayscale

Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=1)]

SOLARIZE_THRESHOLD = 128
BLUR_RADII = (0.1, 2.0)


def _are_pixels(span: tuple[float, float]) -> tuple[float, float]:
    if not 1 <= span[0] <= span[1]:
        raise ValueError("should be two numbers from 1 on, the smaller first, such as [12, 48]")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_are_pixels)]


class ColorJitterConfig(Section):
    """Color jitter as torchvision's ``ColorJitter`` has it: each factor is uniform in 1 - value to 1 + value.

    ``joint`` gives template and search the same factors in the same order; otherwise each has its own.
    """

    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    joint: bool = False


class ReducedResolutionConfig(Section):
    """A ``share`` of the crops is shrunk and enlarged again, each by itself, so that they look like small targets.

    The target's size sqrt(w * h) is drawn from ``target``, in crop pixels; a crop with a smaller target stays as it is.
    """

    share: Probability = 0.0
    target: Span = (12.0, 48.0)


class MotionBlurConfig(Section):
    """A ``share`` of the crops is blurred, each by itself, along a line of any direction; ``length`` in crop pixels."""

    share: Probability = 0.0
    length: Span = (3.0, 15.0)


class AugmentConfig(Section):
    """How the crops of a pair are varied, in addition to flips, grayscale and brightness (``DataConfig``).

    * ``color``: brightness, contrast and saturation.
    * ``channels``: each channel of each crop is multiplied by a factor of its own, uniform in 1 - value to 1 + value.
    * ``three``: probability that the pair, both crops alike, is made gray, solarized or blurred (DeiT III, LoRAT).
    * ``motion_blur``, ``reduced_resolution``: see ``MotionBlurConfig``, ``ReducedResolutionConfig``.
    * ``still_aspect``: where both crops show one image, the search crop is stretched: the ratio of its axes is the
      exponential of a number uniform in -value to value.
    """

    color: ColorJitterConfig = ColorJitterConfig()
    channels: Strength = 0.0
    three: Probability = 0.0
    motion_blur: MotionBlurConfig = MotionBlurConfig()
    reduced_resolution: ReducedResolutionConfig = ReducedResolutionConfig()
    still_aspect: NonNegativeFloat = 0.0


def vary_pair(
    crops: abc.Sequence[np.ndarray], target_sizes: abc.Sequence[float], config: AugmentConfig, rng: np.random.Generator
) -> list[np.ndarray]:
    """The crops of a pair, varied: RGB ``[S, S, 3]``, uint8 and contiguous, from uint8 or float32.

    ``target_sizes`` are the targets' sqrt(w * h) in crop pixels. A part that is off draws no random number, and crops
    that nothing changes are returned as they are.
    """
    varied = _vary_colors(crops, config, rng)
    blur, resolution = config.motion_blur, config.reduced_resolution
    for place, size in enumerate(target_sizes):
        if blur.share and rng.random() < blur.share:
            varied[place] = blur_along_line(varied[place], rng.uniform(*blur.length), rng.uniform(0, math.pi))
        if resolution.share and rng.random() < resolution.share:
            varied[place] = reduce_resolution(varied[place], rng.uniform(*resolution.target) / size)
    if config.three and rng.random() < config.three:
        change = (to_grayscale, solarize, _drawn_blur(rng))[rng.integers(3)]
        varied = [change(crop) for crop in varied]
    return varied


def jitter_colors(image: np.ndarray, changes: abc.Sequence[tuple[str, float]]) -> np.ndarray:
    """Changes of brightness, contrast and saturation, in order and by a factor each, of a float32 RGB image
    ``[H, W, 3]`` of values up to 255, in place.

    Equal to torchvision's ``adjust_brightness``, ``adjust_contrast`` and ``adjust_saturation`` of float images: the
    factor mixes the image with black, with the mean of its gray image, and with its gray image; clamped each time.
    """
    for name, factor in changes:
        if factor == 1:
            continue
        gray = None if name == "brightness" else cv2.transform(image, _GRAY)
        image *= np.float32(factor)
        if name == "contrast":
            image += np.float32((1 - factor) * cv2.mean(gray)[0])
        elif name == "saturation":
            image += (gray * np.float32(1 - factor))[:, :, None]
        np.clip(image, 0, 255, out=image)
    return image


def blur_along_line(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """The mean of the uint8 image along a centered line of ``length`` pixels, ``angle`` in radians; the border is
    repeated outside."""
    return cv2.filter2D(image, -1, line_kernel(length, angle), borderType=cv2.BORDER_REPLICATE)


def line_kernel(length: float, angle: float) -> np.ndarray:
    """float32 weights of sum 1, point-symmetric, of a line through the middle.

    Each point along the line is shared among the four pixels around it as in bilinear interpolation.
    """
    reach = math.ceil(length / 2)
    along = ((np.arange(8 * reach) + 0.5) / (8 * reach) - 0.5) * length
    x, y = along * math.cos(angle) + reach, along * math.sin(angle) + reach
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
        np.add.at(kernel, (top + down, left + right), (1 - abs(left + right - x)) * (1 - abs(top + down - y)))
    return (kernel[:-1, :-1] / len(along)).astype(np.float32)


def reduce_resolution(image: np.ndarray, scale: float) -> np.ndarray:
    """The uint8 image shrunk to ``scale`` of its side (means of pixels) and enlarged again (bilinear); unchanged for a
    scale of 1 or more."""
    height, width = image.shape[:2]
    small = max(1, round(width * scale)), max(1, round(height * scale))
    if scale >= 1 or small == (width, height):
        return image
    return cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))


def solarize(image: np.ndarray) -> np.ndarray:
    """The uint8 image with values from 128 on inverted."""
    return np.where(image < SOLARIZE_THRESHOLD, image, 255 - image)


def stretch(image: np.ndarray, ratio: float) -> np.ndarray:
    """The middle of the uint8 image, enlarged by ``ratio`` along x, or by 1 / ``ratio`` along y if that is below 1.

    Its width to height changes by ``ratio``; the image's size stays. A ratio of 1 returns the image itself.
    """
    if ratio == 1:
        return image
    height, width = image.shape[:2]
    x, y = max(ratio, 1.0), max(1 / ratio, 1.0)
    # A pixel's middle at u + 0.5 comes from the middle of the image plus its distance from there over the factor.
    to_image = np.array([[1 / x, 0, (width - 1) / 2 * (1 - 1 / x)], [0, 1 / y, (height - 1) / 2 * (1 - 1 / y)]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, to_image, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE)


def stretch_box(box_xywh: np.ndarray, ratio: float, size: int) -> np.ndarray:
    """The box after ``stretch``, xywh in fractions of the crop; the crop's middle lies at (size - 1) / 2 pixels, as in
    ``lib.geometry.crop.box_to_crop``."""
    factors = np.array((max(ratio, 1.0), max(1 / ratio, 1.0)), dtype=box_xywh.dtype)
    middle = (size - 1) / 2 / size
    return np.concatenate((middle + (box_xywh[:2] - middle) * factors, box_xywh[2:] * factors)).astype(box_xywh.dtype)


# Weights of torchvision's rgb_to_grayscale.
_GRAY = np.array([[0.2989, 0.587, 0.114]], dtype=np.float32)


def _vary_colors(crops: abc.Sequence[np.ndarray], config: AugmentConfig, rng: np.random.Generator) -> list[np.ndarray]:
    color = config.color
    jittered = bool(color.brightness or color.contrast or color.saturation)
    if not (jittered or config.channels):
        return [crop if crop.dtype == np.uint8 else np.rint(crop).astype(np.uint8) for crop in crops]
    changes = _draw_changes(color, rng) if jittered and color.joint else None
    varied = []
    for crop in crops:
        image = crop.astype(np.float32)
        if config.channels:
            image *= rng.uniform(1 - config.channels, 1 + config.channels, 3).astype(np.float32)
            np.clip(image, 0, 255, out=image)
        if jittered:
            image = jitter_colors(image, changes or _draw_changes(color, rng))
        varied.append(image.astype(np.uint8))  # truncated, as in LoRAT and torchvision
    return varied


def _draw_changes(config: ColorJitterConfig, rng: np.random.Generator) -> list[tuple[str, float]]:
    order = rng.permutation(3).tolist()
    spans = {"brightness": config.brightness, "contrast": config.contrast, "saturation": config.saturation}
    changes = [(name, rng.uniform(1 - span, 1 + span)) for name, span in spans.items()]
    return [changes[number] for number in order]


def _drawn_blur(rng: np.random.Generator) -> abc.Callable[[np.ndarray], np.ndarray]:
    radius = rng.uniform(*BLUR_RADII)
    return lambda image: np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
