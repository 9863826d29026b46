"""What the quickstart is made of, without its training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from one_sequence import read_dataset

from lib.config.paths import Paths
from lib.experiment.build import build_model
from lib.experiment.config import load_experiment, to_tree
from lib.programs import quickstart


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
    ("words", "attention"),
    [
        (("transt_tiny",), {"attention"}),
        (("ostrack_tiny", "model.elimination=null"), ()),
        (("grm_tiny", "model.division.relation=one_stream"), ()),
    ],
)
def test_a_network_that_decides_nothing_has_no_map_of_decisions(tmp_path: Path, toy_got10k: Path, words, attention):
    experiment = load_experiment(words[0], words[1:])
    model = build_model(experiment)
    torch.save({"model": model.state_dict(), "experiment": to_tree(experiment)}, tmp_path / "weights.pth")
    sequences = read_dataset("got10k", "official_val", toy_got10k)
    assert quickstart._token_maps(experiment, tmp_path / "weights.pth", sequences)[1].keys() == {"scores", *attention}
