"""Aligned crops against the recorded ones of LoRAT: rectangles, pixels, boxes both ways."""

from pathlib import Path

import numpy as np
import pytest
from recorded_frames import checkered

from lib.geometry.aligned import AlignedWindow
from lib.geometry.clip import clip_inside, raise_sides
from lib.geometry.crop import CropConfig, crop_mapping, cut, mean_color, window_of

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "lorat_crop.golden.npz", allow_pickle=False)
NAMES, BOXES = RECORDED["case.setting"], RECORDED["case.box_xywh"]
CROPS = {
    f"{role}{size}": CropConfig(size=size, factor=factor, context="perimeter", fill="mean", placement="aligned")
    for role, size, factor in (
        ("template", 112, 2.0),
        ("search", 224, 4.0),
        ("template", 196, 2.0),
        ("search", 378, 5.0),
    )
}
IMAGE = checkered()


def window(row: int) -> AlignedWindow:
    return window_of(BOXES[row], CROPS[str(NAMES[row])], IMAGE.shape)


def shows_nothing(row: int) -> bool:
    return bool(np.isnan(RECORDED["case.adjusted"][row]).any())


def test_mappings_rectangles_and_boxes_equal_the_recorded():
    for row in range(len(NAMES)):
        mapping, found = crop_mapping(BOXES[row], CROPS[str(NAMES[row])]), window(row)
        np.testing.assert_allclose([mapping.scale, mapping.shift], RECORDED["case.params"][row], rtol=1e-9)
        assert found.target == tuple(RECORDED["case.out_rect"][row])
        assert found.source == tuple(RECORDED["case.in_rect"][row])
        if not shows_nothing(row):
            assert np.array_equal(np.array(found.mapping, dtype=np.float32), RECORDED["case.adjusted"][row])
            x, y, width, height = found.box_to_crop(BOXES[row]).astype(np.float64) * found.size
            expected = RECORDED["case.box_in_crop"][row]
            np.testing.assert_allclose([x, y, x + width, y + height], expected, atol=1e-4, rtol=1e-6)


def test_pixels_equal_the_recorded_within_a_fiftieth_of_a_gray_level():
    np.testing.assert_allclose(mean_color(IMAGE), RECORDED["image.mean"], rtol=1e-6)
    seen = dict.fromkeys(CROPS, 0)
    for row, name in enumerate(map(str, NAMES)):
        crop = cut(IMAGE, window(row), CROPS[name].size, mean_color(IMAGE))
        assert crop.dtype == np.float32 and crop.shape == (CROPS[name].size, CROPS[name].size, 3)
        excerpt = RECORDED[f"excerpt.{name}"][seen[name]]
        seen[name] += 1
        assert np.abs(crop[::16, ::16] - excerpt).max() < 0.02
        np.testing.assert_allclose(crop.mean(axis=(0, 1), dtype=np.float64), RECORDED["case.crop_mean"][row], atol=0.02)
        whole = f"full.{name}.{RECORDED['case.box_name'][row]}"
        if whole in RECORDED:
            assert np.abs(crop.transpose(2, 0, 1) - RECORDED[whole]).max() < 0.02


def test_boxes_of_the_crop_in_the_image_equal_the_recorded():
    for place, row in enumerate(RECORDED["back.rows_case"]):
        if shows_nothing(row):
            continue
        for number, (x1, y1, x2, y2) in enumerate(RECORDED["back.pred_normalised"]):
            centered = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dtype=np.float32)
            found = window(row).box_from_crop(centered)
            expected = RECORDED["back.in_image"][place, number]
            corners = np.concatenate([found[:2], found[:2] + found[2:]])
            np.testing.assert_allclose(corners, expected, atol=1e-3, rtol=2e-7)


def test_a_crop_beside_the_image_is_all_padding_and_maps_boxes_all_the_same():
    """The published code has NaN there."""
    [far, *_] = [row for row in range(len(NAMES)) if shows_nothing(row)]
    found = window(far)
    crop = cut(IMAGE, found, found.size, (1.5, 2.5, 3.5))
    assert (crop == np.array([1.5, 2.5, 3.5], dtype=np.float32)).all()
    box = found.box_to_crop(BOXES[far])
    np.testing.assert_allclose(box[:2] + box[2:] / 2, 0.5, atol=1e-6)
    np.testing.assert_allclose(found.box_from_crop([0.5, 0.5, *box[2:]]), BOXES[far], rtol=1e-5)


def test_a_box_goes_there_and_back():
    for row in range(len(NAMES)):
        x, y, width, height = window(row).box_to_crop(BOXES[row])
        back = window(row).box_from_crop([x + width / 2, y + height / 2, width, height])
        np.testing.assert_allclose(back, BOXES[row], atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("context", ["area", "perimeter"])
def test_an_aligned_crop_is_near_a_rounded_one(context):
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    rounded = CropConfig(size=64, factor=2.0, context=context)
    aligned = rounded.model_copy(update={"placement": "aligned"})
    box = np.array([100.0, 80.0, 61.0, 47.0])
    crops = [cut(image, window_of(box, crop, image.shape), 64).astype(float) for crop in (rounded, aligned)]
    assert np.abs(crops[0] - crops[1]).mean() < 6


def test_clipping_inside_and_raising_sides():
    assert clip_inside([-5, -5, 20, 10], 100, 50).tolist() == [0, 0, 15, 5]
    assert clip_inside([60, 10, 20, 10], 100, 50) is None
    assert clip_inside([10, 10, -2, 5], 100, 50) is None
    assert raise_sides(np.array([10.0, 20.0, 4.0, 30.0]), 10).tolist() == [7, 20, 10, 30]
