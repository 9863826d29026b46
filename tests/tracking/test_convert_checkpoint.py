"""convert_checkpoint.py, and test.py on files as their authors released them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from released_files import Harmful, published_weights, write_released

from lib.experiment.build import build_model
from lib.experiment.config import load_experiment
from lib.runtime.checkpoint import checksum_of

DATASET = ["--dataset", "got10k_val", "--sequence", "GOT-10k_Val_000001"]


@pytest.fixture
def released(toy, tmp_path) -> Path:
    weights = published_weights(build_model(load_experiment(toy.file)))
    harm = Harmful(tmp_path / "executed")
    return write_released(tmp_path / "GRM_ep0300.pth.tar", "grm", weights, zipped=True, extra=harm)


def boxes(toy, name: str, run: str = "toy") -> np.ndarray:
    [folder] = (toy.output / run / "results" / "got10k_val").glob(f"{name}-*")
    return np.loadtxt(folder / "GOT-10k_Val_000001.txt", delimiter=",")


def test_a_released_file_and_what_it_is_converted_to_track_alike(call, toy, tmp_path, released):
    ended = call("test.py", "--config", toy.file, *DATASET, "--checkpoint", released)
    assert ended.code == 0, ended.err
    out = tmp_path / "plain.pth"
    ended = call("convert_checkpoint.py", released, "--config", toy.file, "--out", out)
    assert ended.code == 0, ended.err
    assert f"{released}: {checksum_of(released)}\n" in ended.out
    assert "2 not used (backbone.cls_token, backbone.pos_embed)" in ended.out
    assert f"{out}: written, for toy\n" in ended.out
    toy.file.unlink()
    ended = call("test.py", *DATASET, "--checkpoint", out)
    assert ended.code == 0, ended.err
    assert np.array_equal(boxes(toy, "plain"), boxes(toy, "GRM_ep0300"))
    assert not (tmp_path / "executed").exists()
    with pytest.raises((ImportError, AttributeError)):
        torch.load(released, weights_only=False)
    assert (tmp_path / "executed").exists(), "the file was harmless, so this proves nothing"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "one of the arguments --out --list is required"),
        (["--list", "--force"], "--rename, --half, --merge and --force go with --out"),
        (["--list", "--out", "x"], "not allowed with argument"),
    ],
)
def test_words_that_do_not_go_together(call, released, words, error):
    ended = call("convert_checkpoint.py", released, *words)
    assert ended.code == 2
    assert error in ended.err


@pytest.mark.slow
def test_the_program_runs_for_real(run, toy, tmp_path, released):
    ended = run("convert_checkpoint.py", released, "--config", toy.file, "--out", tmp_path / "plain.pth")
    assert ended.code == 0, ended.err
    assert (tmp_path / "plain.pth").exists()
