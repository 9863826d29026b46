"""Where pasted objects lie: boxes against the pixels that are pasted, look-alikes against the stated bounds."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lib.data.datasets.outlines import pack_outline
from lib.data.decoding.images import ImageError
from lib.data.pasting import (
    MAX_ENLARGED,
    MAX_HIDDEN,
    MIN_PASTED,
    MIN_SEEN,
    Cutout,
    Layer,
    find_visible_part,
    load_cutout,
    mirror,
    paste,
    place_beside,
    place_cutout,
)
from lib.data.types import Sequence
from lib.geometry.crop import Window

SHAPE = (150, 200)
POLYGON = [30.0, 20.0, 150.0, 35.0, 160.0, 90.0, 70.0, 130.0, 40.0, 80.0]


@pytest.fixture
def thing(make_sequence) -> Sequence:
    """A still of 200 x 150 with a red object on blue ground, and its outline."""
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[:, :, 2] = 255
    # A pixel's middle lies half a pixel from its corner.
    cv2.fillPoly(image, [np.rint(np.array(POLYGON).reshape(-1, 2) - 0.5).astype(int)], (255, 0, 0))
    sequence = make_sequence("thing", [image], [(30, 20, 130, 110)], image_set=True)
    return replace(sequence, outline=pack_outline([POLYGON]))


def cut(thing: Sequence, detail: float = 1000.0) -> Cutout:
    return load_cutout(thing, 0, None, detail, "opencv")


def seen_box(layers: list[Layer], shape: tuple[int, int] = SHAPE, finer: int = 4) -> np.ndarray:
    """The box of red in a gray frame with these layers, at ``finer`` times its resolution."""
    height, width = shape
    side = max(height, width)
    canvas = np.full((side * finer, side * finer, 3), 100, np.uint8)
    for layer in layers:
        paste(canvas, layer, Window(0, 0, side, border=0), shape)
    x, y, w, h = cv2.boundingRect((canvas[:, :, 0].astype(int) - canvas[:, :, 1] > 78).astype(np.uint8))
    return np.array((x, y, w, h)) / finer


def test_a_cutout_is_the_object_alone(thing):
    cutout = cut(thing)
    solid = cutout.pixels[:, :, 3] == 255
    np.testing.assert_array_equal(cutout.pixels[solid][:, :3].mean(axis=0).round(), (255, 0, 0))
    np.testing.assert_allclose(cutout.extent, (130, 110))
    assert not cutout.pixels[[0, -1], :, 3].any() and not cutout.pixels[:, [0, -1], 3].any()


@pytest.mark.parametrize("detail, shrink", [(200, 1), (61, 1), (59, 2), (25, 4), (10, 8)])
def test_a_cutout_is_decoded_as_small_as_it_is_shown(thing, detail, shrink):
    cutout = cut(thing, detail)
    assert cutout.shrink == shrink
    np.testing.assert_allclose(cutout.extent, np.array((130, 110)) / shrink)
    layer = place_cutout(cutout, 40.0, np.array((100.0, 75.0)), 0.2)
    box, _ = find_visible_part(layer, None, False, SHAPE)
    exact, _ = find_visible_part(place_cutout(cut(thing), 40.0, np.array((100.0, 75.0)), 0.2), None, False, SHAPE)
    np.testing.assert_allclose(box, exact, atol=2)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size, center, angle", [
    (40, (100, 75), 0.0), (40, (90.3, 70.2), 0.25), (100, (60, 40), -0.2), (150, (150, 120), 0.1), (12, (10, 140), 0.2),
])  # fmt: skip
def test_the_box_is_that_of_the_pixels_that_are_seen(thing, size, center, angle, mirrored):
    layer = place_cutout(cut(thing), size, np.array(center, float), angle, mirrored)
    box, layers = find_visible_part(layer, None, False, SHAPE)
    assert layers == [layer]
    # A box is measured in pixels of the frame, or of 1 / 128 of the target.
    x, y, w, h = box
    left, top, wide, high = seen_box(layers)
    np.testing.assert_allclose((x, y, x + w, y + h), (left, top, left + wide, top + high), atol=1.6)
    assert x >= 0 and y >= 0 and x + w <= 200 and y + h <= 150


def test_sizes_have_bounds(thing):
    cutout, center = cut(thing), np.array((100.0, 75.0))
    natural = math.sqrt(130 * 110)
    for wish, found in ((3, MIN_PASTED), (50, 50), (5 * natural, MAX_ENLARGED * natural)):
        reach = place_cutout(cutout, wish, center, 0.0).reach
        assert 2 * math.sqrt(reach.prod()) == pytest.approx(found)


@pytest.mark.parametrize("direction", np.linspace(0, 6, 13))
def test_boxes_touch_at_distance_one(thing, direction):
    target = place_cutout(cut(thing), 30.0, np.array((80.0, 60.0)), 0.1)
    other = place_cutout(cut(thing), 40.0, np.zeros(2), -0.2, mirrored=True)
    beside = place_beside(target, other, direction, 1.0)
    step = beside.center - target.center
    assert math.atan2(step[1], step[0]) % (2 * math.pi) == pytest.approx(direction)
    gaps = np.abs(step) - target.reach - beside.reach
    assert gaps.max() == pytest.approx(0, abs=1e-9)


def test_a_look_alike_hides_no_more_than_stated(thing):
    target = place_cutout(cut(thing), 40.0, np.array((100.0, 75.0)), 0.0)
    alone = find_visible_part(target, None, False, SHAPE)[0]
    above = 0
    for distance in np.linspace(0.3, 1.2, 19):
        other = place_beside(target, place_cutout(cut(thing), 40.0, np.zeros(2), 0.1, mirrored=True), 0.4, distance)
        pixels = other.cutout.pixels.copy()
        pixels[:, :, :3] = 0
        black = other._replace(cutout=other.cutout._replace(pixels=pixels))
        box, layers = find_visible_part(target, black, True, SHAPE)
        if layers[-1] is target:
            np.testing.assert_array_equal(box, alone)
            continue
        above += 1
        whole, covered = (
            sum(layer.draw(np.zeros(2), 1.0, (200, 150))[:, :, 3].astype(int) >= 128 for layer in chosen)
            for chosen in ([target], layers)
        )
        assert (covered == 2).sum() <= (MAX_HIDDEN + 0.02) * whole.sum()
        x, y, w, h = box
        left, top, wide, high = seen_box(layers)
        np.testing.assert_allclose((x, y, x + w, y + h), (left, top, left + wide, top + high), atol=1.6)
        assert find_visible_part(target, black, False, SHAPE)[1][-1] is target
    assert 3 < above < 19


def test_what_is_hardly_seen_has_a_box_without_area(thing):
    areas = []
    for x in np.linspace(150, 240, 31):
        layer = place_cutout(cut(thing), 40.0, np.array((x, 75.0)), 0.0)
        box, _ = find_visible_part(layer, None, False, SHAPE)
        shown = (layer.draw(np.zeros(2), 1.0, (200, 150))[:, :, 3] >= 128).sum()
        whole = (layer.draw(np.array((100, 0)), 1.0, (300, 150))[:, :, 3] >= 128).sum()
        areas.append(box[2] * box[3])
        if abs(shown / whole - MIN_SEEN) > 0.03:
            assert (areas[-1] > 0) == (shown / whole > MIN_SEEN)
    assert areas[0] > 0 and areas[-1] == 0


def test_a_mirrored_layer_is_the_mirror_of_the_picture(thing):
    layer = place_cutout(cut(thing), 60.0, np.array((60.3, 75.0)), 0.2)
    window = Window(0, 0, 200, border=0)
    one, other = (np.full((200, 200, 3), 100, np.uint8) for _ in range(2))
    paste(one, layer, window, SHAPE)
    paste(other, mirror(layer, 200), window, SHAPE)
    assert np.abs(one[:, ::-1].astype(int) - other).max() <= 2
    x, y, w, h = find_visible_part(layer, None, False, SHAPE)[0]
    np.testing.assert_allclose(
        find_visible_part(mirror(layer, 200), None, False, SHAPE)[0], (200 - x - w, y, w, h), atol=1.01
    )


def test_nothing_is_pasted_outside_the_frame(thing):
    canvas = np.full((100, 100, 3), 7, np.uint8)
    layer = place_cutout(cut(thing), 80.0, np.array((5.0, 5.0)), 0.0)
    paste(canvas, layer, Window(-50, -50, 100), SHAPE)
    assert (canvas[:50] == 7).all() and (canvas[:, :50] == 7).all() and (canvas[50:, 50:] != 7).any()
    far = canvas.copy()
    paste(far, layer, Window(150, 100, 40), SHAPE)
    assert (far == canvas).all()


def test_an_outline_beside_its_image_is_refused(thing):
    beside = replace(thing, outline=pack_outline([[300, 20, 400, 20, 350, 90]]))
    with pytest.raises(ImageError, match=r"thing_0000\.png: the outline of thing shows nothing of this image"):
        cut(beside)
