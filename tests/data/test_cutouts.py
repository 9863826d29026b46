"""Pasted pairs as samples: a function of (seed, n), with boxes of what is seen, redrawn where something is damaged."""

import math
import pickle
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from miniatures import write_coco, write_got10k
from same_samples import assert_same

from lib.config.schema import ConfigError
from lib.config.validation import validate
from lib.data.cutouts import Cutouts, CutoutsConfig, Motion
from lib.data.decoding.images import ImageError
from lib.data.masks import MaskFolder
from lib.data.pairs import DataConfig, Pairs, SourceConfig
from lib.data.pools import Pool
from lib.data.stores.index import SequenceIndex, open_dataset
from lib.data.stores.packing import pack_dataset
from lib.geometry.crop import CropConfig

TEMPLATE, SEARCH = CropConfig(size=64, factor=2.0), CropConfig(size=128, factor=4.0)
OVER = CutoutsConfig(over="got10k", split="full", size=(0.2, 0.6))
PLAIN = {"joint_flip": 0.0, "flip": 0.0, "grayscale": 0.0, "brightness": 0.0}


class Data:
    """Miniatures of COCO and GOT-10k below a folder, and the masks of the latter's targets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_coco(root / "coco", images=5)
        write_got10k(root / "got10k", "train", [20, 22])

    def open(self, name: str) -> SequenceIndex:
        split = {"coco": "train2017", "got10k": "full"}[name]
        return open_dataset(name, split, self.root / name, self.root / "cache")

    def masks(self) -> MaskFolder:
        """An ellipse in each target's box; the boxes are too small to be cut out, so the masks are larger."""
        videos = self.open("got10k")
        folder = MaskFolder(self.root / "masks", videos.source)
        for sequence in videos:
            for frame, (x, y, w, h) in enumerate(sequence.boxes):
                mask = np.zeros((72, 96), np.uint8)
                center = int(x + w / 2), int(y + h / 2)
                cv2.ellipse(mask, center, (int(w / 2), int(h / 2)), 0, 0, 360, 255, -1)
                path = folder.path(sequence, frame)
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), mask)
        return folder


@pytest.fixture
def data(tmp_path) -> Data:
    return Data(tmp_path)


def pairs(cutouts: Cutouts, objects: SequenceIndex, seed: int = 0, **changes) -> Pairs:
    source = SourceConfig(name="coco", split="train2017", cutouts=OVER)
    config = DataConfig(train=(source,), samples_per_epoch=1, **{"search_jitter": {"center": 1.0}, **PLAIN, **changes})
    return Pairs(config, [Pool(objects, cutouts=cutouts)], TEMPLATE, SEARCH, seed)


def coco_pairs(data: Data, seed: int = 0, config: CutoutsConfig = OVER, **changes) -> Pairs:
    objects = data.open("coco")
    return pairs(Cutouts(objects, data.open("got10k"), config), objects, seed, **changes)


def test_a_pasted_sample_is_a_function_of_seed_and_number(data):
    settings = {"joint_flip": 0.5, "flip": 0.5, "grayscale": 0.3}
    first = coco_pairs(data, **settings)
    forward = [first.sample(number) for number in range(8)]
    again = pickle.loads(pickle.dumps(coco_pairs(data, **settings)))
    for number in reversed(range(8)):
        assert_same(again.sample(number), forward[number])
    assert len({bytes(sample.search[0].numpy()) for sample in forward}) == 8
    assert not torch.equal(coco_pairs(data, seed=1).sample(0).search[0], forward[0].search[0])
    assert forward[0].sources[0].startswith("coco 10") and " over got10k GOT-10k_Train_00000" in forward[0].sources[0]


def test_a_packed_dataset_gives_the_same_samples(data, tmp_path):
    folders = [coco_pairs(data).sample(number) for number in range(4)]
    pack_dataset("coco", ["train2017"], tmp_path / "coco", tmp_path / "packed")
    objects = open_dataset("coco", "train2017", tmp_path / "packed", tmp_path / "cache")
    packed = pairs(Cutouts(objects, data.open("got10k"), OVER), objects)
    for number, sample in enumerate(folders):
        assert_same(packed.sample(number), sample)


def paint(data: Data) -> None:
    """All of COCO's images red, the videos' frames green."""
    for path in (data.root / "coco").rglob("*.jpg"):
        cv2.imwrite(str(path), np.full((72, 96, 3), (0, 0, 255), np.uint8))
    for path in (data.root / "got10k").rglob("*.jpg"):
        cv2.imwrite(str(path), np.full((72, 96, 3), (0, 255, 0), np.uint8))


@pytest.mark.parametrize("flips", [{}, {"flip": 1.0}, {"joint_flip": 1.0}, {"augment": {"still_aspect": 0.2}}])
def test_the_box_is_that_of_the_pasted_mask(data, flips):
    paint(data)
    painted = coco_pairs(data, config=OVER.model_copy(update={"lookalike": 0.0}), **flips)
    for number in range(12):
        sample = painted.sample(number)
        for pixels, box in ((sample.template[0], sample.template_box[0]), (sample.search[0], sample.search_box[0])):
            size = pixels.shape[1]
            rows, columns = np.nonzero(pixels[0].numpy() > 127)
            x, y, width, height = (box * size).tolist()
            box = np.clip((x, y, x + width, y + height), 0, size - 1)
            # A target of 20 px in a crop of 4 times that is magnified 1.6 times, and windows are rounded to its pixels.
            np.testing.assert_allclose(box, (columns.min(), rows.min(), columns.max(), rows.max()), atol=4.5)


def test_a_joint_flip_is_the_mirror_of_the_pair(data):
    plain, flipped = coco_pairs(data), coco_pairs(data, joint_flip=1.0)
    for number in range(4):
        one, other = plain.sample(number), flipped.sample(number)
        assert one.sources[0] == other.sources[0]
        # The jitter of the crop is not mirrored with the frame, the template has none.
        assert (one.template[0].flip(2).int() - other.template[0].int()).abs().float().mean() < 8
        np.testing.assert_allclose(other.template_box[0], one.template_box[0], atol=0.04)


def test_gray_pairs_are_those_of_the_colored_pictures(data):
    plain, gray = coco_pairs(data), coco_pairs(data, grayscale=1.0)
    for number in range(3):
        one, other = plain.sample(number).search[0].permute(1, 2, 0).numpy(), gray.sample(number).search[0].numpy()
        assert (cv2.cvtColor(np.ascontiguousarray(one), cv2.COLOR_RGB2GRAY) == other).all()


def test_videos_are_cut_out_by_masks_of_a_folder(data, monkeypatch):
    monkeypatch.setattr("lib.data.cutouts.MIN_OBJECT", 10.0)
    masks, videos = data.masks(), data.open("got10k")
    config = OVER.model_copy(update={"lookalike": 1.0})
    pasted = pairs(Cutouts(videos, videos, config, masks), videos)
    frames = set()
    for number in range(6):
        sample = pasted.sample(number)
        assert sample.damaged == ()
        target = sample.sources[0].split(" over ")[0].split()
        frames.add(target[2] == target[4])
    assert False in frames


def test_damaged_masks_are_redrawn(data, monkeypatch):
    monkeypatch.setattr("lib.data.cutouts.MIN_OBJECT", 10.0)
    masks, videos = data.masks(), data.open("got10k")
    pasted = pairs(Cutouts(videos, videos, OVER, masks), videos)
    for frame in range(20):
        masks.path(videos[0], frame).write_bytes(b"no image")
    samples = [pasted.sample(number) for number in range(6)]
    assert any(sample.damaged for sample in samples)
    assert all("GOT-10k_Train_000002" in sample.sources[0].split(" over ")[0] for sample in samples)
    for sample in samples:
        assert all("000001" in reason and reason.endswith("copy or unpack it again") for reason in sample.damaged)
    for frame in range(22):
        masks.path(videos[1], frame).unlink()
    with pytest.raises(ImageError, match="10 unreadable images in sample 0"):
        pasted.sample(0)


def test_look_alikes_are_of_three_kinds(data):
    objects = data.open("coco")
    cutouts = Cutouts(objects, data.open("got10k"), OVER.model_copy(update={"lookalike": 1.0}))
    rng = np.random.default_rng(0)
    kinds = Counter()
    target = objects[1]
    for _ in range(60):
        lookalike = cutouts.draw(target, (0, 0), "causal", 20, rng).lookalike
        other = lookalike.sequence.name != target.name
        assert lookalike.sequence.meta["class"] == target.meta["class"]
        kinds["other" if other else "mirrored" if lookalike.mirrored else "recolored"] += 1
        assert (lookalike.gains == (1, 1, 1)) != (not other and not lookalike.mirrored)
    assert all(kinds[kind] > 5 for kind in ("other", "mirrored", "recolored"))
    none = Cutouts(objects, data.open("got10k"), OVER.model_copy(update={"lookalike": 0.0}))
    assert all(none.draw(target, (0, 0), "causal", 20, rng).lookalike is None for _ in range(10))


def test_motions_are_smooth_and_stay_in_the_frame():
    rng = np.random.default_rng(0)
    for _ in range(50):
        motion = Motion((0.1, 0.3), rng)
        places = np.array([(motion.x(frame), motion.y(frame)) for frame in range(300)])
        assert places.min() >= 0.05 and places.max() <= 0.95
        assert np.abs(np.diff(places, axis=0)).max() <= 0.4 * 2 * math.pi / 50
        sizes = np.array([motion.size(frame) for frame in range(300)])
        assert math.log(0.1) - 0.2 <= sizes.min() and sizes.max() <= math.log(0.3) + 0.2
        distances = [motion.distance(frame) for frame in range(300)]
        assert min(distances) >= 0.9 and max(distances) <= 2.0


def test_what_cannot_be_cut_out_is_refused(data):
    objects, videos = data.open("coco"), data.open("got10k")
    with pytest.raises(ValueError, match="no object of 2 can be cut out: each needs an outline in the annotations"):
        Cutouts(videos, videos, OVER)
    with pytest.raises(ValueError, match="cutouts.over: coco train2017 has no videos to paste on"):
        Cutouts(objects, objects, CutoutsConfig(over="coco", split="train2017"))
    with pytest.raises(ConfigError, match=r"size: got \[0.5, 0.1\]; should be two numbers above 0"):
        validate(CutoutsConfig, {"over": "got10k", "split": "full", "size": [0.5, 0.1]}, "x.yaml")


def test_small_objects_and_those_without_outline_are_left_out(data):
    """Of the miniature's objects each second one is larger than 32 pixels."""
    objects = data.open("coco")
    cutouts = Cutouts(objects, data.open("got10k"), OVER)
    assert [objects[position].boxes[0, 2] for position in cutouts.positions] == [70.25] * 4
