"""The steps of docs/own_data.md, on a miniature of the data that the page describes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from miniatures import jpeg, moving_boxes, write_boxes, write_frames
from toy_experiment import TREE
from video_files import encode

from lib.config.tree import merge
from lib.config.yaml12 import read_yaml, to_yaml

PAGE = Path(__file__).parents[2] / "docs" / "own_data.md"


def blocks(kind: str) -> list[str]:
    """The page's fenced blocks of a kind, yaml or none."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def parse(text: str, file: Path) -> dict:
    file.write_text(text, encoding="utf-8")
    return read_yaml(file)


def write_mine(root: Path) -> None:
    """The page's layout: a folder of images to train on, a video to test on."""
    write_boxes(root / "train" / "car" / "groundtruth.txt", write_frames(root / "train" / "car", "%04d.jpg", 1, 20))
    encode(root / "test" / "dog.mp4", map(jpeg, range(6)), "libx264")
    write_boxes(root / "test" / "dog.txt", moving_boxes(1))


@pytest.mark.slow
def test_the_pages_steps_train_and_test(tmp_path, monkeypatch, call):
    paths, experiment = (parse(text, tmp_path / "block.yaml") for text in blocks("yaml"))
    commands = [line for block in blocks("") for line in block.splitlines() if "python tracking/" in line]
    assert [re.search(r"tracking/(\w+\.py)(.*)", line).groups() for line in commands] == [
        ("train.py", " --config mine"), ("test.py", " --config mine --dataset own"),
    ]  # fmt: skip
    assert commands[1].startswith(f"TRACKING_DATA_OWN={paths['data']['own']}/test ")
    assert experiment.pop("base") == "grm_vitb"

    mine = tmp_path / "mine"
    write_mine(mine)
    (tmp_path / "paths.yaml").write_text(to_yaml(merge(paths, {"data": {"own": str(mine)}})))
    toy = merge(TREE, {**experiment, "train": {"epochs": 1}})
    (tmp_path / "mine.yaml").write_text(to_yaml(toy))
    for name in ("OUTPUT", "CACHE"):
        monkeypatch.setenv(f"TRACKING_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("TRACKING_PATHS", str(tmp_path / "paths.yaml"))

    ended = call("train.py", "--config", tmp_path / "mine.yaml")
    assert ended.code == 0, ended.err
    assert "own: pairs are drawn from 1 of 1 sequences" in ended.err
    monkeypatch.setenv("TRACKING_DATA_OWN", str(mine / "test"))
    ended = call("test.py", "--config", tmp_path / "mine.yaml", "--dataset", "own")
    assert ended.code == 0, ended.err
    assert "sequences: 1 tracked, 0 kept, 0 failed\n" in ended.out
    assert re.search(r"^last-\w{8} +- +1/1 +[\d.]+$", ended.out, re.M), ended.out
    assert "1 of 1 sequences have their first frame annotated only and get no score" in ended.out
    [folder] = (tmp_path / "output" / "mine" / "results" / "own").iterdir()
    boxes = np.loadtxt(folder / "dog.txt", delimiter=",")
    assert boxes.shape == (6, 4)
    np.testing.assert_array_equal(boxes[0], moving_boxes(1)[0])
    assert json.loads((folder / "score.json").read_text())["sequences"] == {}
    assert len(list((tmp_path / "cache" / "videos").iterdir())) == 1
