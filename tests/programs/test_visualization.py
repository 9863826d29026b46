"""What visualize.py does, in this process: which frames are drawn, and what is refused."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from eager_networks import tracker_of
from families import fresh, tiny
from one_sequence import read_dataset
from toy_demo import FRAMES, write_clip, write_run

from lib.config.paths import Paths
from lib.data.decoding.images import read_image
from lib.data.decoding.video import Frame, VideoReader
from lib.inference.follow import TargetSpec
from lib.inference.tracker import Tracker
from lib.programs.visualization import MOST_DRAWN, ResultDrawer, open_footage, parse_frames, visualize
from lib.runtime.files import file_sha256
from lib.visualization.sheet import MARGIN, SHEET_COLUMNS, TITLE
from lib.visualization.token_map import LINE, SIDE
from tests.evaluation.toy_sets import ToyResults

TARGET = TargetSpec("square", (10, 20, 20, 20))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "square.mp4")


def tracker(family: str = "grm") -> Tracker:
    experiment = tiny(family)
    return tracker_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)


def drawn(clip: Path, folder: Path, frames: str, target: TargetSpec = TARGET, **shown) -> Path:
    with open_footage(Paths(), str(clip)) as footage:
        return visualize(footage, target, tracker(), folder, parse_frames(frames), **shown)


def strip_size(panels: int) -> tuple[int, int]:
    rows, columns = -(-panels // SHEET_COLUMNS), min(panels, SHEET_COLUMNS)
    return LINE + rows * (SIDE + TITLE + MARGIN) + MARGIN, columns * (SIDE + MARGIN) + MARGIN


@pytest.mark.slow
def test_a_sheet_has_a_strip_for_each_frame(clip: Path, tmp_path: Path):
    file = drawn(clip, tmp_path, "1,5,11")
    height, width = strip_size(3 + 2 + 3)  # frame, template and crop; scores before and after; three blocks that divide
    assert file == tmp_path / "decisions.png" and read_image(file).shape == (LINE + 3 * height, width, 3)
    height, width = strip_size(3 + 3)
    assert read_image(drawn(clip, tmp_path, "5", maps=("division",))).shape == (LINE + height, width, 3)


@pytest.mark.slow
def test_a_video_has_any_number_of_frames(clip: Path, tmp_path: Path):
    file = drawn(clip, tmp_path, "2::3", video=True)
    with VideoReader(file) as video:
        assert len(list(video)) == 4 and video.width >= strip_size(8)[1]
    assert not (tmp_path / "decisions.png").exists()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("7", [7]),
        ("50,1,10,1", [1, 10, 50]),
        ("2:9:3", [2, 5, 8]),
        (":3", [0, 1, 2]),
        ("0:7:3", [0, 3, 6]),
        ("4:6", [4, 5]),
    ],
)
def test_frames_are_numbers_or_a_range(text: str, numbers: list[int]):
    assert list(parse_frames(text)) == numbers


@pytest.mark.parametrize("text", ["", "a", "1;2", "-1", "1:2:0", "5:2", "1,", "1:2:3:4"])
def test_other_words_are_refused(text: str):
    with pytest.raises(ValueError, match=f"^--frames {text}: write numbers such as 1,10,50, or start:stop:step"):
        parse_frames(text)


@pytest.mark.parametrize(
    ("frames", "target", "message"),
    [
        ("0,3", TARGET, "frame 0 is not searched: .* begins in frame 0; name others$"),
        ("3,99", TARGET, "frame 99 is not searched: .*begins in frame 0, and the last frame is 11; name others$"),
        ("40:60", TARGET, "frame 40 is not searched: .* the last frame is 11; name others$"),
        ("3", TARGET._replace(frame=5), "frame 3 is not searched: .* begins in frame 5"),
        ("1", TARGET._replace(box=(500, 0, 9, 9)), "^target square: the first box .* outside the image .* x,y,w,h"),
    ],
)
def test_mistakes_are_one_line(clip: Path, tmp_path: Path, frames: str, target: TargetSpec, message: str):
    with pytest.raises(ValueError, match=message) as raised:
        drawn(clip, tmp_path / "out", frames, target)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_sheet_of_too_many_frames_is_refused(tmp_path: Path):
    clip = write_clip(tmp_path / "long.mp4", FRAMES + MOST_DRAWN)
    message = f"^--frames: a sheet has room for {MOST_DRAWN} frames; .* add --video$"
    with (
        pytest.raises(ValueError, match=message),
        open_footage(Paths(), str(clip)) as footage,
        closing(slowly(footage.frames)) as frames,
    ):
        visualize(footage._replace(frames=frames), TARGET, tracker(), tmp_path, parse_frames("1:"), ("division",))


def slowly(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Nearly always running, so that it cannot be closed before the thread that reads ahead has ended."""
    for frame in frames:
        sleep(0.05)
        yield frame


def test_a_sequence_brings_its_annotation(toy_got10k: Path, tmp_path: Path):
    paths = Paths(cache=tmp_path / "cache", data={"got10k": toy_got10k})
    with open_footage(paths, None, "got10k_val", "GOT-10k_Val_000001") as footage:
        assert footage.boxes.shape == (20, 4)
        file = visualize(footage, TargetSpec("target", footage.boxes[0]), tracker(), tmp_path, [3])
    green = (read_image(file) == (0, 230, 118)).all(axis=2)
    assert green[:LINE].any() and green[LINE:].sum() > 50  # the legend, and the box
    with (
        pytest.raises(ValueError, match="got10k_val has no sequence GOT-10k_Val_7"),
        open_footage(paths, None, "got10k_val", "GOT-10k_Val_7"),
    ):
        pass


def test_the_decisions_behind_kept_results_are_drawn_again(toy_got10k: Path, tmp_path: Path):
    checkpoint = write_run(tmp_path / "output")
    [sequence, *_] = read_dataset("got10k", "official_val", toy_got10k)
    manifest = {
        "experiment": "toy",
        "checkpoint_sha256": file_sha256(checkpoint),
        "runs": [{"checkpoint": checkpoint}],
        "settings": {"test": {"tracker": {"window": "multiply"}}},
    }

    def results(label: str, manifest: dict | None) -> ToyResults:
        return ToyResults(label, lambda annotation: annotation.boxes, manifest, benchmark="got10k_val")

    draw = ResultDrawer(Paths(output=tmp_path))
    strip = draw(results("ours", manifest), sequence, 7)
    assert strip.shape == (*strip_size(3 + 2 + 1), 3) and strip.dtype == np.uint8
    settings = {"test": {"tracker": {"window": "none"}}}
    overridden = results("without a window", manifest | {"settings": settings})
    assert draw(overridden, sequence, 7).shape[1] < strip.shape[1]  # one map of scores, not two
    others = results("raw", None)
    with pytest.raises(ValueError, match=r"^/results/raw: its checkpoint is not here \(none is named\)$"):
        draw(others, sequence, 7)
    changed = results("old", manifest | {"checkpoint_sha256": "ab"})
    with pytest.raises(ValueError, match="its sha256 is .* another file took its place"):
        draw(changed, sequence, 7)
