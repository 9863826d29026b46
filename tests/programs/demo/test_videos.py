"""Uploads: what is taken, what is refused, and that nothing outlives its session."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.decoding.video import VideoError
from lib.programs.demo.videos import MOST_VIDEOS, Videos, session_folder, shown_name


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_a_session_removes_its_folder_and_what_a_killed_one_left(tmp_path: Path):
    abandoned = tmp_path / "session-killed"
    (abandoned / "video").mkdir(parents=True)
    (tmp_path / "session-gone").symlink_to(tmp_path / "nowhere")
    with session_folder(tmp_path) as first:
        assert not abandoned.exists()
        (first / "file").write_text("kept")
        with session_folder(tmp_path) as second:
            assert second != first
            assert (first / "file").read_text() == "kept", "its process lives"
        assert not second.exists()
    assert not first.exists()


def test_an_upload_is_kept_to_the_byte_and_removed(tmp_path: Path, clip: Path):
    videos = Videos(tmp_path, limit=10_000_000)
    content = clip.read_bytes()
    video = asyncio.run(videos.add("a.mp4", chunks(content[:1000], content[1000:])))
    assert [file.read_bytes() for file in video.folder.iterdir()] == [content]
    assert (video.width, video.height, video.length, video.rate) == (96, 64, 12, 25)
    assert videos[video.id] is video
    image = cv2.imdecode(np.frombuffer(video.first, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert image.shape == (64, 96, 3)
    assert np.abs(image[30, 20].astype(int) - (230, 120, 20)).max() < 30, "RGB"
    assert videos.idle() == [] and videos.idle(-1) == [video]
    videos.remove(video)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        videos[video.id]


@pytest.mark.parametrize("kind", ["text", "picture", "playlist", "empty"])
def test_a_file_that_is_not_a_video_is_refused_in_one_line_and_removed(tmp_path: Path, clip: Path, kind: str):
    """A playlist is one to FFmpeg, and would have it read other files of this machine."""
    content = {
        "text": b"hello\n" * 100,
        "picture": cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes(),
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{clip}\n#EXT-X-ENDLIST\n".encode(),
        "empty": b"",
    }[kind]
    videos = Videos(tmp_path, limit=1_000_000)
    with pytest.raises(VideoError, match=r"^a.mp4: no video that can be read here; choose a video file.*$"):
        asyncio.run(videos.add("a.mp4", chunks(content)))
    assert list(tmp_path.iterdir()) == []


def test_so_many_videos_and_no_more(tmp_path: Path, clip: Path):
    videos = Videos(tmp_path, limit=1_000_000)
    for _ in range(MOST_VIDEOS):
        asyncio.run(videos.add("a", chunks(clip.read_bytes())))
    with pytest.raises(ValueError, match=f"^{MOST_VIDEOS} videos are open; close a page"):
        asyncio.run(videos.add("a", chunks(clip.read_bytes())))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        (r"C:\videos\a.mp4", "a.mp4"),
        ("a\nb\x1b.mp4", r"a\nb\x1b.mp4"),
        ("", "video"),
        ("x" * 500, "x" * 80),
    ],
)
def test_names_are_shown_without_their_folder_on_one_line(given: str, name: str):
    assert shown_name(given) == name
