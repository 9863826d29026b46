"""Training pairs of aligned crops (LoRAT): the jitter's draws, refusals, labels and pixels, against the recorded."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from listed_sequences import ListedSequences
from recorded_frames import texture

from lib.data.appearance import jitter_colors, solarize, vary_pair
from lib.data.augment import JitterConfig, is_well_seen, jitter_mapping, mirror_box
from lib.data.pairs import MOST_DRAWS, DataConfig, EmptyCropError, Pairs
from lib.data.pools import Pool
from lib.data.types import Sequence
from lib.geometry.aligned import CropMapping, align
from lib.geometry.crop import CropConfig, crop_mapping, cut, mean_color, window_of
from lib.geometry.grids import touched_cells
from lib.models.base import IMAGE_MEAN, IMAGE_STD

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "lorat_crop.golden.npz", allow_pickle=False)
JITTER = JitterConfig(center=6.0, scale=0.25)


def crop_config(size: int, factor: float) -> CropConfig:
    return CropConfig(size=size, factor=factor, context="perimeter", fill="mean", placement="aligned")


def xywh(box: np.ndarray) -> np.ndarray:
    return np.concatenate([box[:2], box[2:] - box[:2]])


class Recorded:
    """A generator that gives recorded numbers, two at a time."""

    def __init__(self, normals: np.ndarray, uniforms: np.ndarray) -> None:
        self._normals, self._uniforms = iter(normals), iter(uniforms)

    def standard_normal(self, count: int) -> np.ndarray:
        return next(self._normals)

    def uniform(self, low: float, high: float, count: int) -> np.ndarray:
        return next(self._uniforms)


def first_good(box: np.ndarray, crop: CropConfig, rng, most: int = MOST_DRAWS) -> tuple[bool, int, CropMapping]:
    """Whether one of ``most`` draws shows the target well, how many it took, and the last mapping."""
    for number in range(1, most + 1):
        mapping = jitter_mapping(crop_mapping(xywh(box), crop), xywh(box), JITTER, crop.size, rng)
        if is_well_seen(mapping.to_crop(box), crop.size):
            return True, number, mapping
    return False, most, mapping


def test_the_jitter_and_its_refusals_equal_the_recorded():
    for row in range(16):
        size, factor = int(RECORDED["jitter.setting_size"][row]), float(RECORDED["jitter.setting_factor"][row])
        draws = Recorded(RECORDED["jitter.normals"][row // 2], RECORDED["jitter.uniforms"][row // 2])
        assert len(RECORDED["jitter.normals"][row // 2]) == MOST_DRAWS
        good, used, params = first_good(RECORDED["jitter.box_xyxy"][row], crop_config(size, factor), draws)
        assert (good, used) == (RECORDED["jitter.is_success"][row], RECORDED["jitter.draws_used"][row])
        np.testing.assert_allclose(params, RECORDED["jitter.params"][row], rtol=1e-9)


def test_the_generator_is_asked_in_the_recorded_order():
    box = np.array([201.37, 149.62, 259.18, 192.89])
    for seed in range(10):
        rng = np.random.default_rng(seed)
        good, _, params = first_good(box, crop_config(224, 4.0), rng)
        assert good == RECORDED["jitter.generator_is_success"][seed]
        np.testing.assert_allclose(params, RECORDED["jitter.generator_params"][seed], rtol=1e-9)


def normalized(pixels: np.ndarray) -> np.ndarray:
    return (pixels / 255 - np.array(IMAGE_MEAN)) / np.array(IMAGE_STD)


TRAINING = sorted({key.rpartition(".")[0] for key in RECORDED if key.startswith("train.") and key.count(".") == 3})


@pytest.mark.parametrize("key", TRAINING)
def test_crops_and_labels_of_training_equal_the_recorded(key):
    size = 378 if "378" in key else 224
    crop = crop_config(size, 5.0 if size == 378 else 4.0)
    first, second = (RECORDED[f"{key}.{name}_box_xyxy"] for name in ("template", "search"))
    rng = np.random.default_rng(int(RECORDED[f"{key}.rng_seed"]))
    good = False
    while not good:
        good, _, mapping = first_good(second, crop, rng, most=1)
    np.testing.assert_allclose(mapping, RECORDED[f"{key}.search_params"], rtol=1e-9)
    window = align(mapping, size, (360, 480))
    label, pixels = window.box_to_crop(xywh(second)), cut(texture(1), window, size, mean_color(texture(1)))
    if "flip" in key:
        label, pixels = mirror_box(label, 1), cv2.flip(pixels, 1)
    corners = np.concatenate([label[:2], label[:2] + label[2:]]).clip(0, 1)
    np.testing.assert_allclose(corners, RECORDED[f"{key}.target_box"], atol=1e-6)
    positives = touched_cells(torch.from_numpy(label)[None], size // 14)[0].nonzero()[:, 0]
    assert np.array_equal(positives, RECORDED[f"{key}.positives"])
    assert np.abs(normalized(pixels)[::16, ::16] - RECORDED[f"{key}.search_excerpt"]).max() < 5e-4
    template = crop_config(112 if size == 224 else 196, 2.0)
    shown = window_of(xywh(first), template, (360, 480))
    crop_of_template = cut(texture(0), shown, template.size, mean_color(texture(0)))
    box = shown.box_to_crop(xywh(first))
    if "flip" in key:
        crop_of_template, box = cv2.flip(crop_of_template, 1), mirror_box(box, 1)
    grid = template.size // 14
    mask = touched_cells(torch.from_numpy(box)[None], grid).numpy().reshape(grid, grid)
    assert np.array_equal(mask, RECORDED[f"{key}.template_mask"])
    assert np.abs(normalized(crop_of_template)[::16, ::16] - RECORDED[f"{key}.template_excerpt"]).max() < 5e-4


def test_the_colors_and_the_three_changes_equal_the_recorded():
    image = RECORDED["aug.input_uint8"]
    for number in range(3):
        names, factors = ("brightness", "contrast", "saturation"), RECORDED["aug.color.brightness_contrast_saturation"]
        order = [int(step) for step in RECORDED["aug.color.order"][number] if step < 3]
        changes = [(names[step], factors[number][step]) for step in order]
        varied = jitter_colors(image.astype(np.float32), changes)
        np.testing.assert_allclose(varied.transpose(2, 0, 1) / 255, RECORDED["aug.color.out"][number], atol=2e-6)
    assert np.array_equal(solarize(image).transpose(2, 0, 1), RECORDED["aug.deit3.out_uint8"][1])


def written(folder: Path, box: list[float]) -> Sequence:
    """Twenty frames, of two pictures on disk, with the same box, xywh."""
    files = []
    for number in (0, 1):
        files.append(folder / f"{number:04d}.png")
        cv2.imwrite(str(files[-1]), texture(number)[:, :, ::-1])
    return Sequence("video", "got10k", tuple(files * 10), np.array([box] * 20), np.ones(20, bool))


def pairs_of(sequence: Sequence, **data) -> Pairs:
    config = DataConfig(
        train=({"name": "got10k", "split": "full"},), samples_per_epoch=1, pairing="interval", max_gap=100, workers=0,
        search_jitter=JITTER, grayscale=0.0, joint_flip=0.0, brightness=0.0, **data,
    )  # fmt: skip
    return Pairs(config, [Pool(ListedSequences([sequence]))], crop_config(112, 2.0), crop_config(224, 4.0), seed=3)


def test_a_sample_has_whole_pixels_and_a_target_that_is_well_seen(tmp_path):
    pairs = pairs_of(written(tmp_path, [203.0, 151.5, 63.0, 42.5]))
    for number in range(12):
        sample = pairs.sample(number)
        assert sample.template[0].dtype == sample.search[0].dtype == torch.uint8
        assert sample.search[0].shape == (3, 224, 224) and sample.template[0].shape == (3, 112, 112)
        corner, extent = sample.search_box[0].split(2)
        low, high = corner.clamp(0, 1), (corner + extent).clamp(0, 1)
        assert ((high - low) * 224 >= 10 - 1e-3).all()
        again = pairs.sample(number)
        assert torch.equal(sample.search[0], again.search[0]) and torch.equal(sample.template[0], again.template[0])


@pytest.mark.slow
def test_a_thin_target_is_refused_with_the_reason(tmp_path):
    """The published code drops such a sample and takes another at random, without a word."""
    pairs = pairs_of(written(tmp_path, [200.0, 100.0, 2.0, 160.0]))
    with pytest.raises(EmptyCropError, match="too little of the target is seen in 12 crops"):
        pairs.sample(0)


def test_crops_of_float_are_cut_off_by_colors_and_rounded_without():
    crops = [np.full((4, 4, 3), 99.7, dtype=np.float32)] * 2
    config = DataConfig.model_fields["augment"].default
    assert (vary_pair(crops, [1.0, 1.0], config, np.random.default_rng(0))[0] == 100).all()
