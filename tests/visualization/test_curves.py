import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import lib.visualization.curves as curves
from lib.visualization.curves import plot_training, read_log

TERMS = ("giou", "l1", "focal")


def record(step: int, **changes: object) -> str:
    rates = {"backbone": 1e-5 * step, "head": 1e-4}
    terms = {"loss": 9 / step, "giou": 1 / step, "l1": 0.2, "focal": 2.0, "iou": 0.1}
    values = {"kind": "train", "step": step, "epoch": 1, "lr": rates, **terms, "pairs_per_second": 50.0}
    return json.dumps(values | changes) + "\n"


VALIDATION = json.dumps({"kind": "validation", "step": 4, "epoch": 1, "loss": 2.5, "iou": 0.4}) + "\n"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """The figures that were saved, in order."""
    figures, write = [], curves.write_figure
    monkeypatch.setattr(curves, "write_figure", lambda figure, path: (figures.append(figure), write(figure, path)))
    return figures


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines() if not line.get_label().startswith("_")}


@pytest.mark.slow
def test_the_panels_show_what_the_log_says(tmp_path: Path, drawn: list):
    (tmp_path / "log.jsonl").write_text("".join(record(step) for step in range(1, 9)) + VALIDATION)
    plot_training(tmp_path / "log.jsonl", tmp_path / "reports" / "training.png", TERMS)
    loss, terms, iou, rate = drawn[0].axes
    steps = np.arange(1, 9)
    assert np.allclose(lines(loss)["training"], np.column_stack([steps, 9 / steps]))
    assert lines(loss)["held-out pairs"].tolist() == [[4, 2.5]]
    assert lines(iou)["held-out pairs"].tolist() == [[4, 0.4]]
    assert list(lines(terms)) == ["giou", "l1", "focal"]
    assert np.allclose(lines(terms)["giou"][:, 1], 1 / steps)
    assert np.allclose(lines(rate)["backbone"], np.column_stack([steps, 1e-5 * steps]))
    assert list(lines(rate)) == ["backbone", "head"]
    assert cv2.imread(str(tmp_path / "reports" / "training.png")) is not None


@pytest.mark.slow
def test_many_steps_are_smoothed_by_means_of_spans(tmp_path: Path, drawn: list):
    losses = np.random.default_rng(0).uniform(1, 2, 200)
    (tmp_path / "log.jsonl").write_text("".join(record(n + 1, loss=value) for n, value in enumerate(losses)))
    plot_training(tmp_path / "log.jsonl", tmp_path / "training.png", TERMS)
    smooth = lines(drawn[0].axes[0])["training"]
    assert np.allclose(smooth[:, 1], losses.reshape(50, 4).mean(axis=1))
    assert np.allclose(smooth[:, 0], np.arange(200).reshape(50, 4).mean(axis=1) + 1)


@pytest.mark.slow
def test_a_loss_that_was_no_number_does_not_stop_the_plot(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    log.write_text(record(1) + record(2, loss=None))
    plot_training(log, tmp_path / "training.png", TERMS)
    assert (tmp_path / "training.png").exists()


def test_a_log_without_a_step_is_named(tmp_path: Path):
    (tmp_path / "log.jsonl").write_text(VALIDATION)
    with pytest.raises(ValueError, match="log.jsonl: no training step"):
        read_log(tmp_path / "log.jsonl")
