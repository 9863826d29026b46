from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from lib.geometry.boxes import clip_box
from lib.geometry.crop import CropConfig, Window, box_from_crop, box_to_crop, crop_window, cut, padding_mask

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "crop.golden.npz", allow_pickle=False)
BOXES = sorted(set(RECORDED["case.box_name"].tolist()))
# The window ends left of the image: the published slice end turns negative and wraps, and real pixels from the other
# side of the image appear in the crop and its mask. Ours is all padding.
WRAPPED = {"far_left_outside"}
WITHOUT_AREA = {"zero_w"}


def formula_image() -> np.ndarray:
    y, x, c = np.mgrid[0:360, 0:480, 0:3]
    return ((3 * x + 5 * y + 40 * c + ((x // 16 + y // 16) % 2) * 64 + (x * y) // 97) % 256).astype(np.uint8)


IMAGE = formula_image()


def rows_of(name: str) -> list[int]:
    return np.flatnonzero(RECORDED["case.box_name"] == name).tolist()


def recorded_box(row: int) -> list[float] | np.ndarray:
    box = RECORDED["case.box"][row]
    return box.tolist() if RECORDED["case.kind"][row] == "list" else box.astype(np.float32)


def recorded_window(row: int) -> Window:
    side, x1, y1 = RECORDED["case.geometry"][row, :3].tolist()
    return Window(x1, y1, side)


def checksum(pixels: np.ndarray) -> int:
    assert pixels.flags.c_contiguous
    return zlib.crc32(pixels.astype(np.uint8).tobytes())


def test_the_image_is_the_recorded_one() -> None:
    assert checksum(IMAGE) == RECORDED["image.crc32"]


@pytest.mark.parametrize("name", sorted(set(BOXES) - WITHOUT_AREA))
def test_window_equals_the_recorded(name: str) -> None:
    for row in rows_of(name):
        window = crop_window(recorded_box(row), RECORDED["case.factor"][row])
        assert window == recorded_window(row)
        assert all(type(number) is int for number in window)
        assert RECORDED["case.size"][row] / window.side == RECORDED["case.resize_factor"][row]


@pytest.mark.parametrize("name", sorted(set(BOXES) - WITHOUT_AREA - WRAPPED))
def test_crop_and_mask_equal_the_recorded(name: str) -> None:
    for row in rows_of(name):
        size = int(RECORDED["case.size"][row])
        crop = cut(IMAGE, recorded_window(row), size)
        assert checksum(crop) == RECORDED["case.crop_crc32"][row]
        np.testing.assert_allclose(crop.mean(axis=(0, 1)), RECORDED["case.crop_mean"][row])
        middle = slice(size // 2 - 4, size // 2 + 4)
        np.testing.assert_array_equal(crop[middle, middle], RECORDED["case.patch8"][row])

        mask = padding_mask(IMAGE.shape, recorded_window(row), size)
        assert mask.dtype == np.bool_
        assert checksum(mask) == RECORDED["case.mask_crc32"][row]
        assert mask.sum() == RECORDED["case.mask_sum"][row]


@pytest.mark.parametrize("name", sorted(WRAPPED))
def test_a_window_left_of_the_image_is_all_padding_and_not_the_recorded_wrap(name: str) -> None:
    for row in rows_of(name):
        window, size = recorded_window(row), int(RECORDED["case.size"][row])
        assert window.x1 + window.side < 0
        assert RECORDED["case.crop_mean"][row].min() > 0
        assert not cut(IMAGE, window, size).any()
        assert padding_mask(IMAGE.shape, window, size).all()


@pytest.mark.parametrize("side", [1, 7, 64])
@pytest.mark.parametrize("corner", [(-64, 50), (50, -64), (479, 50), (50, 359), (480, 360), (9000, -9000)])
def test_windows_without_a_pixel_of_the_image_are_all_padding(corner: tuple[int, int], side: int) -> None:
    window = Window(*corner, side)
    assert not cut(IMAGE, window, 32).any()
    assert padding_mask(IMAGE.shape, window, 32).all()


@pytest.mark.parametrize("size", [128, 256, 320])
def test_sampled_pixels_equal_the_recorded(size: int) -> None:
    for position, row in enumerate(RECORDED[f"grid{size}.case_index"]):
        if RECORDED["case.box_name"][row] not in WITHOUT_AREA | WRAPPED:
            crop, mask = cut(IMAGE, recorded_window(row), size), padding_mask(IMAGE.shape, recorded_window(row), size)
            np.testing.assert_array_equal(crop[::16, ::16], RECORDED[f"grid{size}.crop"][position])
            np.testing.assert_array_equal(mask[::16, ::16], RECORDED[f"grid{size}.mask"][position])


@pytest.mark.parametrize("name", ["left", "bottom_right", "inside_frac"])
def test_whole_crops_equal_the_recorded(name: str) -> None:
    window = recorded_window(rows_of(name)[0])
    np.testing.assert_array_equal(cut(IMAGE, window, 128), RECORDED[f"full.{name}.128"])


@pytest.mark.parametrize(
    ("name", "side", "crc", "mask_sum"),
    [("inside_frac", 101, 910392259, 0), ("left", 110, 1515431202, 4950), ("bottom_right", 100, 3913990775, 7746)],
)
def test_a_crop_at_the_windows_own_size_is_the_recorded_unresized_one(
    name: str, side: int, crc: int, mask_sum: int
) -> None:
    window = recorded_window(rows_of(name)[0])
    assert window.side == side
    assert checksum(cut(IMAGE, window, side)) == crc
    assert padding_mask(IMAGE.shape, window, side).sum() == mask_sum


def test_mask_equals_the_published_way_of_making_it() -> None:
    random = np.random.default_rng(0)
    some = 0
    for _ in range(40):
        side, size = int(random.integers(1, 400)), int(random.integers(8, 130))
        window = Window(int(random.integers(1 - side, 160)), int(random.integers(1 - side, 120)), side)
        padding = np.ones((side, side))
        rows, columns = (np.arange(start, start + side) for start in (window.y1, window.x1))
        padding[np.ix_((rows >= 0) & (rows < 119), (columns >= 0) & (columns < 159))] = 0
        expected = cv2.resize(padding, (size, size)).astype(bool)
        np.testing.assert_array_equal(padding_mask((120, 160, 3), window, size), expected)
        some += not expected.all()
    assert some > 20


def test_a_crop_shares_no_memory_with_its_image() -> None:
    image = IMAGE.copy()
    cut(image, Window(10, 10, 64), 64)[:] = 0
    np.testing.assert_array_equal(image, IMAGE)


@pytest.mark.parametrize(
    "box",
    [
        RECORDED["case.box"][rows_of("zero_w")[0]],
        (1, 1, -2, -2),
        (1, 1, 4, float("nan")),
        (float("inf"), 1, 4, 4),
        (1, 1, 1e200, 1e200),
        (1, 1, 1e-200, 1e-200),
    ],
)
def test_a_box_without_area_is_an_error_that_shows_it(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"cannot crop around box x=\S+ y=\S+ w=\S+ h=\S+: .*w and h above 0"):
        crop_window(box, 2.0)


def test_boxes_in_the_crop_equal_the_recorded() -> None:
    for row in range(len(RECORDED["to_crop.size"])):
        size = int(RECORDED["to_crop.size"][row])
        box = box_to_crop(
            RECORDED["to_crop.box_in"][row],
            RECORDED["to_crop.box_extract"][row],
            RECORDED["to_crop.resize_factor"][row],
            size,
        )
        assert box.dtype == np.float32
        np.testing.assert_array_equal(box, RECORDED["to_crop.normalised"][row])
        np.testing.assert_allclose(box * size, RECORDED["to_crop.pixels"][row], rtol=1e-6, atol=1e-5)


def test_the_template_box_is_its_own_box_in_the_crop() -> None:
    for row in RECORDED["template_box.rows"]:
        box = box_to_crop(row[:4], row[:4], row[5], int(row[4]))
        np.testing.assert_allclose(box, row[6:], rtol=1e-6, atol=1e-7)


def test_boxes_from_the_crop_equal_the_recorded() -> None:
    for row in RECORDED["map_back.rows"]:
        by_name = dict(zip(RECORDED["map_back.columns"].tolist(), row, strict=True))
        state, prediction, mapped, clipped, saved = (
            np.array([by_name[f"{prefix}_{part}"] for part in parts])
            for prefix, parts in [
                ("state", "xywh"),
                ("pred", ("cx", "cy", "w", "h")),
                ("mapped", "xywh"),
                ("clipped", "xywh"),
                ("saved", "xywh"),
            ]
        )
        box = box_from_crop(prediction, state, by_name["resize_factor"], int(by_name["size"]))
        assert box.dtype == np.float64
        np.testing.assert_array_equal(box, mapped)
        np.testing.assert_array_equal(clip_box(box, 360, 480, 10), clipped)
        np.testing.assert_array_equal(clip_box(box, 360, 480, 10).astype(int), saved)


def test_into_the_crop_and_out_again_moves_a_box_by_half_a_crop_pixel() -> None:
    reference, size, factor = (190.0, 160.0, 70.0, 38.0), 256, 2.5
    x, y, w, h = box_to_crop((200.0, 150.0, 60.0, 40.0), reference, factor, size)
    back = box_from_crop((x + w / 2, y + h / 2, w, h), reference, factor, size)
    np.testing.assert_allclose(back, (200 - 0.5 / factor, 150 - 0.5 / factor, 60, 40), atol=1e-3)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"factor": 0.0}, {"size": 128.5}])
def test_a_crop_needs_a_size_and_a_factor(wrong: dict[str, float]) -> None:
    right = {"size": 128, "factor": 2}
    assert CropConfig(**right).factor == 2.0
    with pytest.raises(ValidationError):
        CropConfig(**right | wrong)
