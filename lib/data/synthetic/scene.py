"""Draws synthetic sequences: a patterned target between two look-alikes, before a muted background."""

import colorsys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

SPRITE = 96  # side of a sprite in pixels; the largest object in a frame is a little smaller
OBJECT_SHARE = 0.19  # side of an object at scale 1, as a share of the image height
LEAVING_FRAMES = 16  # from the first step towards the border until the target is back

Field = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


class RenderedFrame(NamedTuple):
    """One rendered frame.

    * ``image``: uint8 RGB ``[H, W, 3]``.
    * ``box``: float64 ``[4]`` xywh in pixels, of the whole target, hidden parts included, cut at the image's border;
      zeros if all of it lies outside.
    * ``visible``: share of the target's pixels that are visible, counted on masks.
    """

    image: np.ndarray
    box: np.ndarray
    visible: float


def _turned(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angle = rng.uniform(0, np.pi)
    return u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)


def _stripes(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    along, _ = _turned(rng, u, v)
    return np.sin(rng.uniform(4, 7) * along + rng.uniform(0, 6))


def _checks(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    along, across = _turned(rng, u, v)
    rate = rng.uniform(3, 5)
    return np.sin(rate * along + rng.uniform(0, 6)) * np.sin(rate * across + rng.uniform(0, 6)) * 1.5


def _patches(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    seeds = rng.uniform(-1, 1, (9, 2))
    nearest = np.argmin([(u - x) ** 2 + (v - y) ** 2 for x, y in seeds], axis=0)
    return rng.uniform(-1, 1, len(seeds))[nearest]


def _clouds(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    height, width = u.shape
    field = cv2.resize(rng.normal(0, 0.8, (6, 6)), (width, height), interpolation=cv2.INTER_CUBIC)
    return field + 0.5 * _stripes(rng, u, v)


def _rings(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = rng.uniform(-0.7, 0.7, 2)
    return np.sin(rng.uniform(5, 8) * np.hypot(u - x, v - y) + rng.uniform(0, 6))


def _waves(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    along, across = _turned(rng, u, v)
    return np.sin(rng.uniform(4, 6) * (along + 0.25 * np.sin(5 * across)) + rng.uniform(0, 6))


def _rays(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = rng.uniform(-0.4, 0.4, 2)
    return np.sin(rng.integers(2, 5) * np.arctan2(v - y, u - x) + rng.uniform(0, 6))


# A pattern is a field of values about -1..1 over coordinates u, v in -1..1. The splits have no family in common.
PATTERNS: dict[str, dict[str, Field]] = {
    "train": {"stripes": _stripes, "checks": _checks, "patches": _patches, "clouds": _clouds},
    "val": {"rings": _rings, "waves": _waves, "rays": _rays},
}

# Outline of a shape: its radius (at most 1) in the direction of an angle.
SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "disc": np.ones_like,
    "tile": lambda angle: (np.abs(np.cos(angle)) ** 8 + np.abs(np.sin(angle)) ** 8) ** (-1 / 8) / 1.3,
    "hexagon": lambda angle: 0.866 / np.cos(np.mod(angle, np.pi / 3) - np.pi / 6),
    "flower": lambda angle: 0.8 + 0.2 * np.cos(5 * angle),
    "leaf": lambda angle: 0.78 + 0.22 * np.cos(2 * angle),
}


def _wave(rng: np.random.Generator, frames: int, shortest: float, longest: float) -> np.ndarray:
    """A smooth random path ``[frames]`` within -1..1: three sinusoids of periods (in frames) between the two bounds."""
    periods, phases = rng.uniform(shortest, longest, 3), rng.uniform(0, 2 * np.pi, 3)
    weights = rng.dirichlet([2, 2, 2])
    return np.sin(2 * np.pi * np.arange(frames)[:, None] / periods + phases) @ weights


def _color(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def _paint(
    rng: np.random.Generator, pattern: Field, palette: np.ndarray, height: int, width: int, zoom: float
) -> np.ndarray:
    """The pattern in three colors, float32 ``[height, width, 3]``; ``zoom`` scales its frequencies."""
    v, u = np.mgrid[-zoom : zoom : height * 1j, -zoom * width / height : zoom * width / height : width * 1j]
    return palette[np.digitize(pattern(rng, u, v), (-0.35, 0.35))]


def _sprite(colors: np.ndarray, outline: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Premultiplied RGBA float32 of a shape with a dark rim, at full and half size."""
    v, u = np.mgrid[-1 : 1 : SPRITE * 1j, -1 : 1 : SPRITE * 1j]
    inside = (outline(np.arctan2(v, u)) - np.hypot(u, v)) * SPRITE / 2  # pixels from the edge, roughly
    alpha = np.clip(inside + 0.5, 0, 1)[..., None]
    shade = np.clip(0.45 + inside / 8, 0.45, 1)[..., None]
    full = np.concatenate([colors * shade * alpha, alpha], axis=2).astype(np.float32)
    return full, cv2.resize(full, (SPRITE // 2, SPRITE // 2), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True, eq=False)
class MovingSprite:
    """A moving sprite: ``centers`` and ``half_axes`` ``[frames, 2]`` x, y in pixels, ``angles`` ``[frames]``."""

    sprite: tuple[np.ndarray, np.ndarray]
    centers: np.ndarray
    half_axes: np.ndarray
    angles: np.ndarray

    def patch(self, frame: int, exposure: float) -> tuple[np.ndarray, int, int]:
        """Premultiplied RGBA of the sprite, and column and row of its top left corner; it is smeared over the share
        ``exposure`` of the step to the next frame."""
        center, axes = self.centers[frame], self.half_axes[frame]
        step = (self.centers[min(frame + 1, len(self.centers) - 1)] - center) * exposure
        cosine, sine = np.cos(self.angles[frame]), np.sin(self.angles[frame])
        matrix = np.array([[cosine, -sine], [sine, cosine]]) * axes
        reach = np.ceil(np.abs(matrix).sum(axis=1) + np.abs(step) / 2 + 1).astype(int)
        corner = np.floor(center).astype(int) - reach
        sprite = self.sprite[1] if axes.max() < SPRITE / 4 else self.sprite[0]
        middle = (len(sprite) - 1) / 2
        matrix = matrix / (len(sprite) / 2)
        affine = np.column_stack([matrix, center - corner - matrix @ [middle, middle]])
        width, height = (int(side) for side in 2 * reach + 1)
        return _smear(cv2.warpAffine(sprite, affine, (width, height)), step), int(corner[0]), int(corner[1])


def _smear(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The image averaged along a straight step (pixels), as a shutter left open."""
    length = int(np.ceil(np.abs(step).max()))
    if length < 2:
        return image
    side = length | 1
    kernel = np.zeros((side, side), np.float32)
    points = np.round(np.linspace(-0.5, 0.5, 2 * side)[:, None] * step + side // 2).astype(int).clip(0, side - 1)
    np.add.at(kernel, (points[:, 1], points[:, 0]), 1 / len(points))
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def _overlap(patch: np.ndarray, left: int, top: int, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Where a patch lies on the image, and the part of it that does."""
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = max(min(left + patch.shape[1], shape[1]), x1), max(min(top + patch.shape[0], shape[0]), y1)
    return (slice(y1, y2), slice(x1, x2)), patch[y1 - top : max(y2 - top, 0), x1 - left : max(x2 - left, 0)]


def _backdrop(rng: np.random.Generator, pattern: Field, height: int, width: int) -> np.ndarray:
    """A muted texture of twice the image's size, uint8 RGB: grayish patterns under two octaves of noise."""
    hue, value = rng.uniform(), rng.uniform(0.35, 0.65)
    palette = np.stack([_color(hue + rng.normal(0, 0.1), rng.uniform(0, 0.2), value + d) for d in (-0.09, 0.0, 0.09)])
    image = _paint(rng, pattern, palette, 2 * height, 2 * width, rng.uniform(2.5, 4)).astype(np.float32)
    for cells, strength in ((8, 14), (48, 9)):
        noise = rng.normal(0, strength, (cells, cells, 1)) + rng.normal(0, strength / 4, (cells, cells, 3))
        image += cv2.resize(noise.astype(np.float32), (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def _departure(rng: np.random.Generator, centers: np.ndarray, half: np.ndarray, width: int, height: int) -> np.ndarray:
    """Offsets ``[frames, 2]`` that take the target over the nearest border and back again, once."""
    frames = len(centers)
    duration = min(LEAVING_FRAMES, frames // 2)
    start = rng.integers(frames // 4, frames - duration + 1)
    middle = start + duration // 2
    x, y, reach = *centers[middle], 1.5 * half[middle]
    ways = np.array([[-x - reach, 0], [width - x + reach, 0], [0, -y - reach], [0, height - y + reach]])
    way = ways[np.argmin(np.abs(ways).sum(axis=1))]
    offsets = np.zeros((frames, 2))
    offsets[start : start + duration] = np.sin(np.linspace(0, np.pi, duration))[:, None] ** 2 * way
    return offsets


def _jerks(rng: np.random.Generator, side: np.ndarray) -> np.ndarray:
    """Jumps of a hand-held camera ``[frames, 2]`` in pixels: one frame in twelve moves everything by about half an
    object, then the view creeps back. Without them a tracker that follows the nearest object needs no template."""
    offsets = np.zeros((len(side), 2))
    for frame in range(1, len(side)):
        angle = rng.uniform(0, 2 * np.pi)
        jump = rng.uniform(0.5, 0.9) if rng.uniform() < 0.08 else rng.uniform(0, 0.06)
        offsets[frame] = 0.85 * offsets[frame - 1] + side[frame] * jump * np.array([np.cos(angle), np.sin(angle)])
    return offsets


def _objects(
    rng: np.random.Generator, patterns: dict[str, Field], side: np.ndarray, home: np.ndarray, width: int, height: int
) -> list[MovingSprite]:
    """The target and its two look-alikes: one shape and pattern family, three patterns and hues.

    All three circle around ``home`` ``[frames, 2]`` alike, so that their places do not reveal the target.
    """
    frames = len(side)
    outline = SHAPES[str(rng.choice(list(SHAPES)))]
    pattern = patterns[str(rng.choice(list(patterns)))]
    accent = rng.uniform(0.3, 0.6), rng.choice([0.25, 0.95])  # saturation and value, in each object's own hue
    hues = rng.uniform() + np.array([0, 1, 2]) / 3 + rng.uniform(-0.1, 0.1, 3)
    turn = rng.uniform(0, 2 * np.pi) + 2.5 * _wave(rng, frames, 50, 110)
    sprites = []
    for number, hue in enumerate(hues):
        palette = np.stack([
            _color(hue, rng.uniform(0.7, 0.95), rng.uniform(0.7, 1)),
            _color(hue + rng.uniform(-0.06, 0.06), *accent),
            _color(hue + rng.uniform(-0.06, 0.06), rng.uniform(0.7, 0.95), rng.uniform(0.35, 0.6)),
        ])  # fmt: skip
        sprite = _sprite(_paint(rng, pattern, palette, SPRITE, SPRITE, 1.0), outline)
        aspect = 0.3 * _wave(rng, frames, 30, 80)
        half_axes = side[:, None] / 2 * rng.uniform(0.9, 1.1) * np.exp(np.column_stack([aspect, -aspect]))
        angle = turn + number * 2 * np.pi / 3 + 0.45 * _wave(rng, frames, 25, 60)
        distance = side * (0.75 + 0.15 * _wave(rng, frames, 25, 60))
        centers = home + distance[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        if number == 0 and rng.uniform() < 0.2:
            centers = centers + _departure(rng, centers, side / 2, width, height)
        angles = rng.uniform(-0.15, 0.15) + 0.15 * _wave(rng, frames, 40, 90)
        sprites.append(MovingSprite(sprite, centers, half_axes, angles))
    return sprites


def _occluder(rng: np.random.Generator, pattern: Field, target: MovingSprite) -> MovingSprite:
    """A muted post that passes in front of the target once, in about eight frames."""
    frames = len(target.centers)
    moment = rng.uniform(0.3, 0.8) * frames
    size = 2 * np.sqrt(target.half_axes.prod(axis=1))
    angle = rng.uniform(-0.5, 0.5)
    passing = rng.choice([-1, 1]) * rng.uniform(0.16, 0.3) * (np.arange(frames) - moment) * size
    centers = target.centers + passing[:, None] * [np.cos(angle), np.sin(angle)]
    half_axes = size[:, None] * [rng.uniform(0.2, 0.42), rng.uniform(1.2, 2)]
    colors = cv2.resize(_backdrop(rng, pattern, SPRITE, SPRITE), (SPRITE, SPRITE)).astype(np.float32)
    sprite = _sprite(colors * rng.uniform(0.6, 0.9), SHAPES["tile"])
    return MovingSprite(sprite, centers, half_axes, np.full(frames, angle))


def render_scene(
    rng: np.random.Generator, patterns: dict[str, Field], frames: int, width: int, height: int
) -> Iterator[RenderedFrame]:
    """The frames of one sequence, a function of the generator's state and the arguments.

    The target is one of three objects that differ only in pattern and hue and circle around a common middle, so that
    only its first appearance identifies it. Its size goes from half to twice the mean, its aspect changes, the camera
    jerks, the light changes; in two fifths of the sequences it passes behind a post, in a fifth it leaves the image and
    comes back, and some have motion blur.
    """
    side = OBJECT_SHARE * height * 2 ** (rng.uniform(0.4, 1) * _wave(rng, frames, 30, 90))
    jerks = _jerks(rng, side)
    home = np.column_stack([width * (0.5 + 0.25 * _wave(rng, frames, 60, 140)),
                            height * (0.5 + 0.2 * _wave(rng, frames, 60, 140))]) + jerks  # fmt: skip
    ground = jerks + np.column_stack([width * 0.3 * _wave(rng, frames, 40, 120),
                                      height * 0.3 * _wave(rng, frames, 40, 120)])  # fmt: skip
    zoom, roll = 1 + 0.1 * _wave(rng, frames, 40, 120), 0.06 * _wave(rng, frames, 40, 120)
    families = list(patterns.values())
    backdrop = _backdrop(rng, families[rng.integers(len(families))], height, width)
    objects = _objects(rng, patterns, side, home, width, height)
    sprites = [objects[index] for index in rng.permutation(len(objects))]
    if rng.uniform() < 0.4:
        sprites.append(_occluder(rng, families[rng.integers(len(families))], objects[0]))
    exposure = rng.uniform(0.2, 0.6) if rng.uniform() < 0.4 else 0.0
    light = 1 + rng.uniform(0.05, 0.35) * _wave(rng, frames, 20, 60)[:, None] + rng.uniform(-0.06, 0.06, 3)
    levels = np.arange(256)[None, :, None]
    for frame in range(frames):
        matrix = cv2.getRotationMatrix2D((width, height), np.degrees(roll[frame]), zoom[frame])
        matrix[:, 2] += ground[frame] - (width / 2, height / 2)
        image = cv2.warpAffine(backdrop, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        image = _smear(image, (ground[min(frame + 1, frames - 1)] - ground[frame]) * exposure)
        box, share = compose(image, sprites, objects[0], frame, exposure)
        table = (levels * light[frame]).clip(0, 255).astype(np.uint8)
        yield RenderedFrame(cv2.LUT(image, table), box, share)


def compose(
    image: np.ndarray, sprites: list[MovingSprite], target: MovingSprite, frame: int, exposure: float
) -> tuple[np.ndarray, float]:
    """Draw the sprites over the image, in order; the target's box and visible share as in ``RenderedFrame``."""
    height, width = image.shape[:2]
    showing = np.zeros((height, width), bool)
    for sprite in sprites:
        patch, left, top = sprite.patch(frame, exposure)
        place, part = _overlap(patch, left, top, image.shape)
        image[place] = np.round(image[place] * (1 - part[..., 3:]) + part[..., :3]).clip(0, 255)
        showing[place] &= part[..., 3] <= 0.5
        if sprite is target:
            whole = patch[..., 3] > 0.5
            showing[place] = part[..., 3] > 0.5
            x, y, w, h = cv2.boundingRect(whole.view(np.uint8))
            x1, x2 = np.clip([left + x, left + x + w], 0, width)
            y1, y2 = np.clip([top + y, top + y + h], 0, height)
            box = np.array([x1, y1, x2 - x1, y2 - y1], np.float64) if x2 > x1 and y2 > y1 else np.zeros(4)
            pixels = whole.sum()
    return box, float(showing.sum() / pixels)
