"""Look and place: from an image and a target to a crop, and from a box in the crop back to the target.

Both are numpy and may run in any thread. *Find*, the network (``lib.inference.network``), comes between them.
"""

import math
from collections import abc
from typing import NamedTuple

import numpy as np

from lib.data.decoding.images import EncodedImage
from lib.geometry.aligned import AlignedWindow
from lib.geometry.clip import clip_box, clip_center, clip_inside, raise_sides
from lib.geometry.crop import (
    CropConfig,
    Padding,
    Window,
    box_from_crop,
    box_to_crop,
    crop_window,
    cut,
    mean_color,
    padding_value,
    truncated_box,
    window_of,
)
from lib.inference.recovery import is_searched, place_to_search
from lib.inference.settings import TrackerConfig, TrackSettings

# Pixels RGB uint8 [H, W, 3], or the bytes of an image file; a crop decodes only its region.
Image = np.ndarray | EncodedImage
Boxlike = np.ndarray | abc.Sequence[float]
# Times the image's width or height: a larger first box is a mistake, and its crop would take gigabytes.
_LARGEST = 4


class Target(NamedTuple):
    """Last known place of a target.

    ``box`` float64 ``[4]`` xywh in image pixels; ``padding`` fills search crops outside the image (with fill "mean" the
    mean color of the first frame, in every frame, as in TransT); ``least`` is the least side of a box, in image pixels,
    for the window around it. With recovery, ``lost`` counts the frames since the score was last high enough, and
    ``seen`` is the box there, None until the target is lost.
    """

    box: np.ndarray
    padding: Padding
    least: float = 0.0
    lost: int = 0
    seen: np.ndarray | None = None


class View(NamedTuple):
    """A crop: ``pixels`` RGB ``[S, S, 3]``, uint8 or, if aligned, float32, of ``window``, which lies around ``box``
    (xywh in image pixels) in an image of ``height`` and ``width``."""

    pixels: np.ndarray
    window: Window | AlignedWindow
    box: np.ndarray
    height: int
    width: int


class FirstView(NamedTuple):
    """The first frame of a target: the template's ``view`` and the target's ``box`` in it, float32 ``[4]`` xywh in
    fractions of the crop."""

    target: Target
    view: View
    box: np.ndarray


def begin(image: Image, box: Boxlike, settings: TrackSettings) -> FirstView:
    """The target at ``box`` (xywh in pixels) of ``image``, and its template crop.

    Raises ``ValueError`` for another kind of image and for a box without size, wholly outside the image or much larger,
    and ``lib.data.decoding.images.ImageError`` for a damaged image.
    """
    check_image(image)
    checked = checked_box(box, image.shape)
    crop = settings.template
    view = look(image, Target(checked, _padding(image, crop)), crop)
    least = settings.tracker.clip_margin if settings.tracker.clip == "inside" else 0
    target = Target(checked, _padding(image, settings.search), least)
    if isinstance(view.window, AlignedWindow):
        return FirstView(target, view, view.window.box_to_crop(checked))
    resize_factor = crop.size / view.window.side
    if settings.tracker.template_box == "truncated":
        return FirstView(target, view, truncated_box(checked, resize_factor, crop.size))
    return FirstView(target, view, box_to_crop(checked, checked, resize_factor, crop.size))


def look(image: Image, target: Target, crop: CropConfig) -> View:
    """The crop around the target's last box, or where a lost one is searched for. Raises as ``begin`` does."""
    check_image(image)
    height, width = image.shape[:2]
    box = target.box
    if target.seen is not None and is_searched(target.lost):
        side = crop_window(raise_sides(target.seen, target.least), crop.factor, crop.context).side
        box = place_to_search(target.seen, target.lost, side, height, width)
    window = window_of(raise_sides(box, target.least), crop, image.shape)
    if isinstance(image, np.ndarray):
        pixels = cut(image, window, crop.size, target.padding)
    else:
        shown = image.pixels(window.inside(image.shape))
        pixels = window.fit(shown, image.shape, crop.size, target.padding)
    return View(pixels, window, box, height, width)


def place(found_box: np.ndarray, score: float, view: View, config: TrackerConfig) -> np.ndarray:
    """The target's new box, float64 ``[4]`` xywh in image pixels, kept at the image by ``config.clip``.

    ``found_box`` is cxcywh in fractions of the crop. Raises ``ValueError`` for a box or score that is not finite.
    """
    if isinstance(view.window, AlignedWindow):
        box = view.window.box_from_crop(found_box)
    else:
        size = view.pixels.shape[0]
        box = box_from_crop(found_box, view.box, size / view.window.side, size)
    if not (np.isfinite(box).all() and math.isfinite(score)):
        raise ValueError("the network's box or score is not finite: its weights are damaged; take another checkpoint")
    if config.clip == "inside":
        clipped = clip_inside(box, view.height, view.width)
        return view.box.copy() if clipped is None else clipped
    clip = clip_box if config.clip == "margin" else clip_center
    return clip(box, view.height, view.width, config.clip_margin)


def keep(target: Target, box: np.ndarray, score: float, config: TrackerConfig) -> Target:
    """The target after a frame in which ``place`` gave ``box`` with this ``score``, for ``look`` in the next frame. A
    target that is searched for keeps its box until its score is high enough."""
    if not config.recover:
        return target._replace(box=box)
    if not config.is_lost(score):
        return target._replace(box=box, lost=0, seen=None)
    seen = target.box if target.seen is None else target.seen
    followed = target.box if is_searched(target.lost) else box
    return target._replace(box=followed, lost=target.lost + 1, seen=seen)


def _padding(image: Image, crop: CropConfig) -> Padding:
    if crop.fill == "zero":
        return 0
    pixels = image if isinstance(image, np.ndarray) else image.pixels()
    return mean_color(pixels) if crop.placement == "aligned" else padding_value(pixels, crop.fill)


def check_image(image: Image) -> None:
    """Raise ``ValueError`` for what is no RGB image."""
    if isinstance(image, EncodedImage):
        return
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
        found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"an image is an RGB uint8 array [H, W, 3], not {found}")
    if 0 in image.shape:
        raise ValueError(f"an image of {image.shape[1]} x {image.shape[0]} pixels holds no target")


def checked_box(box: Boxlike, image_shape: abc.Sequence[int]) -> np.ndarray:
    """``box`` as float64 ``[4]``, its own copy; ``ValueError`` as ``begin`` raises."""
    checked = np.array(box, dtype=np.float64)
    if checked.shape != (4,):
        raise ValueError(f"a first box is four numbers x, y, w, h, not an array of shape {list(checked.shape)}")
    x, y, w, h = checked
    if not np.isfinite(checked).all() or w <= 0 or h <= 0:
        raise ValueError(f"the first box {checked.tolist()} has no size; x, y, w, h must be finite, w and h above 0")
    height, width = image_shape[:2]
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(f"the first box {checked.tolist()} lies outside the image of {width} x {height} pixels")
    if w > _LARGEST * width or h > _LARGEST * height:
        raise ValueError(
            f"the first box {checked.tolist()} is more than {_LARGEST} times as wide or high as the image of {width} x "
            f"{height} pixels"
        )
    return checked
