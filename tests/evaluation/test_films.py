"""Videos of a comparison: which sequences, and a panel for each tracker with both boxes."""

from pathlib import Path

import numpy as np
import pytest

from lib.data.decoding.video import VideoReader
from lib.evaluation.reports.films import PANEL, write_films
from lib.visualization.boxes import BOX_COLORS
from lib.visualization.sheet import MARGIN, TITLE
from tests.evaluation.toy_comparison import FRAMES, HEIGHT, WIDTH, toy_comparison


@pytest.mark.slow
def test_the_extreme_sequences_have_a_panel_for_each_tracker(tmp_path: Path) -> None:
    comparison = toy_comparison(tmp_path / "frames", ("got10k",))
    values, ranked = zip(
        *((mean, each.name) for mean, each in comparison.extremes(comparison.entries, 9, 0)["worst"]), strict=True
    )
    assert not {"second", "third"} & set(ranked)  # the first box lacks rows of them
    assert list(values) == sorted(values)
    write_films(comparison, tmp_path / "films")
    files = sorted((tmp_path / "films").iterdir(), key=lambda file: (file.name.split("_")[2] == "best", file.name))
    kinds = [file.name.split("_")[2:4] for file in files]
    assert kinds == [["worst", "1"], ["worst", "2"], ["best", "1"], ["best", "2"]]
    assert all(file.name.isascii() for file in files)
    by_name = {name: "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:100] for name in ranked}
    assert files[0].stem.endswith(by_name[ranked[0]]) and files[2].stem.endswith(by_name[ranked[-1]])
    with VideoReader(files[0]) as video:
        frames = [frame.image for frame in video]
    height = round(HEIGHT * PANEL / WIDTH)
    assert len(frames) == FRAMES
    assert frames[0].shape == (2 * (height + MARGIN + TITLE) + MARGIN, 2 * (PANEL + MARGIN) + MARGIN, 3)
    sequence = next(each for each in comparison.sequences if each.name == ranked[0])
    x, y, w, h = sequence.boxes[-1] * PANEL / WIDTH
    for left in (MARGIN, 2 * MARGIN + PANEL):  # the right edge of the annotated box, in its color
        column = frames[-1][round(y + 4) + MARGIN + TITLE : round(y + h - 4) + MARGIN + TITLE, left + round(x + w) - 1]
        assert np.median(np.abs(column - np.array(BOX_COLORS[0])).max(axis=1)) < 90
