"""The order of frames and sequences by the numbers in their names, and the frames that these numbers show as lost."""

import re
from collections import abc
from decimal import Decimal
from itertools import pairwise

from lib.data.types import NumberedNames

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

# A sign counts where no letter or digit is before it. Two numbers with a point between them are one decimal; three or
# more, such as a date, are whole numbers each.
_NUMBER = re.compile(r"((?:(?<![^\W_])[+-])?(?:(?<!\d[.,])\d+[.,]\d+(?![.,]?\d)|\d+))")

Key = tuple[str | Decimal, ...]


def is_image(name: str) -> bool:
    """Whether a file's name has the suffix of an image, in small letters or capitals; hidden files are no images."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def natural_order(name: str) -> Key:
    """A key for ``sorted`` that compares the numbers in names by value: 9 before 10, 2.25 before 2.5, -1 before 0.

    It holds the parts of the name, text and number in turn; the first and the last are texts.
    """
    parts = _NUMBER.split(name)
    return tuple(Decimal(part.replace(",", ".")) if place % 2 else part for place, part in enumerate(parts))


def order_frames(
    names: abc.Sequence[str], folder: object, first: int | None = None, rows: int | None = None
) -> tuple[abc.Sequence[str], str]:
    """The images of a folder in the order of the numbers in their names, without numbers as text, and a note.

    Raises ``ValueError`` naming the ``folder`` in one line where that order is ambiguous: two names differ in no number
    (1.jpg and 1.png, 1.jpg and 01.jpg), or first in a text (left_1.jpg and right_1.jpg), or all numbers have a minus.

    A number left out is a lost frame: an error too, but only a note if there are as many ``rows`` of boxes as images,
    since whoever removes frames removes their rows. Frames are numbered by a step, the smallest between two of them;
    with ``first`` the step is 1, from that number or a smaller one on. Decimals, and whole numbers with distances that
    are no multiples of a step, are times: they show no loss. The note is empty if no frame is lost.
    """
    keys = {name: natural_order(name.rpartition(".")[0]) for name in names}
    ordered = sorted(names, key=lambda name: (keys[name], name))
    numbered = len({key[1::2] for key in keys.values()}) > 1
    for one, other in pairwise(ordered):
        if keys[one] == keys[other]:
            raise ValueError(f"{folder}: {one} and {other} are one frame twice; remove one of them")
        if numbered and _place(keys[one], keys[other]) % 2 == 0:
            raise _ambiguous(folder, one, other)
    note = ""
    if numbered or first is not None:
        place = _place(keys[ordered[0]], keys[ordered[-1]]) if numbered else 1
        numbers = [keys[name][place] for name in ordered]
        if all(number.is_signed() for number in numbers):
            raise _ambiguous(folder, ordered[0], ordered[-1])
        whole = all(number.as_tuple().exponent == 0 for number in numbers)
        if whole and len(set(numbers)) == len(names) and (lost := _lost(ordered, list(map(int, numbers)), first)):
            note = f"{folder}: {lost}; copy or unpack the sequence again, or number the images in a row if none is lost"
            if rows != len(names):
                raise ValueError(note)
    return shorten(ordered), note


def _place(one: Key, other: Key) -> int:
    """The first place where two keys differ, even for a text; 0 where one of them is only longer."""
    return next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)


def _ambiguous(folder: object, one: str, other: str) -> ValueError:
    return ValueError(
        f"{folder}: whether {one} or {other} comes first is ambiguous; name the images by the numbers of their frames "
        "(00000001.jpg), and put those of another video or kind into another folder"
    )


def _lost(names: abc.Sequence[str], numbers: abc.Sequence[int], first: int | None) -> str:
    """The first number that is left out of a row, in words; empty if none is."""
    if first is not None and numbers[0] > first:
        return f"the first frame is {names[0]}, not number {first}"
    steps = [after - before for before, after in pairwise(numbers)]
    step = min(steps, default=1) if first is None else 1
    gap = next((place for place, each in enumerate(steps) if each > step), None)
    if gap is None or any(each % step for each in steps):
        return ""
    lost = (numbers[-1] - numbers[0]) // step + 1 - len(numbers)
    return f"{names[gap + 1]} follows {names[gap]}: {lost} frame(s) of it are lost"


def shorten(names: list[str]) -> abc.Sequence[str]:
    """The same names, as ``NumberedNames`` if a pattern gives them."""
    match = re.fullmatch(r"(.*?)(\d+)(\D*)", names[0]) if names else None
    if match is None:
        return names
    head, digits, tail = (part.replace("%", "%%") for part in match.groups())
    numbered = NumberedNames(f"{head}%0{len(digits)}d{tail}", int(digits), len(names))
    return numbered if numbered[:] == names else names
