"""Frames of a video file: unpacked once, whole or not at all, and what is wrong with a file said in one line."""

import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from video_files import encode, smooth

from lib.data.decoding import videos
from lib.data.decoding.images import read_image
from lib.data.decoding.videos import unpack_video
from lib.runtime.locks import only_writer


def write_video(file: Path, count: int = 5) -> list[np.ndarray]:
    """A video of smooth frames (RGB) as Motion JPEG."""
    frames = smooth(count)
    encode(file, frames)
    return frames


def stamp(file: Path) -> tuple[int, int]:
    return file.stat().st_size, file.stat().st_mtime_ns


def test_frames_are_the_videos(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(videos, "_LOG_EVERY", 2)
    shown = write_video(tmp_path / "car.avi")
    with caplog.at_level(logging.INFO, "lib"):
        frames, shortfall = unpack_video(tmp_path / "car.avi", stamp(tmp_path / "car.avi"), tmp_path / "cache")
    assert shortfall == ""
    assert [frame.name for frame in frames] == [f"{number:08d}.jpg" for number in range(1, 6)]
    assert (
        re.fullmatch(r"car-[0-9a-f]{16}", frames.folder.name) and frames.folder.parent == tmp_path / "cache" / "videos"
    )
    for frame, image in zip(frames, shown, strict=True):
        assert np.abs(read_image(frame).astype(int) - image).mean() < 4
    assert "car.avi: unpacking its frames (about 5), once, into" in caplog.text
    assert re.findall(r"car\.avi: (\d) of about 5 frames", caplog.text) == ["2", "4"]


def test_a_video_is_unpacked_once_and_again_when_it_changes(tmp_path):
    file, cache = tmp_path / "car.avi", tmp_path / "cache"
    write_video(file)
    first, _ = unpack_video(file, stamp(file), cache)
    times = [os.stat(frame).st_mtime_ns for frame in first]
    again, _ = unpack_video(file, stamp(file), cache)
    assert list(again) == list(first) and [os.stat(frame).st_mtime_ns for frame in again] == times
    write_video(file, count=7)
    longer, _ = unpack_video(file, stamp(file), cache)
    assert len(longer) == 7 and longer.folder != first.folder
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "car.avi").write_bytes(file.read_bytes())
    assert unpack_video(tmp_path / "other" / "car.avi", stamp(file), cache)[0].folder != longer.folder


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_half_a_video_is_never_used(tmp_path, monkeypatch, error):
    file, cache = tmp_path / "car.avi", tmp_path / "cache"
    write_video(file)
    whole = Path.write_bytes
    written = []

    def interrupted(path: Path, data: bytes) -> int:
        if len(written) == 3:
            raise error
        written.append(path)
        return whole(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", interrupted)
        with pytest.raises((KeyboardInterrupt, ValueError)) as caught:
            unpack_video(file, stamp(file), cache)
    if caught.type is ValueError:
        message = str(caught.value)
        assert "cannot be kept in" in message and "(No space left on device)" in message and "TRACKING_CACHE" in message
    assert list((cache / "videos").iterdir()) == []
    assert len(unpack_video(file, stamp(file), cache)[0]) == 5


def test_what_a_killed_process_left_is_removed(tmp_path):
    file, cache = tmp_path / "car.avi", tmp_path / "cache"
    write_video(file)
    whole = unpack_video(file, None, cache)[0].folder
    left = whole.rename(whole.with_name(f".{whole.name}.unfinished"))
    (left / "00000003.jpg").unlink()
    assert len(unpack_video(file, None, cache)[0]) == 5 and list((cache / "videos").iterdir()) == [whole]


def test_a_video_that_another_process_unpacks_is_waited_for(tmp_path):
    file, cache = tmp_path / "car.avi", tmp_path / "cache"
    write_video(file)
    folder = unpack_video(file, None, cache)[0].folder
    moved = folder.rename(tmp_path / "moved")
    with ThreadPoolExecutor() as pool:
        with only_writer(folder):
            waiting = pool.submit(unpack_video, file, None, cache)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.1)
            (moved / "00000005.jpg").unlink()
            moved.rename(folder)
        assert len(waiting.result(timeout=60)[0]) == 4  # by the other process, not unpacked again


def test_what_is_no_video_is_named(tmp_path):
    file = tmp_path / "car.mp4"
    file.touch()
    with pytest.raises(ValueError, match=r"car\.mp4: no video that FFmpeg knows"):
        unpack_video(file, stamp(file), tmp_path / "cache")
    assert list((tmp_path / "cache" / "videos").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    write_video(tmp_path / "car.avi")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ValueError, match=r"car\.avi: its frames cannot be kept in .*/cache/videos \(Not a directory\)"):
        unpack_video(tmp_path / "car.avi", None, tmp_path / "cache")


@pytest.mark.parametrize("name", ["\udcd0\udcd0", "\u884c" * 83])
def test_a_video_whose_name_is_no_utf8_or_as_long_as_can_be(tmp_path, name):
    write_video(tmp_path / "car.avi")
    file = (tmp_path / "car.avi").rename(tmp_path / f"{name}.avi")
    assert len(unpack_video(file, stamp(file), tmp_path / "cache")[0]) == 5
