"""Tracking a video of one's own: targets as words, files that are whole however it ends, faults in one line."""

import csv
import json
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from eager_networks import network_of
from families import fresh, tiny
from video_files import encode, smooth

from lib.data.decoding.images import ImageError
from lib.data.decoding.video import VideoReader
from lib.inference.follow import TargetSpec, follow
from lib.inference.torch_network import TorchNetwork
from lib.programs import tracking
from lib.programs.tracking import (
    Wanted,
    open_tracking_network,
    parse_targets,
    select_targets,
    source_name,
    track_video,
)
from lib.runtime.stop import Terminated
from lib.visualization.sheet import write_png

CAR = TargetSpec("car", (10.0, 10.0, 20.0, 16.0))
LATE = TargetSpec("late", (30.0, 20.0, 12.0, 12.0), 5)


@pytest.fixture(scope="module")
def network() -> TorchNetwork:
    experiment = tiny("grm", None)
    return network_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    encode(tmp_path / "clip.mp4", smooth(12), "libx264", rate=24, sound="aac")
    return tmp_path / "clip.mp4"


def read_files(folder: Path) -> tuple[dict, list[dict[str, str]]]:
    """The JSON and the rows of the table, checked against each other."""
    tracks = json.loads((folder / "tracks.json").read_text())
    with open(folder / "tracks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    from_json = [
        [str(entry["frame"]), str(entry["time"]), name, *map(str, r["box"]), str(r["score"]), str(int(r["lost"]))]
        for entry in tracks["frames"]
        for name, r in entry["results"].items()
    ]
    assert [list(row.values()) for row in rows] == from_json
    return tracks, rows


@pytest.mark.slow
def test_the_files_hold_what_follow_gives(clip: Path, tmp_path: Path, network: TorchNetwork):
    end = track_video(str(clip), [CAR, LATE], network, Wanted(tmp_path / "out", text=True))
    assert end.good and end.text().startswith("12 frames in ")
    tracks, _ = read_files(tmp_path / "out")
    with VideoReader(clip) as video:
        steps = list(follow(video, [CAR, LATE], network))
    for entry, step in zip(tracks.pop("frames"), steps, strict=True):
        assert (entry["frame"], entry["time"]) == (step.number, round(step.time, 6))
        assert list(entry["results"]) == list(step.results)
        for name, result in step.results.items():
            np.testing.assert_allclose(entry["results"][name]["box"], result.box, atol=0.006)
    assert tracks == {
        "video": str(clip), "width": 64, "height": 48, "rate": 24.0, "network": network.name,
        "targets": ["car", "late"], "dropped": 0, "whole": True,
    }  # fmt: skip
    texts = [np.loadtxt(tmp_path / "out" / f"{name}.txt", delimiter=",") for name in ("car", "late")]
    assert [text.shape for text in texts] == [(12, 4), (12, 4)]
    assert np.isnan(texts[1][:5]).all() and texts[1][5].tolist() == list(LATE.box)
    with VideoReader(tmp_path / "out" / "tracked.mp4") as video:
        assert (video.width, video.height, video.rate, video.length) == (64, 48, 24, 12)
        assert [frame.time for frame in video] == [step.time for step in steps]
        assert len(video._container.streams.audio) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "car.txt", "late.txt", "tracked.mp4", "tracks.csv", "tracks.json",
    ]  # fmt: skip


def test_files_that_are_there_are_kept_without_force(clip: Path, tmp_path: Path, network: TorchNetwork):
    wanted = Wanted(tmp_path / "out", video=False)
    track_video(str(clip), [CAR], network, wanted)
    assert not (tmp_path / "out" / "tracked.mp4").exists()
    with pytest.raises(ValueError, match=r"tracks\.csv: is there already; .* --out, or add --force$"):
        track_video(str(clip), [CAR], network, wanted)
    track_video(str(clip), [CAR], network, wanted._replace(replace=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_whole_files(clip: Path, tmp_path: Path, network: TorchNetwork, monkeypatch, number):
    monkeypatch.setattr(tracking, "follow", interrupted(lambda: os.kill(os.getpid(), number)))
    with pytest.raises(KeyboardInterrupt, match=f"^stopped by {number.name} after 8 frames") as caught:
        track_video(str(clip), [CAR], network, Wanted(tmp_path))
    assert isinstance(caught.value, Terminated) == (number == signal.SIGTERM)
    tracks, _ = read_files(tmp_path)
    assert len(tracks["frames"]) == 8 and not tracks["whole"]
    with VideoReader(tmp_path / "tracked.mp4") as video:
        assert len(list(video)) == 8


def test_what_was_tracked_before_an_error_is_kept(clip: Path, tmp_path: Path, network: TorchNetwork, monkeypatch):
    def fail() -> None:
        raise ImageError("8.png: damaged")

    monkeypatch.setattr(tracking, "follow", interrupted(fail))
    with pytest.raises(ImageError, match="8.png"):
        track_video(str(clip), [CAR], network, Wanted(tmp_path))
    tracks, _ = read_files(tmp_path)
    assert len(tracks["frames"]) == 7 and not tracks["whole"]
    with VideoReader(tmp_path / "tracked.mp4") as video:
        assert len(list(video)) == 7


def interrupted(act: Callable[[], None]) -> Callable[..., Iterator]:
    """``follow`` that does something before its eighth step."""

    def followed(*arguments) -> Iterator:
        for count, step in enumerate(follow(*arguments), start=1):
            if count == 8:
                act()
            yield step

    return followed


def test_a_target_that_cannot_begin_leaves_no_file(clip: Path, tmp_path: Path, network: TorchNetwork):
    outside = TargetSpec("far", (200.0, 10.0, 5.0, 5.0), 9)
    for targets, message in (
        ([CAR, CAR], "2 targets are named car"),
        ([CAR, outside], "target far: .* 64 x 48 pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            track_video(str(clip), targets, network, Wanted(tmp_path / "out"))
        assert list((tmp_path / "out").iterdir()) == []


def test_a_target_after_the_end_and_a_video_cut_short_are_logged(tmp_path: Path, network: TorchNetwork, caplog):
    encode(tmp_path / "a.avi", smooth(40))
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING, "lib"):
        track_video(str(tmp_path / "a.avi"), [CAR, CAR._replace(name="b", frame=99)], network, Wanted(tmp_path / "out"))
    assert "a.avi: its header states 40 frames" in caplog.text
    assert "target b: begins at frame 99, and none came after it" in caplog.text
    tracks, _ = read_files(tmp_path / "out")
    assert not tracks["whole"] and 0 < len(tracks["frames"]) < 40


def test_a_folder_of_images_is_a_video_too(tmp_path: Path, network: TorchNetwork):
    for number, image in enumerate(smooth(5, width=63, height=47)):
        write_png(tmp_path / "frames" / f"{number}.png", image)
    track_video(str(tmp_path / "frames"), [CAR], network, Wanted(tmp_path / "out"))
    with VideoReader(tmp_path / "out" / "tracked.mp4") as video:
        assert (video.width, video.height, video.rate, len(list(video))) == (64, 48, 25, 5)


def test_targets_are_words_and_lines(tmp_path: Path):
    (tmp_path / "boxes.txt").write_text("\ufeff# two\n\nred car=1.5,2,3,4@7  # a car\n5, 6, 7, 8\n", encoding="utf-8")
    assert parse_targets(["11,71,222,163", "dog=-5,0,3,4"], [tmp_path / "boxes.txt"]) == [
        TargetSpec("1", (11, 71, 222, 163)), TargetSpec("dog", (-5, 0, 3, 4)),
        TargetSpec("red car", (1.5, 2, 3, 4), 7), TargetSpec("4", (5, 6, 7, 8)),
    ]  # fmt: skip


@pytest.mark.parametrize(("word", "reason"), [
    ("1,2,3", "no target; write "), ("1,2,3,4@x", "no target"), ("1 2 3 4", "no target"), ("1,2,nan,4", "no target"),
    ("1,2,0,4", "the box has no size"), ("../a=1,2,3,4", "a name is up to 40"), ("a;b=1,2,3,4", "a name is"),
])  # fmt: skip
def test_a_word_that_is_no_target_is_one_line(word: str, reason: str, tmp_path: Path):
    with pytest.raises(ValueError, match=f"^{re.escape(word)}: .*{reason}"):
        parse_targets([word])
    (tmp_path / "boxes.txt").write_text("1,2,3,4\n1,2,3\n")
    with pytest.raises(ValueError, match=r"boxes\.txt, line 2: 1,2,3: no target"):
        parse_targets([], [tmp_path / "boxes.txt"])


def test_each_source_has_its_folder(tmp_path: Path):
    (tmp_path / "seq.001").mkdir()
    names = {
        "a/my clip.mp4": "my_clip",
        "0": "camera0",
        "rtsp://cam:554/live/": "live",
        f"{tmp_path}/seq.001/": "seq.001",
    }
    assert {source: source_name(source) for source in names} == names


def test_without_a_window_the_remedy_is_one_line(clip: Path, tmp_path: Path, network: TorchNetwork):
    """The OpenCV of the tests is the headless one."""
    with pytest.raises(ValueError, match="^--select: this OpenCV opens no window; pip install opencv-python"):
        select_targets(smooth(1)[0])
    with pytest.raises(ValueError, match="^--show: this OpenCV opens no window; .*tracking/demo.py$"):
        track_video(str(clip), [CAR], network, Wanted(tmp_path / "out", show=True))


def test_boxes_drawn_in_a_window_are_targets(clip: Path, tmp_path: Path, network: TorchNetwork, monkeypatch):
    monkeypatch.setattr(tracking.cv2, "selectROIs", lambda title, image: np.array([[10, 10, 20, 16]]))
    monkeypatch.setattr(tracking.cv2, "destroyAllWindows", lambda: None)
    track_video(str(clip), [CAR], network, Wanted(tmp_path), select=True)
    assert read_files(tmp_path)[0]["targets"] == ["car", "2"]
    monkeypatch.setattr(tracking.cv2, "selectROIs", lambda title, image: ())
    with pytest.raises(ValueError, match="--select: no box was drawn"):
        select_targets(smooth(1)[0])


def test_a_window_shows_the_frames_until_q_is_pressed(clip: Path, tmp_path: Path, network: TorchNetwork, monkeypatch):
    shown = []
    for name in ("namedWindow", "destroyWindow"):
        monkeypatch.setattr(tracking.cv2, name, lambda *_arguments: None)
    monkeypatch.setattr(tracking.cv2, "imshow", lambda name, image: shown.append(image))
    monkeypatch.setattr(tracking.cv2, "waitKey", lambda _milliseconds: ord("q") if len(shown) == 3 else -1)
    track_video(str(clip), [CAR], network, Wanted(tmp_path, show=True))
    assert len(shown) == 3 and len(read_files(tmp_path)[0]["frames"]) == 3


def test_without_a_name_the_shipped_network_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Exported if it is there and nothing else is asked for: it starts without torch."""
    asked = []
    monkeypatch.setattr(tracking, "open_network", lambda folder, threads, recover: asked.append(folder))
    monkeypatch.setattr("lib.programs.network_choice.choose_form", lambda paths, config, *_: Mock(asked.append(config)))
    monkeypatch.setattr("lib.config.paths.SHIPPED_WEIGHTS", tmp_path / "none")
    monkeypatch.setenv("TRACKING_PRETRAINED_MODELS", str(tmp_path))
    open_tracking_network()
    (tmp_path / "lite").mkdir()
    (tmp_path / "lite" / "network.json").touch()
    for options in ({}, {"device": "cuda"}, {"checkpoint": tmp_path / "a.pth"}, {"config": "grm_tiny"}):
        open_tracking_network(**options)
    open_tracking_network(network=tmp_path)
    assert asked == ["lite", tmp_path / "lite", "lite", None, "grm_tiny", tmp_path]
