"""What the quickstart is made of, without its training."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from one_sequence import read_dataset
from toy_experiment import write_checkpoint

from lib.config.paths import Paths
from lib.evaluation.reports.comparison import ComparedTracker, Comparison
from lib.experiment.build import build_model, build_objective
from lib.experiment.config import load_experiment, to_tree
from lib.programs import quickstart
from tests.evaluation.toy_sets import noisy, scored


def test_a_training_that_was_stopped_ends_the_quickstart_with_its_code(
    tmp_path: Path, toy_got10k: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    monkeypatch.setattr(quickstart, "train", lambda *words, **named: asked.append((words, named)) or 130)
    paths = Paths(output=tmp_path, cache=tmp_path / "cache", data={"lasot": tmp_path})
    with pytest.raises(KeyboardInterrupt, match="the training did not end"):
        quickstart.run_quickstart(paths, "transt_tiny", 3, toy_got10k, "quick", processes=4)
    own = paths.model_copy(update={"data": {"lasot": tmp_path, "got10k": toy_got10k}})
    named = {"device": "cpu", "overfit": False, "overrides": ("seed=3",)}
    assert asked == [((own, "transt_tiny", "quick", 2), named)]


def test_shares_are_those_of_the_checkpoint_and_not_of_a_fresh_network(tmp_path: Path, toy_got10k: Path):
    """With the last block's predictor biased to A, every token of it is A."""
    experiment = load_experiment("grm_tiny")
    model = build_model(experiment)
    for block, sign in zip(model.backbone.blocks[1:], (1, -1, 1), strict=True):
        with torch.no_grad():
            block.attn.divide_predict[4].bias.copy_(torch.tensor([-50.0, 50.0]) * sign)
    torch.save({"model": model.state_dict(), "experiment": to_tree(experiment)}, tmp_path / "weights.pth")
    sequences = read_dataset("got10k", "official_val", toy_got10k)
    crop, maps = quickstart._token_maps(experiment, tmp_path / "weights.pth", sequences)
    assert list(maps) == ["scores", "division"]
    assert maps["division"].values.shape == (len(sequences), 3, 64)
    assert maps["division"].values.double().mean(dim=(0, 2)).tolist() == [1, 0, 1]
    assert crop.shape == (128, 128, 3)
    assert crop.dtype == np.uint8


@pytest.mark.parametrize(
    "words", [("ostrack_tiny", "model.elimination=null"), ("grm_tiny", "model.division.relation=one_stream")]
)
def test_a_network_that_decides_nothing_has_no_map_of_decisions(
    tmp_path: Path, toy_got10k: Path, words: tuple[str, str]
):
    experiment = load_experiment(words[0], words[1:])
    weights = write_checkpoint(tmp_path / "weights.pth", experiment)
    sequences = read_dataset("got10k", "official_val", toy_got10k)
    assert list(quickstart._token_maps(experiment, weights, sequences)[1]) == ["scores"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "maps"), [("grm_tiny", ["scores", "division"]), ("transt_tiny", ["scores", "attention"])]
)
def test_pictures_are_drawn_of_a_run_that_was_tested(tmp_path: Path, toy_got10k: Path, config: str, maps: list[str]):
    experiment = load_experiment(config)
    weights = write_checkpoint(tmp_path / "weights.pth", experiment)
    terms = dict.fromkeys([*build_objective(experiment).weights, "loss", "iou"], 0.5)
    lines = [{"kind": "train", "step": step, "epoch": 1, "lr": {"all": 0.1}, **terms} for step in (1, 2)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sequences = tuple(read_dataset("got10k", "official_val", toy_got10k))
    run = scored(sequences, noisy(0.1), quickstart.BENCHMARK, (quickstart.PROTOCOL,))
    tracker = ComparedTracker(quickstart.TRAINED, (run,))
    comparison = Comparison(quickstart.BENCHMARK, (quickstart.PROTOCOL,), sequences, (tracker,))
    tokens, names = quickstart._draw(experiment, weights, sequences, comparison, tmp_path, "toys")
    assert names == maps
    pictures = {"training.png", "success.png", "success.pdf", "overlay.mp4", *(f"{name}.png" for name in maps)}
    assert {file.name for file in (tmp_path / "reports").iterdir() if file.stat().st_size > 1000} == pictures
    assert list(tokens) == [name for name in maps if name == "division"]
    for chosen in tokens.values():
        assert list(chosen["stages"]) == ["block 2", "block 3", "block 4"]
        assert all(0 <= share <= 1 for share in chosen["stages"].values())
