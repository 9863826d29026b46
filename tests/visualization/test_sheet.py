from pathlib import Path

import cv2
import numpy as np

from lib.visualization.sheet import MARGIN, TITLE, Panel, encode, tile, write_png


def panel(value: int, title: str = "") -> Panel:
    return Panel(title, np.full((20, 30, 3), value, np.uint8))


def test_panels_lie_row_by_row_on_white():
    sheet = tile([panel(10), panel(20), panel(30)], columns=2)
    assert sheet.shape == (2 * (20 + TITLE) + 3 * MARGIN, 2 * 30 + 3 * MARGIN, 3)
    middles = sheet[MARGIN + TITLE + 10 :: 20 + TITLE + MARGIN, MARGIN + 15 :: 30 + MARGIN, 0]
    assert middles.tolist() == [[10, 20], [30, 255]]
    assert (sheet == 255).all(axis=2).sum() == sheet[..., 0].size - 3 * 20 * 30


def test_titles_take_a_line_above_each_panel():
    sheet = tile([panel(10, "one"), panel(20)], columns=2)
    assert sheet.shape[0] == 20 + TITLE + 2 * MARGIN
    assert (sheet[MARGIN + TITLE : -MARGIN, MARGIN : MARGIN + 30] == 10).all()
    assert sheet[:TITLE, : MARGIN + 30].min() < 100
    assert sheet[:TITLE, MARGIN + 34 :].min() == 255


def test_a_png_holds_the_pixels_in_their_colours(tmp_path: Path, capfd):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    write_png(tmp_path / "new" / "picture.png", image)
    assert (cv2.imread(str(tmp_path / "new" / "picture.png"))[..., ::-1] == image).all()
    assert capfd.readouterr().err == "", "OpenCV warns of options that are not PNG's"


def test_large_pictures_become_smaller_and_keep_their_shape():
    image = np.zeros((400, 2000, 3), np.uint8)
    for width, shape in ((500, (100, 500, 3)), (3000, (400, 2000, 3)), (None, (400, 2000, 3))):
        code = np.frombuffer(encode(image, "jpeg", width), np.uint8)
        assert cv2.imdecode(code, cv2.IMREAD_COLOR).shape == shape
