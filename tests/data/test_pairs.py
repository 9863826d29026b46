"""A sample from its number: the same for ever, cropped as published, varied as documented, redrawn within bounds."""

import logging
import math
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from distributions import kolmogorov_p, normal
from listed_sequences import ListedSequences
from same_samples import assert_same

import lib.data.pairs
from lib.config.schema import ConfigError
from lib.config.validation import validate
from lib.data.appearance import AugmentConfig, ColorJitterConfig, MotionBlurConfig, ReducedResolutionConfig
from lib.data.augment import JitterConfig
from lib.data.decoding.images import DECODERS, EncodedImage
from lib.data.pairs import MAX_EMPTY, DataConfig, EmptyCropError, Pairs, SourceConfig
from lib.data.pools import Pool
from lib.data.sampling import draw_frames
from lib.data.types import Sequence
from lib.geometry.crop import CropConfig

TEMPLATE, SEARCH = CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0)
STILL = {"search_jitter": JitterConfig(), "grayscale": 0.0, "joint_flip": 0.0, "flip": 0.0, "brightness": 0.0}
LIVELY = {"search_jitter": JitterConfig(center=3.0, scale=0.25), "grayscale": 0.3}
WIDTH, HEIGHT = 200, 150


def config(**changes) -> DataConfig:
    source = SourceConfig(name="got10k", split="full")
    return DataConfig(train=(source,), samples_per_epoch=1, **{"search_jitter": JitterConfig(), **changes})


def pairs(sequences: list[Sequence], seed: int = 0, crops=(TEMPLATE, SEARCH), **changes) -> Pairs:
    return Pairs(config(**changes), [Pool(ListedSequences(sequences))], *crops, seed)


@pytest.fixture
def noise(make_sequence) -> list[Sequence]:
    """Two videos of colored noise, 20 frames of 200 x 150, the target walking through the middle."""
    rng = np.random.default_rng(0)
    sequences = []
    for name in ("a", "b"):
        images = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(20)]
        sequences.append(make_sequence(name, images, [(60.3 + i, 50.7, 40.2, 30.9) for i in range(20)]))
    return sequences


def test_a_sample_is_a_function_of_seed_and_number(noise):
    numbers = [0, 1, 7, 2**40, 2**40 + 1]
    first = pairs(noise, **LIVELY)
    forward = {number: first.sample(number) for number in numbers}
    again = pickle.loads(pickle.dumps(pairs(noise, **LIVELY)))
    torch.manual_seed(3)
    for number in reversed(numbers):
        assert_same(again.sample(number), forward[number])
    assert len({bytes(sample.search[0].numpy()) for sample in forward.values()}) == len(numbers)
    assert not torch.equal(pairs(noise, seed=1, **LIVELY).sample(0).search[0], forward[0].search[0])


def test_a_sample_says_what_it_is(noise):
    sample = pairs(noise, **LIVELY).sample(4)
    assert sample.numbers[0] == 4 and sample.damaged == sample.empty == ()
    assert (sample.template[0].shape, sample.search[0].shape) == ((3, 32, 32), (3, 64, 64))
    assert sample.template[0].dtype == sample.search[0].dtype == torch.uint8
    assert sample.template_box[0].dtype == sample.search_box[0].dtype == torch.float32
    dataset, name, template, _, search = sample.sources[0].split()
    assert (dataset, name in ("a", "b"), template < search) == ("toy", True, True)
    assert all(Path(frame).suffix == ".png" and frame.startswith(name) for frame in (template, search))


def test_augmented_samples_are_a_function_of_seed_and_number_too(noise):
    augment = AugmentConfig(
        color=ColorJitterConfig(brightness=0.4, saturation=0.4), channels=0.1, three=0.5,
        motion_blur=MotionBlurConfig(share=0.5), reduced_resolution=ReducedResolutionConfig(share=0.5),
    )  # fmt: skip
    varied = pairs(noise, **LIVELY, augment=augment)
    first = [varied.sample(number) for number in range(6)]
    again = pickle.loads(pickle.dumps(varied))
    plain = pairs(noise, **LIVELY)
    for number in reversed(range(6)):
        assert_same(again.sample(number), first[number])
        assert_same(plain.sample(number), first[number], but=("template", "search"))
        assert not torch.equal(plain.sample(number).search[0], first[number].search)


@pytest.mark.parametrize("flips", [0.0, 1.0])
def test_the_box_of_a_stretched_still_is_where_its_target_is_seen(flips, make_sequence):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[50:90, 60:130] = 255
    still = make_sequence("still", [image], [(60, 50, 70, 40)], image_set=True)
    crops = (CropConfig(size=128, factor=2.0), CropConfig(size=256, factor=4.0))
    settings = {**STILL, "flip": flips, "search_jitter": JitterConfig(center=0.5, scale=0.1)}
    stretching = pairs([still], crops=crops, **settings, augment=AugmentConfig(still_aspect=0.2))
    ratios = []
    for number in range(12):
        sample = stretching.sample(number)
        for pixels, box in ((sample.template[0], sample.template_box[0]), (sample.search[0], sample.search_box[0])):
            size = pixels.shape[1]
            rows, columns = np.nonzero(pixels[0].numpy() > 127)
            seen = [columns.min(), rows.min(), columns.max(), rows.max()]
            x, y, width, height = (box * size).tolist()
            # A pixel of the frame is 1.2 of the crop, to which windows are rounded.
            np.testing.assert_allclose([x, y, x + width, y + height], seen, atol=2.6)
        ratios.append(float(sample.search_box[0][2] / sample.search_box[0][3] / (70 / 40)))
        assert float(sample.template_box[0][2] / sample.template_box[0][3]) == pytest.approx(70 / 40, rel=1e-5)
    assert np.abs(np.log(ratios)).max() <= 0.2 and np.std(np.log(ratios)) > 0.05


def test_videos_are_not_stretched(noise):
    plain = pairs(noise, **LIVELY).sample(3)
    assert_same(pairs(noise, **LIVELY, augment=AugmentConfig(still_aspect=0.2)).sample(3), plain)


def test_labels_frame_what_the_crops_show(make_sequence):
    """A bright target on black, through every variation: the label is where the brightness is."""
    images, boxes = [], []
    for i in range(20):
        x, y, w, h = 60 + i, 50 - i, 48, 36
        images.append(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        images[-1][y : y + h, x : x + w] = 255
        boxes.append((x, y, w, h))
    bright = pairs([make_sequence("a", images, boxes)], search_jitter=JitterConfig(center=1.0, scale=0.25))
    for number in range(40):
        sample = bright.sample(number)
        for pixels, box in ((sample.template[0], sample.template_box[0]), (sample.search[0], sample.search_box[0])):
            size = pixels.shape[-1]
            rows, columns = np.nonzero(pixels[0].numpy() > 127)
            shown = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            label = box.numpy() * size
            np.testing.assert_allclose(shown, [*label[:2], *(label[:2] + label[2:])], atol=2.2)


def uniform(low: float, high: float):
    return lambda x: np.clip((x - low) / (high - low), 0, 1)


def heads(probability: float):
    """Distribution function of a coin that shows 1 with that probability."""
    return lambda x: np.where(x < 0, 0, np.where(x < 1, 1 - probability, 1))


@pytest.mark.slow
def test_samples_vary_as_documented(make_sequence):
    """400 samples whose left half is red, right half blue, and whose target is large, so that rounding is small."""
    image = np.zeros((300, 400, 3), np.uint8)
    image[:, :200, 0] = 200
    image[:, 200:, 2] = 200
    picture = make_sequence("a", [image], [(180, 130, 40, 40)], image_set=True)
    lively = pairs([picture], search_jitter=JitterConfig(center=1.0, scale=0.1), grayscale=0.25, flip=0.3)
    samples = [lively.sample(number) for number in range(400)]
    gains = np.array([(s.template_gain[0], s.search_gain[0]) for s in samples])
    for column in gains.T:
        assert kolmogorov_p(column, uniform(0.8, 1.2)) > 1e-3
    assert abs(np.corrcoef(gains.T)[0, 1]) < 0.2

    boxes = np.array([s.search_box[0].numpy() for s in samples])
    centers = (boxes[:, :2] + boxes[:, 2:] / 2) - 0.5
    reach = 1.0 / SEARCH.factor / 2
    for axis in (0, 1):
        assert kolmogorov_p(centers[:, axis], uniform(-reach, reach)) > 1e-3
    scaling = np.log(np.sqrt(boxes[:, 2] * boxes[:, 3]) * SEARCH.factor)
    deviation = 0.1 / math.sqrt(2)
    assert kolmogorov_p(scaling / deviation, normal) > 1e-3
    assert kolmogorov_p(scaling / deviation * 1.6, normal) < 1e-3

    crops = [(s.template[0], s.search[0]) for s in samples]
    gray = np.array([[int((crop[0] == crop[2]).all()) for crop in pair] for pair in crops])
    assert (gray[:, 0] == gray[:, 1]).all()
    assert kolmogorov_p(gray[:, 0], heads(0.25)) > 1e-3
    colored = [s for s in samples if not (s.template[0][0] == s.template[0][2]).all()]
    turned = np.array([[int(c[0, c.shape[1] // 2, -1] > 100) for c in (s.template[0], s.search[0])] for s in colored])
    assert kolmogorov_p(turned[:, 0], heads(0.5)) > 1e-3
    # Joint flips cancel between the two, which leaves the crops' own: 2 * 0.3 * 0.7.
    assert kolmogorov_p(turned[:, 0] ^ turned[:, 1], heads(0.42)) > 1e-3
    assert kolmogorov_p(turned[:, 0] ^ turned[:, 1], heads(0.7)) < 1e-3


@pytest.fixture
def decoded(monkeypatch) -> list[EncodedImage]:
    """The image of every decoding, in order."""
    images = []
    original = EncodedImage._decode
    monkeypatch.setattr(EncodedImage, "_decode", lambda self, region: images.append(self) or original(self, region))
    return images


def test_a_frame_is_decoded_once(make_sequence, noise, decoded):
    picture = make_sequence("p", [np.full((HEIGHT, WIDTH, 3), 9, np.uint8)], [(80, 60, 40, 40)], image_set=True)
    pairs([picture]).sample(0)
    assert len(decoded) == 1
    interval = pairs(noise, **LIVELY, pairing="interval", max_gap=2)
    same = 0
    for number in range(30):
        decoded.clear()
        *_, template, _, search = interval.sample(number).sources[0].split()
        assert len(decoded) == (1 if template == search else 2)
        same += template == search
    assert 0 < same < 30


# Two kinds of families, each as its published code has it, and a sample of each worked out step by step

SHARED = {"template_jitter": {}, "grayscale": 0.5, "brightness": 0.2}  # more gray than published
LINEAGE = {"pairing": "causal", "max_gap": 200, "joint_flip": 0.5, "flip": 0.5}
FAMILIES = {
    "grm, ostrack": (
        {"size": 128, "factor": 2.0},
        {"size": 256, "factor": 4.0},
        {**SHARED, **LINEAGE, "search_jitter": {"center": 3.0, "scale": 0.25}},
    ),
    "transt": (
        {"size": 128, "factor": 2.0, "context": "perimeter", "fill": "mean"},
        {"size": 256, "factor": 4.0, "context": "perimeter", "fill": "mean"},
        {
            **SHARED,
            "pairing": "interval",
            "max_gap": 100,
            "joint_flip": 0.0,
            "flip": 0.0,
            "search_jitter": {"center": 3.0, "scale": 0.25},
        },
    ),
}


def straightforward(sequence: Sequence, template: dict, search: dict, data: dict, seed: int, number: int) -> list:
    """Pixels, label and gain of both crops, from whole images, as the papers' code goes about it."""
    rng = np.random.default_rng((seed, number))
    rng.choice(1, p=[1.0]), rng.integers(1)
    frames = draw_frames(sequence, data["pairing"], data["max_gap"], rng)
    gray, flip = rng.random() < data["grayscale"], rng.random() < data["joint_flip"]
    crops = []
    for frame, crop, jitter in zip(frames, (template, search), ({}, data["search_jitter"]), strict=True):
        image, (x, y, w, h) = cv2.imread(str(sequence.frames[frame]))[:, :, ::-1], sequence.boxes[frame]
        if gray:
            image = np.repeat(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
        if flip:
            image, x = image[:, ::-1], image.shape[1] - 1 - (x + w)
        wide, high = np.array((w, h)) * np.exp(rng.standard_normal(2) * jitter.get("scale", 0.0))
        square = crop.get("context", "area") == "area"
        unit = math.sqrt(wide * high) if square else (wide + high) / 2
        move_x, move_y = unit * jitter.get("center", 0.0) * (rng.random(2) - 0.5)
        center_x, center_y = x + w / 2 + move_x, y + h / 2 + move_y
        if square:
            side = math.ceil(math.sqrt(wide * high) * crop["factor"])
            left, top = round(center_x - side / 2), round(center_y - side / 2)
        else:
            margin = (crop["factor"] - 1) * (wide + high) / 2
            side = math.ceil(math.sqrt((wide + margin) * (high + margin)))
            left, top = math.floor(center_x - side / 2), math.floor(center_y - side / 2)
        color = image.mean(axis=(0, 1)).astype(np.uint8) if crop.get("fill") == "mean" else 0
        rim = 1000
        padded = np.full((image.shape[0] + 2 * rim, image.shape[1] + 2 * rim, 3), color, np.uint8)
        lost = 1 if square else 0
        kept = image[: image.shape[0] - lost, : image.shape[1] - lost]
        padded[rim : rim + kept.shape[0], rim : rim + kept.shape[1]] = kept
        patch = padded[rim + top : rim + top + side, rim + left : rim + left + side]
        pixels = cv2.resize(np.ascontiguousarray(patch), (crop["size"], crop["size"]))
        scale = crop["size"] / side
        middle_x, middle_y = ((crop["size"] - 1) / 2 - scale * move for move in (move_x, move_y))
        label = np.array((middle_x - w * scale / 2, middle_y - h * scale / 2, w * scale, h * scale)) / crop["size"]
        gain = rng.uniform(1 - data["brightness"], 1 + data["brightness"])
        if rng.random() < data["flip"]:
            pixels, label[0] = pixels[:, ::-1], 1 - (label[0] + label[2])
        crops.append((pixels, label, gain))
    return crops


def family_pairs(pool: Pool, template: dict, search: dict, data: dict) -> Pairs:
    crops = [validate(CropConfig, crop, "x.yaml") for crop in (template, search)]
    return Pairs(validate(DataConfig, {**RIGHT, **data}, "x.yaml"), [pool], *crops, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_of_each_family_are_those_of_the_straightforward_way(noise, family):
    template, search, data = FAMILIES[family]
    video = noise[0]
    ours = family_pairs(Pool(ListedSequences([video])), template, search, data)
    for number in range(10):
        sample = ours.sample(number)
        assert sample.damaged == sample.empty == ()
        expected = straightforward(video, template, search, data, 3, number)
        for role, (pixels, label, gain) in zip(("template", "search"), expected, strict=True):
            np.testing.assert_array_equal(getattr(sample, role)[0].permute(1, 2, 0).numpy(), pixels)
            np.testing.assert_allclose(getattr(sample, f"{role}_box")[0], label, atol=1e-5)
            assert getattr(sample, f"{role}_gain")[0] == gain


def test_an_image_is_cropped_twice(make_sequence):
    """Image sets as videos of one frame: both crops show it, the second moved."""
    template, search, data = FAMILIES["transt"]
    image = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture = make_sequence("p", [image], [(80.5, 60, 40, 50)], image_set=True)
    ours = family_pairs(Pool(ListedSequences([picture]), every=30), template, search, data)
    for number in range(4):
        sample = ours.sample(number)
        expected = straightforward(picture, template, search, data, 3, number)
        for found, (pixels, *_) in zip((sample.template[0], sample.search[0]), expected, strict=True):
            np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), pixels)


def test_only_annotated_frames_are_drawn(noise):
    every = Pairs(config(**STILL), [Pool(ListedSequences(noise), every=4)], TEMPLATE, SEARCH, 0)
    numbers = set()
    for number in range(80):
        *_, template, _, search = every.sample(number).sources[0].split()
        numbers |= {int(Path(frame).stem[-4:]) for frame in (template, search)}
    assert numbers == {0, 4, 8, 12, 16, 19}
    with pytest.raises(ValueError, match="no pair can be drawn .* a visible target among the last one and each 10th$"):
        Pairs(config(**STILL), [Pool(ListedSequences(noise), every=10)], TEMPLATE, SEARCH, 0)


def test_decoders_give_the_same_samples(noise, tmp_path):
    frames = []
    for number, frame in enumerate(noise[0].frames):
        frames.append(tmp_path / f"{number:04d}.jpg")
        cv2.imwrite(str(frames[-1]), cv2.imread(str(frame)))
    video = replace(noise[0], frames=tuple(frames))
    auto, opencv = (pairs([video], **LIVELY, decoder=decoder) for decoder in ("auto", "opencv"))
    for number in range(10):
        assert_same(auto.sample(number), opencv.sample(number))


def test_a_decoder_without_its_library_is_an_error(noise, monkeypatch):
    monkeypatch.setattr(lib.data.pairs, "find_decoder", lib.data.decoding.images.find_decoder.__wrapped__)
    absent = DECODERS["jpeg4py"]._replace(is_installed=lambda: False)
    monkeypatch.setitem(DECODERS, "jpeg4py", absent)
    with pytest.raises(ValueError, match="its library is not installed; pip install jpeg4py"):
        pairs(noise, decoder="jpeg4py")


# What cannot be used


def test_a_damaged_image_is_redrawn_logged_and_counted(noise, caplog):
    for frame in noise[0].frames:
        frame.write_bytes(frame.read_bytes()[:100])
    half = pairs(noise, **LIVELY)
    with caplog.at_level(logging.WARNING):
        samples = [half.sample(number) for number in range(20)]
    assert all(" b " in sample.sources[0] for sample in samples)
    reasons = [reason for sample in samples for reason in sample.damaged]
    assert reasons and all("a_00" in reason for reason in reasons)
    for record, reason in zip(caplog.records, reasons, strict=True):
        assert record.getMessage().startswith(reason)
    assert_same(pairs(noise, **LIVELY).sample(3), samples[3])


def test_what_follows_damage_does_not_depend_on_when_it_shows(noise, monkeypatch):
    """One decoder finds it in the header, another only in the pixels, when more was drawn: the next draw is anew."""
    for frame in noise[0].frames:
        frame.write_bytes(frame.read_bytes()[:100])
    early = [pairs(noise, **LIVELY).sample(number) for number in range(10)]
    assert any(sample.damaged for sample in early)
    damaged = set(noise[0].frames)
    shape = EncodedImage.shape
    monkeypatch.setattr(
        EncodedImage,
        "shape",
        property(lambda image: (HEIGHT, WIDTH) if image._location in damaged else shape.fget(image)),
    )
    for number, expected in enumerate(early):
        assert_same(pairs(noise, **LIVELY).sample(number), expected)


def test_an_empty_crop_is_redrawn_and_counted(noise):
    boxes = noise[0].boxes + [900, 0, 0, 0]
    outside = pairs([replace(noise[0], boxes=boxes), noise[1]], **LIVELY)
    samples = [outside.sample(number) for number in range(20)]
    assert all(" b " in sample.sources[0] for sample in samples)
    reasons = [reason for sample in samples for reason in sample.empty]
    assert all(sample.damaged == () for sample in samples)
    assert reasons and all("toy a a_00" in reason and "lies off the image" in reason for reason in reasons)


@pytest.mark.parametrize("box", [(900, 0, 30, 30), (-900, 0, 30, 30), (0, -900, 30, 30), (20, 20, 0, 30)])
def test_nothing_but_empty_crops_is_an_error_that_names_one(noise, box):
    nowhere = pairs([replace(noise[0], boxes=np.tile(box, (20, 1)).astype(float))], **STILL)
    with pytest.raises(EmptyCropError, match=f"sample 5: {MAX_EMPTY} crops .* toy a a_00"):
        nowhere.sample(5)


def test_sequences_that_cannot_be_drawn_are_left_out(noise, caplog):
    hidden = replace(noise[0], visible=np.arange(20) < 4)
    with caplog.at_level(logging.INFO):
        half = pairs([hidden, noise[1]])
    assert "1 of 2 sequences" in caplog.text
    assert all(" b " in half.sample(number).sources[0] for number in range(10))
    with pytest.raises(ValueError, match="toy: no pair can be drawn from its 1 sequences: .* 20 frames, 5 of"):
        pairs([hidden])
    with pytest.raises(ValueError, match="a dataset without sequences"):
        pairs([])


RIGHT = {"train": [{"name": "got10k", "split": "full"}], "samples_per_epoch": 10, "search_jitter": {"center": 3.0}}
WRONG = {
    "no dataset": ({"train": []}, "train"),
    "unknown dataset": ({"train": [{"name": "got10", "split": "full"}]}, "did you mean got10k"),
    "weight of nothing": ({"train": [{"name": "got10k", "split": "full", "weight": 0}]}, "weight"),
    "samples without a dataset": ({"val_samples": 5}, "val and val_samples belong together"),
    "a dataset without samples": ({"val": [{"name": "got10k", "split": "val"}]}, "val and val_samples belong together"),
    "gap too small": ({"max_gap": 1}, "max_gap"),
    "probability": ({"flip": 1.5}, "flip"),
    "jitter": ({"search_jitter": {"center": -1.0}}, "center"),
    "pairing": ({"pairing": "trident"}, "pairing: got .*trident"),
    "store": ({"store": "lmdb"}, "store: got .*lmdb"),
    "decoder": ({"decoder": "pil"}, "decoder: got .*pil"),
    "annotated never": ({"train": [{"name": "got10k", "split": "full", "annotated_every": 0}]}, "annotated_every"),
}


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG)
def test_wrong_configurations(changes, message):
    assert validate(DataConfig, RIGHT, "x.yaml").search_jitter.center == 3.0
    with pytest.raises(ConfigError, match=message):
        validate(DataConfig, {**RIGHT, **changes}, "x.yaml")
