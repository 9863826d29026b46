import numpy as np
import pytest

from lib.visualization.boxes import BOX_COLORS, GRAY, draw_boxes, outline


def test_a_box_is_drawn_on_its_pixels():
    image = np.zeros((120, 160, 3), np.uint8)
    assert outline(image, np.array([20.2, 40.0, 30, 25.4]), BOX_COLORS[0], 1)
    rows, columns = np.nonzero(image.any(axis=2))
    assert [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1] == [20, 40, 30, 25]


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (np.nan,) * 4, (5, 5, np.inf, 5), (5, 5, 9, -1)])
def test_a_box_that_is_none_is_not_drawn(box: tuple[float, ...]):
    image = np.zeros((60, 80, 3), np.uint8)
    assert not outline(image, np.array(box), BOX_COLORS[0], 2)
    assert not image.any() and not draw_boxes(image, {"car": np.array(box)}).any()


def test_targets_have_their_names_at_their_boxes_and_lost_ones_are_gray():
    image = np.zeros((480, 854, 3), np.uint8)
    boxes = {"car": np.array([100.0, 200, 60, 50]), "dog": np.array([400.0, -4, 80, 300])}
    drawn = draw_boxes(image, boxes, ["dog"])
    assert not image.any()
    green, gray = ((drawn == color).all(axis=2) for color in (BOX_COLORS[0], GRAY))
    rows, columns = np.nonzero(green)
    assert abs(columns.min() - 100) <= 2 and abs(columns.max() - 159) <= 2 and abs(rows.max() - 249) <= 2
    assert rows.min() < 190 and green[185:198, 101].all()  # the name's ground, above the box
    assert gray[:20, 405].any() and not green[:, 300:].any()  # inside: there is no room above
    large = draw_boxes(np.zeros((1080, 1920, 3), np.uint8), {"car": boxes["car"]})
    assert (large[225, 80:130] == BOX_COLORS[0]).all(axis=1).sum() > (drawn[225, 80:130] == BOX_COLORS[0]).all(
        axis=1
    ).sum()
