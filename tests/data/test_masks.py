"""Masks of polygons against a test of each pixel's points, of runs against numpy, and files that are refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.datasets.outlines import pack_outline
from lib.data.decoding.images import ImageError
from lib.data.files.source import Source
from lib.data.masks import Mask, MaskFolder, draw_mask, find_mask, mask_extent
from lib.data.types import FrameFiles, Sequence

POLYGONS = [[10.5, 8.0, 41.25, 12.5, 35.0, 44.0, 22.0, 30.0, 6.0, 40.5], [44.0, 30.0, 58.0, 33.0, 50.0, 52.0]]


def mask_of(segmentation: object) -> Mask:
    """The mask of an object of COCO."""
    sequence = Sequence("a", "toy", ["1.jpg"], np.ones((1, 4)), np.ones(1, bool), outline=pack_outline(segmentation))
    return find_mask(sequence, 0, (64, 64), None)


def inside_share(polygons: list[list[float]], x: int, y: int, points: int = 8) -> float:
    """Of a grid of points in pixel (x, y), how many lie in a polygon."""
    rings = [np.float32(polygon).reshape(-1, 1, 2) for polygon in polygons]
    grid = [(x + (a + 0.5) / points, y + (b + 0.5) / points) for a in range(points) for b in range(points)]
    return np.mean([any(cv2.pointPolygonTest(ring, point, False) >= 0 for ring in rings) for point in grid])


def test_a_polygon_covers_each_pixel_by_its_share_of_it():
    outline = mask_of(POLYGONS)
    covered = draw_mask(outline, (4, 6, 60, 54)) / 255
    expected = np.array([[inside_share(POLYGONS, x, y) for x in range(4, 60)] for y in range(6, 54)])
    assert covered.shape == expected.shape
    difference = covered - expected
    # OpenCV fills the pixels that a side crosses, here a quarter wide: an eighth too much at most borders.
    assert np.abs(difference).max() < 0.4 and np.abs(difference).mean() < 0.012
    assert mask_extent(outline) == (6.0, 8.0, 58.0, 52.0)


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_a_shrunk_outline_is_the_mean_of_the_whole(shrink):
    outline = mask_of(POLYGONS)
    whole, shrunk = draw_mask(outline, (0, 0, 61, 55)), draw_mask(outline, (0, 0, 61, 55), shrink)
    rows, columns = 55 // shrink, 61 // shrink
    means = whole[: rows * shrink, : columns * shrink].reshape(rows, shrink, columns, shrink).mean(axis=(1, 3))
    assert shrunk.shape == (-(-55 // shrink), -(-61 // shrink))
    # An eighth of a pixel too much at its borders, as above; now pixels are larger.
    assert np.abs(shrunk[:rows, :columns] - means).mean() < 1.7 * shrink


def test_runs_go_down_the_columns():
    mask = np.random.default_rng(0).random((7, 9)) < 0.4
    mask[0, 0] = False
    changes = np.flatnonzero(np.diff(mask.T.ravel().astype(int), prepend=0, append=2))
    outline = mask_of({"size": [7, 9], "counts": np.diff(changes, prepend=0).tolist()})
    np.testing.assert_array_equal(draw_mask(outline, (0, 0, 9, 7)), mask * 255)
    np.testing.assert_array_equal(draw_mask(outline, (2, 3, 8, 6)), mask[3:6, 2:8] * 255)
    rows, columns = np.nonzero(mask)
    assert mask_extent(outline) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_a_shrunk_mask_is_the_mean_of_blocks():
    mask = np.random.default_rng(0).random((9, 10)) < 0.5
    np.testing.assert_array_equal(draw_mask(mask, (0, 0, 10, 9)), mask * 255)
    shrunk = draw_mask(mask, (0, 0, 10, 9), 4)
    assert shrunk.shape == (3, 3)
    np.testing.assert_allclose(shrunk[:2, :2], 255 * mask[:8, :8].reshape(2, 4, 2, 4).mean(axis=(1, 3)), atol=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> tuple[MaskFolder, Sequence]:
    """A sequence of three frames whose masks would lie below ``masks``."""
    frames = FrameFiles(tmp_path / "data" / "train" / "a", ["1.jpg", "2.jpg", "3.jpg"])
    sequence = Sequence("a", "toy", frames, np.ones((3, 4)), np.ones(3, bool))
    (tmp_path / "masks" / "train" / "a").mkdir(parents=True)
    return MaskFolder(tmp_path / "masks", Source(tmp_path / "data")), sequence


def test_a_mask_lies_where_its_frame_does(folder, tmp_path):
    masks, sequence = folder
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4, 3:7] = 1
    path = tmp_path / "masks" / "train" / "a" / "2.png"
    cv2.imwrite(str(path), mask)
    assert masks.path(sequence, 1) == path
    np.testing.assert_array_equal(masks.read(sequence, 1, (6, 8)), mask > 0)
    with pytest.raises(ImageError, match=r"2\.png: the mask is 8 x 6, its frame 9 x 6; get it again"):
        masks.read(sequence, 1, (6, 9))
    with pytest.raises(ImageError, match=r"1\.png: cannot read the image"):
        masks.read(sequence, 0, (6, 8))
    cv2.imwrite(str(path), mask * 0)
    with pytest.raises(ImageError, match=r"2\.png: the mask shows no pixel of the target"):
        masks.read(sequence, 1, (6, 8))
