"""Frames of sequences for the page: the first one, and the one where the predicted box overlaps least."""

import base64
from typing import NamedTuple

import cv2
import numpy as np

from lib.data.decoding.images import ImageError, open_image
from lib.data.types import Sequence
from lib.evaluation.metrics.scoring import annotation_of
from lib.evaluation.reports.comparison import ScoredRun
from lib.evaluation.reports.markup import Markup, make
from lib.geometry.overlaps import is_box, overlaps

WIDTH, QUALITY = 320, 75  # of a picture: pixels, and JPEG's


class Picture(NamedTuple):
    """A small frame with boxes as the content of an SVG element of ``size`` (width, height; pixels of the whole image),
    or ``missing``: the reason why there is none. ``caption`` names the frame, counted from 1; ``frame``
    is its number, from 0."""

    caption: str
    size: tuple[int, int] = (0, 0)
    content: Markup = Markup()
    missing: str = ""
    frame: int = 0


def first_picture(sequence: Sequence) -> Picture:
    """The first frame with its annotated box."""
    return _picture(sequence, 0, f"frame 1 of {len(sequence)}, ground truth", {"truth": sequence.boxes[0]})


def worst_picture(run: ScoredRun, sequence: Sequence, benchmark: str) -> Picture | None:
    """The frame after the first with the least overlap, the earliest of equals, with both boxes; None where no frame
    after the first has an annotated target."""
    try:
        predicted = run.results.boxes(annotation_of(sequence, benchmark))
    except ValueError as error:
        return Picture("", missing=str(error))
    rows = min(len(predicted), len(sequence.boxes))
    truth = sequence.boxes[:rows]
    found = np.where(is_box(truth), overlaps(truth, predicted[:rows]), np.inf)
    if sequence.absent is not None:
        found[np.asarray(sequence.absent[:rows], dtype=bool)] = np.inf
    found[:1] = np.inf  # given to the tracker
    if not np.isfinite(found).any():
        return None
    frame = int(np.argmin(found))
    boxes = {"truth": sequence.boxes[frame], "predicted": predicted[frame]}
    answer = "" if is_box(predicted[frame : frame + 1])[0] else ", no box predicted"
    caption = f"worst frame: {frame + 1} of {len(sequence)}, overlap {found[frame]:.2f}{answer}"
    return _picture(sequence, frame, caption, boxes)


def jpeg_address(pixels: np.ndarray) -> str:
    """A data address of the image, uint8 RGB, as a JPEG."""
    encoded, code = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert encoded, "an image of uint8 RGB is a JPEG"
    return f"data:image/jpeg;base64,{base64.b64encode(code.tobytes()).decode()}"


def _picture(sequence: Sequence, frame: int, caption: str, boxes: dict[str, np.ndarray]) -> Picture:
    try:
        image = open_image(sequence.frames[frame])
        height, width = image.shape
        pixels = image.pixels(shrink=next((factor for factor in (8, 4, 2) if width >= factor * WIDTH), 1))
    except ImageError as error:
        return Picture(caption, missing=str(error))
    if width > WIDTH:
        small = (WIDTH, max(1, round(height * WIDTH / width)))
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    shapes = [
        make("image", {"href": jpeg_address(pixels), "width": width, "height": height, "preserveAspectRatio": "none"})
    ]
    for kind, box in boxes.items():
        if is_box(box[None])[0]:
            x, y, w, h = (f"{value:.2f}" for value in box)
            shapes.append(make("rect", {"class": kind, "x": x, "y": y, "width": w, "height": h}))
    return Picture(caption, (width, height), Markup("".join(shapes)), frame=frame)
