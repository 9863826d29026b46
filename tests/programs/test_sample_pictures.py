"""Pictures of training samples; here of cut-outs, as an experiment's file names them."""

from pathlib import Path

import cv2
import pytest
from miniatures import write_coco, write_got10k
from toy_experiment import write_experiment

from lib.config.paths import Paths
from lib.config.schema import ConfigError
from lib.experiment.build import build_pairs, check_training_files
from lib.experiment.config import load_experiment
from lib.programs.preparation import draw

CUTOUTS = {"over": "got10k", "split": "full", "size": [0.2, 0.6]}
SOURCES = [{"name": "got10k", "split": "full"}, {"name": "coco", "split": "train2017", "cutouts": CUTOUTS}]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    write_coco(tmp_path / "coco", images=3)
    write_got10k(tmp_path / "got10k", "train", [20, 20])
    data = {name: tmp_path / name for name in ("coco", "got10k")}
    return Paths(data=data, cache=tmp_path / "cache", output=tmp_path / "output")


def experiment(tmp_path: Path, **data):
    changes = {"train": SOURCES, "val": [], "val_samples": 0, **data}
    return load_experiment(write_experiment(tmp_path / "toy.yaml", data=changes))


def test_a_sheet_shows_samples_with_their_boxes(tmp_path, paths):
    experiment(tmp_path)
    out = tmp_path / "pictures" / "sheet.png"
    lines = draw(paths, str(tmp_path / "toy.yaml"), out, count=8, first=3).text().splitlines()
    assert [line.split()[0] for line in lines] == [f"{number}" for number in range(3, 11)]
    assert any(" over got10k " in line for line in lines) and any(" over " not in line for line in lines)
    sheet = cv2.imread(str(out))
    assert sheet.shape[0] > 2 * 64 and sheet.shape[1] > 6 * (32 + 64)


def test_cutouts_need_no_crop_store(tmp_path, paths):
    """Targets lie anywhere in a video's frames: these are read, also where other sources have crop stores."""
    alone = experiment(tmp_path, train=SOURCES[1:], store="crops")
    check_training_files(alone, paths)
    stored = build_pairs(alone, paths, alone.data.train).sample(0)
    plain = experiment(tmp_path, train=SOURCES[1:])
    frames = build_pairs(plain, paths, plain.data.train).sample(0)
    assert (stored.search == frames.search).all() and stored.missed == 0


def test_datasets_and_masks_of_cutouts_are_asked_for(tmp_path, paths):
    with pytest.raises(ConfigError, match="data.got10k: not set"):
        check_training_files(
            experiment(tmp_path, train=SOURCES[1:]), paths.model_copy(update={"data": {"coco": paths.data["coco"]}})
        )
    masked = paths.model_copy(update={"masks": {"coco": tmp_path / "nowhere"}})
    with pytest.raises(ConfigError, match=r"masks\.coco: no such folder: .*nowhere; correct it in paths\.yaml"):
        check_training_files(experiment(tmp_path), masked)
    with pytest.raises(ValueError, match="no object of 2 can be cut out"):
        sources = [{"name": "got10k", "split": "full", "cutouts": CUTOUTS}]
        build_pairs(loaded := experiment(tmp_path, train=sources), paths, loaded.data.train)


def test_an_unknown_dataset_of_cutouts_is_named(tmp_path, paths):
    sources = [{"name": "coco", "split": "train2017", "cutouts": {**CUTOUTS, "over": "got11k"}}]
    with pytest.raises(ConfigError, match=r"data\.train\.0\.cutouts.over: got .*did you mean got10k"):
        experiment(tmp_path, train=sources)


def test_aligned_crops_take_no_cutouts_and_are_not_stretched(tmp_path):
    crop = {"context": "perimeter", "fill": "mean", "placement": "aligned"}
    data = {"train": SOURCES, "val": [], "val_samples": 0, "augment": {"still_aspect": 0.1}}
    file = write_experiment(tmp_path / "toy.yaml", data=data, search=crop)
    with pytest.raises(ConfigError) as caught:
        load_experiment(file)
    pasted, stretched = str(caught.value).splitlines()
    assert "data.train: cutouts are not pasted into aligned crops; set placement: rounded" in pasted
    assert "data.augment.still_aspect: aligned crops are stretched by their jitter; set it to 0" in stretched
