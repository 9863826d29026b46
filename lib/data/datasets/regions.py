"""The boxes of VOT's regions: boxes, polygons, masks and codes in a line of text."""

import numpy as np

from lib.data.files.texts import parse_numbers

UNKNOWN_BOX = (np.nan,) * 4


def region_box(text: str) -> tuple[float, float, float, float]:
    """The box xywh in pixels of a line of a VOT ground truth; NaN where the place of the target is unknown.

    * Four numbers are the box.
    * Six or more, an even number, are a polygon x,y,x,y,...; its box goes from the smallest to the largest coordinates
      of its corners, as in pytracking and OSTrack (not in the got10k toolkit).
    * One number is a code (1 the tracker is started, 2 it failed, 0 unknown); NaN anywhere means unknown as well.
    * ``m`` and whole numbers are a mask, see ``mask_box``.

    Numbers may have commas or blanks between them, as copies of VOT2018 do. Raises ``ValueError`` for anything else.
    """
    values = parse_numbers(text.removeprefix("m"))
    if text.startswith("m"):
        if not all(map(float.is_integer, values)):
            raise ValueError("a mask has whole numbers")
        return mask_box(list(map(int, values)))
    if len(values) not in (1, 4) and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"{len(values)} numbers are no region")
    if len(values) == 1 or not np.isfinite(values).all():
        return UNKNOWN_BOX
    if len(values) == 4:
        return tuple(values)
    left, top, right, bottom = min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    return left, top, right - left, bottom - top


def mask_box(numbers: list[int]) -> tuple[float, float, float, float]:
    """The smallest box xywh around a mask ``x0, y0, w, h, run, run, ...``; NaN if it has no pixel.

    The runs are lengths of zeros and ones in turn, zeros first, along the rows of the ``w`` x ``h`` pixels from
    ``(x0, y0)`` on; pixels after the last run are zero (votchallenge/toolkit, vot/region/io.py). The box of one pixel
    is 1 x 1. Raises ``ValueError`` for runs that do not fit.
    """
    if len(numbers) < 4:
        raise ValueError("a mask begins with four numbers")
    x0, y0, width, height, *runs = numbers
    if min(width, height, *runs) < 0 or sum(runs) > width * height:
        raise ValueError(f"{sum(runs)} pixels in runs do not fit a mask of {width} x {height}")
    places = np.flatnonzero(np.repeat(np.arange(len(runs)) % 2 == 1, runs))
    if len(places) == 0:
        return UNKNOWN_BOX
    rows, columns = np.divmod(places, width)
    return float(x0 + columns.min()), float(y0 + rows.min()), float(np.ptp(columns) + 1), float(np.ptp(rows) + 1)
