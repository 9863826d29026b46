"""Windows, crops and boxes: the recorded ones of GRM, OSTrack and TransT, and plain ways of making them."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from recorded_frames import checkered, texture

from lib.geometry.clip import clip_box
from lib.geometry.crop import (
    CropConfig,
    EmptyCropError,
    Padding,
    Window,
    box_from_crop,
    box_to_crop,
    crop_window,
    cut,
    is_empty,
    padding_mask,
    padding_value,
    truncated_box,
)

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "crop.golden.npz", allow_pickle=False)
BOXES = sorted(set(RECORDED["case.box_name"].tolist()))
# The window ends left of the image: the published slice end turns negative and wraps, and real pixels from the other
# side of the image appear in the crop and its mask. Ours is all padding.
WRAPPED = {"far_left_outside"}
WITHOUT_AREA = {"zero_w"}


IMAGE = checkered()


def rows_of(*names: str) -> list[int]:
    return np.flatnonzero(np.isin(RECORDED["case.box_name"], names)).tolist()


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


def test_window_equals_the_recorded() -> None:
    for row in rows_of(*sorted(set(BOXES) - WITHOUT_AREA)):
        window = crop_window(recorded_box(row), RECORDED["case.factor"][row])
        assert window == recorded_window(row)
        assert all(type(number) is int for number in window)
        assert RECORDED["case.size"][row] / window.side == RECORDED["case.resize_factor"][row]


@pytest.mark.slow
def test_crop_and_mask_equal_the_recorded() -> None:
    for row in rows_of(*sorted(set(BOXES) - WITHOUT_AREA - WRAPPED)):
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


def test_a_window_left_of_the_image_is_all_padding_and_not_the_recorded_wrap() -> None:
    for row in rows_of(*sorted(WRAPPED)):
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


def test_a_box_far_larger_than_any_image_is_an_error_before_its_picture_takes_all_memory() -> None:
    assert crop_window((0, 0, 7680, 4320), 5.0, "perimeter").side < 2**15
    for box, side in (((11, 71, 30000, 30000), "60000"), ((0, 0, 1e300, 1e-300), "inf")):
        with pytest.raises(
            EmptyCropError, match=f"around box x=.*: its window has {side} pixels a side, at most 32768"
        ):
            crop_window(box, 2.0, "perimeter")


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 0}, "size"),
        ({"factor": 0.0}, "factor"),
        ({"size": 128.5}, "size"),
        ({"context": "square"}, "'area' or 'perimeter'"),
        ({"fill": "border"}, "'zero' or 'mean'"),
        ({"factor": 0.5, "context": "perimeter"}, "factor: 0.5 with context perimeter; it must be 1 or more"),
    ],
)
def test_a_crop_needs_a_size_a_factor_and_known_words(wrong: dict[str, float | str], message: str) -> None:
    right = {"size": 128, "factor": 2}
    assert CropConfig(**right).factor == 2.0
    assert CropConfig(**right | {"factor": 0.5}).context == "area"
    with pytest.raises(ValidationError, match=message):
        CropConfig(**right | wrong)


# TransT: a context of the target's perimeter, the mean color outside the frame, nothing lost at its border

TRANST = np.load(Path(__file__).parents[1] / "reference" / "transt_tracker.golden.npz", allow_pickle=False)
CASES = ("interior", "bottomleft", "topright")


FRAMES = [texture(number) for number in range(4)]


def transt_crops() -> list[tuple[str, np.ndarray, np.ndarray, float, int, str]]:
    """Every recorded crop of the tracker: (name, frame, box, factor, size, name of the side)."""
    crops = []
    for case in CASES:
        box = TRANST[f"{case}.init_bbox"]
        crops.append((f"{case}.template", FRAMES[0], box, 2.0, 128, "s_z"))
        for step in (1, 2, 3):
            name = f"alt.{case}.step{step}"
            extent = TRANST[f"alt.{case}.step{step - 1}.size_out"] if step > 1 else box[2:]
            corner = TRANST[f"{name}.center_in"] - extent / 2
            crops.append((name, FRAMES[step], np.concatenate((corner, extent)), 4.0, 256, "s_x"))
    return crops


def test_the_frames_are_those_recorded_for_transt() -> None:
    for number, frame in enumerate(FRAMES):
        assert checksum(frame) == TRANST[f"frame{number}_crc32"]


@pytest.mark.parametrize("recorded", transt_crops(), ids=lambda value: value if isinstance(value, str) else "")
def test_crops_of_transts_tracker_equal_the_recorded_at_every_border(recorded: tuple) -> None:
    name, frame, box, factor, size, side = recorded
    window = crop_window(box, factor, "perimeter")
    corners = window.x1, window.y1, window.x1 + window.side - 1, window.y1 + window.side - 1
    assert (window.side, *corners) == (TRANST[f"{name}.{side}"], *TRANST[f"{name}.context_xyxy"])
    left, top, right, bottom = window.inside(frame.shape)
    pads = left - window.x1, top - window.y1, window.x1 + window.side - right, window.y1 + window.side - bottom
    np.testing.assert_array_equal(pads, TRANST[f"{name}.pad_ltrb"])
    value = padding_value(FRAMES[0], "mean")
    assert checksum(cut(frame, window, window.side, value)) == TRANST[f"{name}.patch_crc32"]
    crop = cut(frame, window, size, value)
    assert checksum(crop) == TRANST[f"{name}.crop_crc32"]
    np.testing.assert_allclose(crop.mean(axis=(0, 1)), TRANST[f"{name}.crop_mean"])


@pytest.mark.parametrize("name", ["train.template", "train.search0", "train.search1"])
def test_crops_and_labels_of_transts_training_equal_the_recorded(name: str) -> None:
    size, factor = (128, 2.0) if name == "train.template" else (256, 4.0)
    target = TRANST["interior.init_bbox"] if name == "train.template" else TRANST[f"{name}.gt_xywh"]
    jittered = target if name == "train.template" else TRANST[f"{name}.jittered_xywh"]
    window = crop_window(jittered, factor, "perimeter")
    crop = cut(FRAMES[0], window, size, padding_value(FRAMES[0], "mean"))
    assert checksum(crop) == TRANST[f"{name}.crop_crc32"]
    label = box_to_crop(target, jittered, size / window.side, size)
    np.testing.assert_allclose(label * size, TRANST[f"{name}.box_crop_xywh"], atol=1e-4)


def test_the_mean_is_rounded_down_also_where_it_is_whole() -> None:
    random = np.random.default_rng(2)
    for shape in ((7, 11), (360, 480), (33, 3)):
        image = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
        assert padding_value(image, "mean") == tuple(image.mean(axis=(0, 1)).astype(np.uint8).tolist())
        plain = np.full((*shape, 3), (10, 255, 3), dtype=np.uint8)
        assert padding_value(plain, "mean") == (10, 255, 3)
        assert padding_value(image, "zero") == 0


# A crop from no more than it takes


def some_windows(count: int, seed: int = 0) -> list[Window]:
    """Windows about an image of 160 x 120 pixels, inside, across each border, around all of it and beside it."""
    random = np.random.default_rng(seed)
    windows = []
    for number in range(count):
        side = int(random.integers(1, 300 if number % 2 else 60))
        corner = (int(random.integers(-1 - side, length + 2)) for length in (160, 120))
        windows.append(Window(*corner, side, border=int(random.integers(2))))
    return windows


@pytest.mark.parametrize("value", [0, (130, 7, 255)])
def test_a_crop_equals_that_of_the_image_with_its_surroundings_painted(value: Padding) -> None:
    image = IMAGE[:120, :160]
    kinds = set()
    for window in some_windows(400):
        left, top, right, bottom = window.inside(image.shape)
        columns, rows = (np.arange(start, start + window.side) for start in window[:2])
        painted = np.full((window.side, window.side, 3), value, dtype=np.uint8)
        ours = (rows >= 0) & (rows < 120 - window.border), (columns >= 0) & (columns < 160 - window.border)
        painted[np.ix_(*ours)] = image[np.ix_(rows[ours[0]], columns[ours[1]])]
        expected = cv2.resize(painted, (48, 48))
        np.testing.assert_array_equal(cut(image, window, 48, value), expected)
        np.testing.assert_array_equal(window.fit(image[top:bottom, left:right], image.shape, 48, value), expected)
        assert right > left and bottom > top or not (ours[0].any() and ours[1].any())
        kinds.add((left > window.x1, top > window.y1, right == 160 - window.border, bottom == 120 - window.border))
    assert len(kinds) >= 14, "inside, and across borders in every combination"


def test_a_crop_is_empty_by_its_mask() -> None:
    verdicts = []
    for window in some_windows(600, seed=1):
        for size in (8, 32, 100, 256):
            expected = padding_mask((120, 160), window, size)[::16, ::16].all()
            verdicts.append(is_empty((120, 160), window, size, 16))
            assert verdicts[-1] == expected
    assert 200 < sum(verdicts) < len(verdicts) - 200


def test_the_box_that_simtrack_is_told_is_the_recorded_one() -> None:
    recorded = np.load(Path(__file__).parents[1] / "reference" / "simtrack_tracker.golden.npz", allow_pickle=False)
    for box, factor, expected in zip(
        recorded["init_box"], recorded["template_factor"], recorded["template_anno"], strict=True
    ):
        found = truncated_box(box, factor, 112)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


def test_a_truncated_box_begins_at_whole_pixels_towards_0_and_keeps_its_size() -> None:
    """The label's corner lies half a pixel further left and up. A box wider than the crop begins left of it, where
    towards 0 is to the right."""
    for box, corner in (((3, 4, 20.4, 30.8), (45, 40)), ((3, 4, 130.6, 111.8), (-9, 0))):
        found, label = truncated_box(box, 1, 112) * 112, box_to_crop(box, box, 1, 112) * 112
        np.testing.assert_allclose(found, [*corner, *box[2:]], rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(np.trunc(label[:2] + 0.5), corner)
