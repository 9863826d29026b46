"""Each change of how crops look against torchvision, Pillow or its definition; off, it draws and changes nothing."""

import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import functional as reference

from lib.config.schema import ConfigError
from lib.config.validation import validate
from lib.data.appearance import (
    AugmentConfig,
    ColorJitterConfig,
    ReducedResolutionConfig,
    blur_along_line,
    jitter_colors,
    line_kernel,
    reduce_resolution,
    solarize,
    stretch,
    stretch_box,
    vary_pair,
)
from lib.data.augment import to_grayscale

COLOR = ColorJitterConfig(brightness=0.4, contrast=0.4, saturation=0.4)
SIZES = (40.0, 50.0)


@pytest.fixture
def crops() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [cv2.resize(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (size, size)) for size in (48, 64)]


def vary(crops: list[np.ndarray], config: AugmentConfig, seed: int = 0) -> list[np.ndarray]:
    return vary_pair(crops, SIZES, config, np.random.default_rng(seed))


def test_what_is_off_draws_no_number_and_changes_nothing(crops):
    rng = np.random.default_rng(3)
    before = rng.bit_generator.state
    varied = vary_pair(crops, SIZES, AugmentConfig(), rng)
    assert rng.bit_generator.state == before
    assert all(one is other for one, other in zip(varied, crops, strict=True))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("factors", [(0.6, 1.4, 1.3), (1.4, 0.7, 0.2), (1.0, 1.39, 1.0)])
def test_colors_are_jittered_as_torchvision_does(crops, order, factors):
    names = ("brightness", "contrast", "saturation")
    found = jitter_colors(crops[0].astype(np.float32), [(names[number], factors[number]) for number in order]) / 255
    expected = torch.from_numpy(crops[0]).permute(2, 0, 1) / 255
    changes = (reference.adjust_brightness, reference.adjust_contrast, reference.adjust_saturation)
    for number in order:
        expected = changes[number](expected, factors[number])
    np.testing.assert_allclose(found, expected.permute(1, 2, 0), atol=2e-6)


def test_joint_colors_are_the_same_for_both_crops(crops):
    same = [crops[0], crops[0]]
    one, other = vary(same, AugmentConfig(color=COLOR.model_copy(update={"joint": True})))
    assert (one == other).all() and (one != crops[0]).any()
    one, other = vary(same, AugmentConfig(color=COLOR))
    assert (one != other).any()


def test_color_factors_fill_their_range():
    """A gray image shows the factor of its brightness."""
    gray = np.full((2, 2, 3), 100, np.uint8)
    config = AugmentConfig(color=ColorJitterConfig(brightness=0.4))
    values = np.array([image.mean() for seed in range(300) for image in vary([gray, gray], config, seed)])
    assert 60 <= values.min() < 64 and 136 < values.max() <= 140 and abs(values.mean() - 99.5) < 3


def test_channels_are_multiplied_each_by_itself():
    gray = np.full((4, 4, 3), 100, np.uint8)
    values = np.array([vary([gray, gray], AugmentConfig(channels=0.2), seed)[0][0, 0] for seed in range(200)])
    assert 80 <= values.min() < 82 and 118 < values.max() <= 120
    assert np.abs(np.corrcoef(values.T) - np.eye(3)).max() < 0.25


def test_one_of_three_changes_both_crops_alike(crops):
    found = set()
    for seed in range(30):
        template, search = vary(crops, AugmentConfig(three=1.0), seed)
        kinds = [
            "gray" if (varied == to_grayscale(crop)).all()
            else "solarized" if (varied == solarize(crop)).all()
            else "blurred"
            for varied, crop in zip((template, search), crops, strict=True)
        ]  # fmt: skip
        assert kinds[0] == kinds[1]
        found.add(kinds[0])
    assert found == {"gray", "solarized", "blurred"}


def test_gray_and_solarized_are_those_of_pillow(crops):
    image = Image.fromarray(crops[0])
    np.testing.assert_array_equal(solarize(crops[0]), np.array(ImageOps.solarize(image, 128)))
    gray = np.array(image.convert("L")).astype(int)
    assert np.abs(to_grayscale(crops[0])[:, :, 0] - gray).max() <= 1


@pytest.mark.parametrize("length, angle", [(5, 0.0), (7, math.pi / 2), (9.5, 0.7), (3.2, 2.9)])
def test_a_line_of_weights_is_symmetric_and_of_the_stated_length(length, angle):
    kernel = line_kernel(length, angle)
    assert kernel.sum() == pytest.approx(1) and (kernel >= 0).all()
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
    y, x = np.indices(kernel.shape) - (len(kernel) - 1) / 2
    variance = (kernel * (x * math.cos(angle) + y * math.sin(angle)) ** 2).sum()
    across = (kernel * (y * math.cos(angle) - x * math.sin(angle)) ** 2).sum()
    assert variance == pytest.approx(length**2 / 12, abs=0.5) and across < 0.3


def test_blur_along_a_row_is_the_mean_of_its_neighbors(crops):
    one, other = blur_along_line(crops[0], 8.0, 0.0), crops[0].astype(float)
    weights = line_kernel(8.0, 0.0)[4]
    expected = sum(weights[4 + d] * np.roll(other, -d, axis=1) for d in range(-4, 5))
    assert np.abs(one - expected)[:, 4:-4].max() <= 0.6


def test_reduced_resolution_is_the_mean_of_blocks(crops):
    reduced = reduce_resolution(crops[0], 0.25)
    blocks = crops[0].reshape(12, 4, 12, 4, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(reduced, cv2.resize(np.rint(blocks).astype(np.uint8), (48, 48)))
    assert reduce_resolution(crops[0], 1.0) is crops[0]


def test_targets_that_are_small_already_stay_as_they_are(crops):
    config = AugmentConfig(reduced_resolution=ReducedResolutionConfig(share=1.0, target=(12.0, 20.0)))
    small, large = vary_pair(crops, (11.0, 60.0), config, np.random.default_rng(0))
    assert small is crops[0] and (large != crops[1]).any()


@pytest.mark.parametrize("ratio", [1.12, 1 / 1.3])
def test_a_stretched_crop_shows_the_box_where_it_says(ratio):
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:36, 24:48] = 255
    stretched = stretch(image, ratio)[:, :, 0] / 255
    # Boxes of crops count from the middle of the first pixel, as the lineage's labels do.
    x, y, width, height = stretch_box(np.array((23.5, 19.5, 24, 16), np.float32) / 64, ratio, 64) * 64
    assert width / height == pytest.approx(24 / 16 * ratio, rel=1e-5)
    columns, rows = stretched.sum(axis=0), stretched.sum(axis=1)
    assert columns.sum() == pytest.approx(width * height, rel=0.01)
    assert (columns * np.arange(64)).sum() / columns.sum() == pytest.approx(x + width / 2, abs=0.05)
    assert (rows * np.arange(64)).sum() / rows.sum() == pytest.approx(y + height / 2, abs=0.05)


@pytest.mark.parametrize("section, key", [("motion_blur", "length"), ("reduced_resolution", "target")])
@pytest.mark.parametrize("span", [[0.5, 3], [9, 3]])
def test_a_span_that_is_none_is_refused(section, key, span):
    with pytest.raises(ConfigError, match=f"{section}.{key}: .* the smaller first"):
        validate(AugmentConfig, {section: {key: span}}, "x.yaml")
