import numpy as np

from lib.visualization.boxes import COLORS, GRAY, draw_boxes, draw_targets

IMAGE = np.zeros((120, 160, 3), np.uint8)


def extent(image: np.ndarray, color: tuple[int, int, int]) -> list[int]:
    """First column, first row, width and height of the pixels of exactly this color below the legend."""
    rows, columns = np.nonzero((image == color).all(axis=2) & (np.arange(len(image))[:, None] > 35))
    return [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_each_box_is_drawn_on_its_pixels_in_its_own_color():
    boxes = {"ground truth": np.array([20.2, 40.0, 30, 25]), "tracker": np.array([70.0, 50, 60, 40.4])}
    drawn = draw_boxes(IMAGE, boxes)
    assert extent(drawn, COLORS[0]) == [20, 40, 30, 25]
    assert extent(drawn, COLORS[1]) == [70, 50, 60, 40]
    assert (IMAGE == 0).all()


def test_a_box_without_size_or_number_is_named_absent_only():
    legends = [draw_boxes(IMAGE, {"gt": np.array(box)}) for box in ([0.0, 0, 0, 0], [np.nan] * 4, [20.0, 60, 30, 25])]
    assert (legends[0] == legends[1]).all()
    assert legends[0][40:].max() == 0
    assert (legends[0][:20] > 0).sum() > 1.5 * (legends[2][:20] > 0).sum()


def test_targets_have_their_names_at_their_boxes_and_lost_ones_are_gray():
    image = np.zeros((480, 854, 3), np.uint8)
    boxes = {"car": np.array([100.0, 200, 60, 50]), "dog": np.array([400.0, -4, 80, 300])}
    drawn = draw_targets(image, boxes, ["dog"])
    assert not image.any()
    green, gray = ((drawn == color).all(axis=2) for color in (COLORS[0], GRAY))
    rows, columns = np.nonzero(green)
    assert abs(columns.min() - 100) <= 2 and abs(columns.max() - 159) <= 2 and abs(rows.max() - 249) <= 2
    assert rows.min() < 190 and green[185:198, 101].all()  # the name's ground, above the box
    assert gray[:20, 405].any() and not green[:, 300:].any()  # inside: there is no room above
    large = draw_targets(np.zeros((1080, 1920, 3), np.uint8), {"car": boxes["car"]})
    assert (large[225, 80:130] == COLORS[0]).all(axis=1).sum() > (drawn[225, 80:130] == COLORS[0]).all(axis=1).sum()
