"""Frames come from files, folders, cameras and addresses; of what is live, the newest one counts."""

import errno
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_files import encode, smooth

from lib.data.decoding.images import ImageError
from lib.data.decoding.video import VideoError, VideoReader
from lib.inference import video
from lib.inference.video import FolderReader, LiveReader, ahead, behind, open_video


def shade(value: int) -> np.ndarray:
    """A BGR image whose red, green and blue differ."""
    return np.full((48, 64, 3), (value, 2 * value, 100 + value), np.uint8)


def test_a_folder_is_read_in_numeric_order_as_rgb(tmp_path: Path):
    for i in (10, 9, 11, 8):
        cv2.imwrite(str(tmp_path / f"{i}.png"), shade(i))
    (tmp_path / "._8.png").touch()
    (tmp_path / "groundtruth.txt").write_text("1,2,3,4\n")
    with open_video(tmp_path) as source:
        assert (source.width, source.height, source.length, source.rate) == (64, 48, 4, 25)
        for number, (frame, i) in enumerate(zip(source, (8, 9, 10, 11), strict=True)):
            assert (frame.number, frame.time) == (number, number / 25)
            np.testing.assert_array_equal(frame.image, shade(i)[:, :, ::-1])


def test_a_folder_without_a_clear_order_is_an_error(tmp_path: Path):
    for file in ("1.png", "2.png", "4.png"):
        (tmp_path / file).touch()
    with pytest.raises(VideoError, match=f"^{tmp_path}: .*4.png follows 2.png: 1 frame"):
        open_video(tmp_path)


def test_nothing_to_read_is_one_line(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.avi").write_text("no video")
    for name, word in (("absent", "no such"), ("empty", "no image"), ("notes.avi", "no video")):
        with pytest.raises(VideoError, match=word) as caught:
            open_video(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_image_is_an_error_that_names_it(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "1.png"), shade(1))
    (tmp_path / "2.png").write_bytes(b"not an image")
    frames = iter(FolderReader(tmp_path))
    next(frames)
    with pytest.raises(ImageError, match="2.png"):
        next(frames)


class Steady:
    """A reader of four frames a step, as a camera gives them."""

    name, width, height, rate, time_base, length, start = "steady", 64, 48, 25, 1, None, 0

    def __init__(self, count: int) -> None:
        self.first, self.count, self.closed = video.Frame(0, 0.0, shade(0)), count, False
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)

    def __iter__(self):
        for number in range(self.count):
            if number % 4 == 0:
                self.done.release()
                self.go.acquire()
            yield video.Frame(number, number / 25, shade(number))
        self.done.release()

    def close(self) -> None:
        self.closed = True


def test_a_live_source_leaves_frames_out_and_counts_them():
    reader = Steady(12)
    live = LiveReader(reader)
    frames = iter(live)
    seen = [next(frames).number]
    reader.done.acquire()
    for _ in range(3):
        reader.go.release()
        reader.done.acquire()  # four frames came while the network worked
        seen.append(next(frames).number)
    assert list(frames) == []
    live.close()
    assert reader.closed
    assert seen == [0, 3, 7, 11] and live.dropped == 8


def test_what_ends_a_live_source_comes_to_the_thread_that_iterates():
    class Breaking(Steady):
        def __iter__(self):
            yield self.first
            raise video.VideoError("camera 0: unplugged")

    live = LiveReader(Breaking(1))
    frames = iter(live)
    assert next(frames).number == 0
    with pytest.raises(video.VideoError, match="^camera 0: unplugged$"):
        next(frames)
    live.close()


@pytest.fixture
def server(tmp_path: Path):
    """Serves ``clip.ts`` as a live stream: no length, a piece at a time; and all other files whole."""
    encode(tmp_path / "clip.ts", smooth(50), "libx264")
    encode(tmp_path / "clip.mp4", smooth(10), "libx264")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - its name in http.server
            data = (tmp_path / Path(self.path).name).read_bytes()
            self.send_response(200)
            live = self.path.endswith(".ts")
            self.send_header("Connection", "close")
            if not live:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for at in range(0, len(data), 4096):
                self.wfile.write(data[at : at + 4096])
                time.sleep(0.002 if live else 0)

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_is_a_file_or_a_stream_that_ends(server: str):
    with open_video(f"{server}/clip.mp4") as source:
        assert isinstance(source, VideoReader) and len(list(source)) == 10
    with open_video(f"{server}/clip.ts") as source:
        assert isinstance(source, LiveReader) and source.length is None
        numbers = [frame.number for frame in source]
        assert numbers == sorted(set(numbers)) and len(numbers) + source.dropped == 50
        # FFmpeg takes the end of a stream of unknown length for an error.
        assert (
            source.shortfall == f"{server}/clip.ts: the stream ended (Input/output error); start again when it is back"
        )
    with pytest.raises(VideoError, match="http://127.0.0.1:1/a.mp4: Connection refused"):
        open_video("http://127.0.0.1:1/a.mp4")


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EACCES, errno.ENOENT])
def test_a_camera_that_cannot_be_opened_is_one_line(code: int, monkeypatch: pytest.MonkeyPatch):
    def refuse(name: str, **_options: object) -> None:
        av.error.err_check(-code, name)

    monkeypatch.setattr("lib.data.decoding.video.av.open", refuse)
    monkeypatch.setattr(video.sys, "platform", "linux")
    remedies = "cameras here: .*; close other programs that use it, and add this user to the group video"
    with pytest.raises(VideoError, match=f"^camera 7: .+; {remedies}$") as caught:
        open_video("7")
    assert "\n" not in str(caught.value)


def test_items_are_made_ahead_and_errors_come_in_their_place():
    made: list[int] = []

    def items():
        for number in range(9):
            if number == 7:
                raise KeyError
            made.append(number)
            yield number

    taken = ahead(items(), most=3)
    assert next(taken) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert made == [0, 1, 2, 3]
    assert [next(taken) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(KeyError):
        next(taken)
    assert list(ahead([])) == []


def test_calls_are_made_behind_in_order_and_errors_are_not_lost():
    done: list[int] = []
    with behind(done.append, most=2) as call:
        for number in range(20):
            call(number)
            assert len(done) >= number - 2
    assert done == list(range(20))
    with pytest.raises(ZeroDivisionError), behind(lambda number: 1 / number) as call:
        for number in (2, 0, 1):
            call(number)
