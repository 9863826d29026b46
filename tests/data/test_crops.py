"""Crops from a store: where the exact ones are, nearly the same pixels, or else from the frame; damage is named."""

import logging
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from crop_stores import (
    LIVELY,
    SEARCH,
    STILL,
    TEMPLATE,
    make_store,
    natural,
    open_index,
    open_store,
    ramp,
    settings,
    write_pictures,
)
from miniatures import write_coco

import lib.data.pairs
from lib.data.augment import JitterConfig, jitter_box, mirror_box
from lib.data.croppers import FrameCropper
from lib.data.decoding.images import ImageError, open_image
from lib.data.pairs import DataConfig, Pairs, SourceConfig
from lib.data.pools import Pool
from lib.data.stores.columns import open_columns, write_columns
from lib.data.stores.crops import INDEX, StoredCropper
from lib.data.stores.reach import CropSettings
from lib.geometry.crop import CropConfig, Window, crop_window

WIDTH, HEIGHT = 320, 240
# Of small targets the frame's own pixels are stored, of large ones fewer; at the borders the windows leave the image.
BOXES = {
    "small": (150.3, 100.6, 18.0, 22.0),
    "small, left": (2.2, 110.0, 20.0, 16.0),
    "small, bottom right": (299.0, 222.0, 18.0, 17.0),
    "large": (110.0, 80.0, 90.0, 70.0),
    "large, top": (100.4, -10.0, 60.0, 80.0),
    "large, bottom right": (240.0, 160.0, 79.0, 80.0),
}
PERIMETER = {"context": "perimeter", "fill": "mean"}
FAMILIES = {
    "area, zero": settings(quality=100),
    "perimeter, mean": settings(
        TEMPLATE.model_copy(update=PERIMETER), SEARCH.model_copy(update=PERIMETER), quality=100
    ),
}


def no_frame() -> FrameCropper:
    """For frames whose crops are stored."""
    raise AssertionError("the frame is opened")


def draw_crops(
    folder: Path, made_for: CropSettings, count: int
) -> Iterator[tuple[str, StoredCropper, FrameCropper, tuple]]:
    """What it is, a stored frame, the frame itself, and what to ask them for: ``count`` windows of each role."""
    store, sequence, rng = open_store(folder, made_for), open_index(folder)[0], np.random.default_rng(0)
    for frame, box in enumerate(sequence.boxes):
        image = open_image(sequence.frames[frame])
        for role in ("template", "search"):
            crop, jitter = getattr(made_for, role).crop, getattr(made_for, role).jitter
            for number in range(count):
                flipped, grayscale = bool(number % 2), number % 5 == 0
                where = mirror_box(box, image.shape[1] - 1) if flipped else box
                window = crop_window(jitter_box(where, jitter, rng, crop.context), crop.factor, crop.context)
                frame_cropper = FrameCropper(image, crop.fill)
                stored = store.cropper(sequence.name, frame, role, lambda frame=frame_cropper: frame)
                yield f"frame {frame}, {role}: {window}", stored, frame_cropper, (window, crop.size, flipped, grayscale)


@pytest.mark.parametrize(
    "made_for, slope", [*zip(FAMILIES.values(), [(0.35, 0.5), (0.35, -0.5)], strict=True)], ids=FAMILIES
)
def test_a_crop_shows_what_the_frame_shows_there(tmp_path, made_for, slope):
    """On a ramp a crop that was a stored pixel aside would be wrong by up to 3 levels, and by 0.6 on the average."""
    write_pictures(tmp_path / "data", [ramp(HEIGHT, WIDTH, slope)] * len(BOXES), np.array(list(BOXES.values())))
    make_store(tmp_path, made_for)
    taken = 0
    for what, stored, whole, asked in draw_crops(tmp_path, made_for, 10):
        assert stored.shape == whole.shape == (HEIGHT, WIDTH)
        crop = stored.crop(*asked)
        if not stored.missed:
            exact = whole.crop(*asked)
            assert (crop.shape, crop.dtype, crop.flags.c_contiguous) == (exact.shape, np.uint8, True)
            difference = np.abs(crop.astype(int) - exact)
            # Whole levels were rounded to twice: 2 apart they may be less than 1.5.
            assert difference.max() <= 2 and difference.mean() < 0.4, what
            taken += 1
    assert taken >= len(BOXES) * 2 * 10 - 2


@pytest.mark.slow
@pytest.mark.parametrize("side, mean, percentile", [(30, 2.0, 8), (90, 5.0, 20)], ids=["whole", "reduced"])
def test_pixels_stay_near_the_exact_ones(tmp_path, side, mean, percentile):
    """The tolerance of the docs, on pictures with a photograph's spectrum and sharp sides of shapes."""
    boxes = np.array([(140 + 20 * i, 100 + 10 * i, side, side) for i in range(4)])
    write_pictures(tmp_path / "data", [natural(360, 480, seed) for seed in range(4)], boxes)
    made_for = settings(CropConfig(size=64, factor=2.0), CropConfig(size=128, factor=4.0))
    make_store(tmp_path, made_for)
    differences = np.concatenate([
        np.abs(stored.crop(*asked).astype(int) - whole.crop(*asked)).ravel()
        for _, stored, whole, asked in draw_crops(tmp_path, made_for, 6)
    ])  # fmt: skip
    assert 0 < differences.mean() < mean and np.percentile(differences, 99) <= percentile


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """A folder with two sequences of 20 frames, their targets small in the one and large in the other, and a store."""
    folder = tmp_path_factory.mktemp("photographs")
    pictures = [natural(HEIGHT, WIDTH, seed) for seed in range(4)]
    for name, side in (("a", 20.0), ("b", 55.0)):
        boxes = np.array([(100.3 + 3 * i, 80.6 + 2 * i, side, 0.8 * side) for i in range(20)])
        write_pictures(folder / "data", [pictures[i % 4] for i in range(20)], boxes, name)
    make_store(folder, settings())
    return folder


@pytest.fixture
def copied(photographs, tmp_path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(photographs, tmp_path / "copy")


def build_pairs(folder: Path, made_for: CropSettings | None, **changes) -> Pairs:
    """Pairs of that folder's dataset, with its crop store if crops are asked for."""
    store = None if made_for is None else open_store(folder, made_for)
    source = SourceConfig(name="got10k", split="full")
    config = DataConfig(train=(source,), samples_per_epoch=1, **{"search_jitter": LIVELY, "grayscale": 0.3, **changes})
    return Pairs(config, [Pool(open_index(folder), crops=store)], TEMPLATE, SEARCH, 0)


def test_samples_differ_from_those_of_frames_in_their_pixels_alone(photographs, monkeypatch):
    """And no frame is opened for them."""
    stored, plain = build_pairs(photographs, settings()), build_pairs(photographs, None)
    for number in range(12):
        exact = plain.sample(number)
        with monkeypatch.context() as patch:
            patch.setattr(lib.data.pairs, "open_image", lambda *_: no_frame())
            sample = stored.sample(number)
        assert sample.missed == 0 and exact.missed == 0
        for name in ("numbers", "template_gain", "search_gain", "sources", "damaged", "empty"):
            assert getattr(sample, name) == getattr(exact, name)
        assert torch.equal(sample.template_box, exact.template_box) and torch.equal(sample.search_box, exact.search_box)
        for crop, other in ((sample.template[0], exact.template[0]), (sample.search[0], exact.search[0])):
            assert not torch.equal(crop, other) and (crop.float() - other.float()).abs().mean() < 8
            gray = [bool((pixels[0] == pixels[2]).all()) for pixels in (crop, other)]
            assert gray[0] == gray[1]


@pytest.mark.slow
def test_what_is_not_stored_is_taken_from_the_frame(copied):
    """Of a store whose surroundings are far too small, and which has more frames than are drawn."""
    made_for = settings(coverage=0.5, every=3)
    shutil.rmtree(copied / "crops")
    make_store(copied, made_for)
    index, store = open_index(copied), open_store(copied, made_for.model_copy(update={"every": 6}))
    assert [frame for frame in range(20) if store.find("a", frame)] == [0, 3, 6, 9, 12, 15, 18, 19]
    assert store.find("c", 0) is None and store.find("a", 20) is None
    config = build_pairs(copied, None).config
    pairs = Pairs(config, [Pool(index, every=6, crops=store)], TEMPLATE, SEARCH, 0)
    plain = Pairs(config, [Pool(index, every=6)], TEMPLATE, SEARCH, 0)
    missed = []
    for number in range(30):
        sample, exact = pairs.sample(number), plain.sample(number)
        missed.append(sample.missed)
        # The template does not move, so what is missed is the search crop.
        assert torch.equal(sample.search, exact.search) == bool(sample.missed)
        assert not torch.equal(sample.template, exact.template)
    assert set(missed) == {0, 1} and 3 < sum(missed) < 20


def test_a_window_off_the_image_is_all_padding(photographs):
    frame = FrameCropper(open_image(open_index(photographs)[0].frames[3]))
    stored = open_store(photographs, settings()).cropper("a", 3, "search", lambda: frame)
    assert not stored.crop(Window(-200, 20, 100), 64, False, False).any()
    # Beyond what is stored, and as a mirror image within it.
    window = Window(WIDTH - 40, HEIGHT - 40, 30)
    np.testing.assert_array_equal(stored.crop(window, 64, False, False), frame.crop(window, 64, False, False))
    assert stored.missed
    left, _, right, _ = Window(110, 80, 30).inside((HEIGHT, WIDTH))
    mirrored = Window(WIDTH - right, 80, 30)
    expected = stored.crop(Window(left, 80, 30), 64, False, False)[:, ::-1]
    np.testing.assert_array_equal(stored.crop(mirrored, 64, True, False), expected)


def test_image_sets_have_both_crops_from_one_record(tmp_path):
    write_coco(tmp_path / "data", images=3)
    make_store(tmp_path, settings(), "coco", "train2017")
    store = open_store(tmp_path, settings(), "coco", "train2017", dataset="coco")
    index = open_index(tmp_path, "coco", "train2017")
    assert len(store) == len(index) == 5
    for sequence in index:
        template, search = (store.cropper(sequence.name, 0, role, no_frame) for role in ("template", "search"))
        assert template.shape == search.shape == (72, 96)
        window = crop_window(sequence.boxes[0], 2.0)
        np.testing.assert_array_equal(template.crop(window, 32, False, False), search.crop(window, 32, False, False))


def test_workers_map_the_same_store(photographs, caplog):
    with caplog.at_level(logging.INFO):
        store = open_store(photographs, settings())
    assert f"got10k full: crops of 40 frames from {photographs / 'crops' / 'full'}" in caplog.text
    pickled = pickle.dumps(store)
    assert len(pickled) < 2000
    window = Window(95, 75, 40)
    expected = store.cropper("a", 0, "search", no_frame).crop(window, 64, False, False)
    np.testing.assert_array_equal(
        pickle.loads(pickled).cropper("a", 0, "search", no_frame).crop(window, 64, False, False), expected
    )


WIDER = SEARCH.model_copy(update={"factor": 4.5})
LARGER = SEARCH.model_copy(update={"size": 80})
UNFIT = {
    "factor": (
        settings(),
        settings(search=WIDER),
        r"reaches 5\.\d sqrt\(w \* h\) from a target's center, .* jitter 6\.\d",
    ),
    "jitter": (
        settings(),
        settings(jitter=JitterConfig(center=4.5, scale=0.5)),
        r"reaches 5\.\d sqrt\(w \* h\) .* jitter 12\.\d",
    ),
    "size": (settings(), settings(search=LARGER), "made for smaller crops: 18 pixels for .*, not 22"),
    "every": (settings(every=3), settings(every=4), "holds one frame in 3, but one in 4 is drawn"),
    "every frame": (settings(every=3), settings(), "holds one frame in 3, but one in 1 is drawn"),
}


@pytest.mark.parametrize("made_for, wanted, message", UNFIT.values(), ids=UNFIT)
def test_settings_that_ask_for_less_lack_something(made_for, wanted, message):
    assert re.search(message, made_for.lack(wanted))


def test_a_store_made_for_less_is_refused(photographs):
    line = f"^{photographs / 'crops' / 'full'}: reaches 5.*; remove it and make another crop store: MAKE IT$"
    with pytest.raises(ValueError, match=line) as error:
        open_store(photographs, settings(search=WIDER))
    assert "\n" not in str(error.value)


def test_settings_that_ask_for_more_lack_nothing():
    more = settings(LARGER.model_copy(update={"factor": 2.0}), WIDER, JitterConfig(center=3.5, scale=0.3), every=2)
    less = settings(every=4, coverage=0.99999, detail=3.0)
    still = less.search.model_copy(update={"jitter": STILL})
    assert more.lack(less) is more.lack(less.model_copy(update={"search": still})) is None


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def change_format(folder: Path) -> None:
    columns = open_columns(folder / INDEX)
    write_columns(folder / INDEX, columns.about | {"format": 99}, columns.arrays)


def change_a_box(folder: Path) -> None:
    boxes = folder.parents[1] / "data" / "train" / "a" / "groundtruth.txt"
    boxes.write_text(boxes.read_text().replace("100.3", "101.3", 1))


MISSING = "000.crops is missing, or has not the .* bytes"
DAMAGE = {
    "cut short": (lambda folder: cut_short(folder / "000.crops"), MISSING),
    "a part is gone": (lambda folder: (folder / "000.crops").unlink(), MISSING),
    "index cut short": (lambda folder: cut_short(folder / INDEX), "crops.index: is damaged, cut short"),
    "not complete": (lambda folder: (folder / INDEX).unlink(), "no complete crop store of got10k full"),
    "another format": (change_format, "not a crop store of this version"),
    "no store": (lambda folder: write_columns(folder / INDEX, {}, {}), "not a crop store of this version"),
    "other annotations": (change_a_box, "made from other annotations of got10k full than are there now"),
}


@pytest.mark.parametrize("damage, message", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named_in_one_line_with_the_remedy(copied, damage, message):
    folder = copied / "crops" / "full"
    damage(folder)
    with pytest.raises(ValueError, match=f"{message}.*: MAKE IT$") as error:
        open_store(copied, settings())
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_the_store_of_another_dataset_is_refused(photographs):
    with pytest.raises(ValueError, match="made from got10k full, not lasot full; .*: MAKE IT$"):
        open_store(photographs, settings(), dataset="lasot")


@pytest.mark.slow
def test_damage_that_shows_later_counts_as_a_damaged_image(copied):
    folder = copied / "crops" / "full"
    plain, store = build_pairs(copied, settings()), open_store(copied, settings())
    record = store.find("a", 4)
    data = bytearray((folder / "000.crops").read_bytes())
    data[record.offset + record.length - 40] ^= 1  # between the last markers: another picture, no damaged JPEG
    (folder / "000.crops").write_bytes(data)
    with pytest.raises(ImageError, match=f"000.crops: the record at byte {record.offset} is damaged; make the crop"):
        store.cropper("a", 4, "search", no_frame).crop(Window(95, 75, 40), 64, False, False)
    cut_short(folder / "000.crops")
    with pytest.raises(ImageError, match="000.crops: the record at byte .* is damaged; make the crop"):
        store.cropper("a", 19, "search", no_frame).crop(Window(140, 100, 40), 64, False, False)
    (folder / "000.crops").unlink()
    gone = pickle.loads(pickle.dumps(store))
    with pytest.raises(ImageError, match="000.crops: cannot read from the crop store .No such file"):
        gone.cropper("a", 19, "search", no_frame).crop(Window(140, 100, 40), 64, False, False)
    (folder / "001.crops").unlink()
    with pytest.raises(ImageError, match="10 unreadable images in sample 0"):
        plain.sample(0)
