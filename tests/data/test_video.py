"""Videos are read and written with the right colors, times, sizes and sound; what is wrong with one is one line."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import encode, smooth

from lib.data.decoding import video
from lib.data.decoding.video import VideoError, VideoReader, VideoWriter

ORANGE = (230, 120, 20)


def read(file: Path) -> list[video.Frame]:
    with VideoReader(file) as reader:
        return list(reader)


def flat(color: tuple[int, int, int], height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


@pytest.mark.parametrize("color", [ORANGE, (20, 60, 220), (10, 200, 30)])
def test_rgb_is_rgb_through_writer_and_reader(tmp_path: Path, color: tuple[int, int, int]):
    """And in the file it is the brightness of BT.709, so players agree."""
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        for _ in range(3):
            writer.write(flat(color))
    for frame in read(tmp_path / "a.mp4"):
        assert np.abs(frame.image.astype(int) - color).max() <= 3
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    expected = 16 + 219 * np.dot(color, (0.2126, 0.7152, 0.0722)) / 255
    assert abs(int(frame.to_ndarray()[:48].mean()) - expected) < 1.5
    assert (frame.format.name, int(frame.colorspace), int(frame.color_range)) == ("yuv420p", 1, 1)


def test_rgb_is_rgb_from_the_file_of_another_program(tmp_path: Path):
    """Motion JPEG has full range and BT.601."""
    encode(tmp_path / "a.avi", [flat(ORANGE)] * 3)
    assert np.abs(read(tmp_path / "a.avi")[1].image.astype(int) - ORANGE).max() <= 3


def test_frames_have_their_exact_times_at_a_variable_rate(tmp_path: Path):
    ticks = [0, 40, 50, 110, 400, 401, 1000]
    encode(tmp_path / "a.mkv", smooth(7), "libx264", ticks=ticks)
    with (
        VideoReader(tmp_path / "a.mkv") as reader,
        VideoWriter(tmp_path / "b.mp4", reader.rate, reader.time_base) as writer,
    ):
        frames = list(reader)
        for frame in frames:
            writer.write(frame.image, frame.time)
    assert [frame.time for frame in frames] == [tick / 1000 for tick in ticks]
    assert [frame.number for frame in frames] == list(range(7))
    again = read(tmp_path / "b.mp4")
    assert [frame.time for frame in again] == [tick / 1000 for tick in ticks]
    for before, after in zip(frames, again, strict=True):
        assert np.abs(before.image.astype(int) - after.image).mean() < 4
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.duration / av.time_base > 1.0  # the last frame is shown too


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (33, 35)])
def test_odd_sizes_get_a_row_or_column_more(tmp_path: Path, size: tuple[int, int]):
    images = smooth(4, width=size[1], height=size[0])
    with VideoWriter(tmp_path / "a.mp4", Fraction(30000, 1001)) as writer:
        for image in images:
            writer.write(image)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert (reader.height, reader.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
        assert (reader.rate, reader.length) == (Fraction(30000, 1001), 4)
        for frame, image in zip(reader, images, strict=True):
            assert np.abs(frame.image[: size[0], : size[1]].astype(int) - image).mean() < 4


def test_frames_of_another_size_get_that_of_the_first(tmp_path: Path):
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(flat(ORANGE))
        writer.write(flat(ORANGE, 90, 31))
    assert [frame.image.shape for frame in read(tmp_path / "a.mp4")] == [(48, 64, 3)] * 2


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_is_shown_upright(tmp_path: Path, degrees: int):
    """As telephones write it: the header turns the picture."""
    image = smooth(1)[0]
    turned = np.rot90(image, -degrees // 90)
    encode(tmp_path / "a.mp4", [turned] * 3, "libx264")
    data = (tmp_path / "a.mp4").read_bytes()
    one, at = (
        65536,
        data.index((65536).to_bytes(4, "big") + bytes(12) + (65536).to_bytes(4, "big"), data.index(b"tkhd")),
    )
    c, s = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    numbers = [c * one, -s * one, 0, s * one, c * one, 0, 0, 0, 1 << 30]
    matrix = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    (tmp_path / "a.mp4").write_bytes(data[:at] + matrix + data[at + 36 :])
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert (reader.height, reader.width) == image.shape[:2]
        for frame in reader:
            assert np.abs(frame.image.astype(int) - image).mean() < 4


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_sound_is_copied(tmp_path: Path, codec: str):
    encode(tmp_path / "a.mp4", smooth(25), "libx264", sound=codec)
    with VideoWriter(tmp_path / "b.mp4", 25, audio=tmp_path / "a.mp4") as writer:
        for frame in read(tmp_path / "a.mp4"):
            writer.write(frame.image, frame.time)
    packets = {}
    for name in ("a.mp4", "b.mp4"):
        with av.open(str(tmp_path / name)) as container:
            found = [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio=0) if p.size]
            packets[name] = [packet for packet in found if packet[0] <= 0.96]
    assert len(packets["a.mp4"]) > 20
    assert packets["b.mp4"] == packets["a.mp4"]
    assert [frame.time for frame in read(tmp_path / "b.mp4")] == [n / 25 for n in range(25)]


def test_a_damaged_packet_of_sound_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    encode(tmp_path / "a.mp4", smooth(9), "libx264", sound="aac")
    packets = video._read_sound
    monkeypatch.setattr(video, "_read_sound", lambda *given: (each for each in packets(*given) for _ in range(2)))
    with VideoWriter(tmp_path / "b.mp4", 25, audio=tmp_path / "a.mp4") as writer:
        for frame in read(tmp_path / "a.mp4"):
            writer.write(frame.image, frame.time)
    assert len(read(tmp_path / "b.mp4")) == 9
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert len([packet for packet in container.demux(audio=0) if packet.size]) > 9


def test_sound_that_mp4_lacks_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    encode(tmp_path / "a.avi", smooth(5), sound="pcm_s16le")
    with VideoWriter(tmp_path / "b.mp4", 25, audio=tmp_path / "a.avi") as writer:
        writer.write(flat(ORANGE))
    assert "its sound (pcm_s16le) cannot be copied" in caplog.text
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert len(container.streams.audio) == 0


def test_players_can_begin_before_they_have_the_whole_file(tmp_path: Path):
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(flat(ORANGE))
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_after_an_error_the_file_is_whole_and_without_a_frame_there_is_none(tmp_path: Path):
    with pytest.raises(KeyError), VideoWriter(tmp_path / "new" / "a.mp4", 25) as writer:
        writer.write(flat(ORANGE))
        # A process that is killed leaves no file that looks whole.
        assert [path.name[0] for path in (tmp_path / "new").iterdir()] == ["."]
        raise KeyError
    assert len(read(tmp_path / "new" / "a.mp4")) == 1
    with VideoWriter(tmp_path / "none.mp4", 25):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_name_that_is_no_utf8(tmp_path: Path):
    file = tmp_path / "\udcd0" / "\udcd0.mp4"
    with VideoWriter(file, 25) as writer:
        writer.write(flat(ORANGE))
    assert len(read(file)) == 1


def test_a_missing_encoder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video, "_ENCODER", "libx999")
    with pytest.raises(VideoError, match=r"a\.mp4: this PyAV has no libx999; pip install --force-reinstall av$"):
        VideoWriter(tmp_path / "a.mp4", 25)


def test_a_codec_that_is_missing_is_one_line(tmp_path: Path):
    encode(tmp_path / "a.avi", smooth(3))
    (tmp_path / "a.avi").write_bytes((tmp_path / "a.avi").read_bytes().replace(b"MJPG", b"ZQ9X"))
    with pytest.raises(VideoError, match=r"a\.avi: its codec is unknown to this FFmpeg; convert it") as caught:
        VideoReader(tmp_path / "a.avi")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "word"), [
    ("text.mp4", "no video that FFmpeg knows"), ("sound.mp4", "holds no video"), ("none.mp4", "no such video"),
    ("cut.mp4", "cut short at its end"), ("empty.avi", "no frame can be read"),
])  # fmt: skip
def test_a_file_without_frames_is_one_line(tmp_path: Path, name: str, word: str):
    (tmp_path / "text.mp4").write_text("no video")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 48000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    encode(tmp_path / "whole.mp4", smooth(20), "libx264")
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:-600])
    encode(tmp_path / "whole.avi", smooth(2))
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "empty.avi").write_bytes(data[: data.index(b"movi") + 4])
    with pytest.raises(VideoError, match=word) as caught:
        VideoReader(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_video_cut_short_gives_what_it_has_and_states_it(tmp_path: Path):
    encode(tmp_path / "a.avi", smooth(40))
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: len(data) // 2])
    with VideoReader(tmp_path / "a.avi") as reader:
        count = len(list(reader))
        assert 0 < count < 40
        assert reader.shortfall.startswith(f"{tmp_path / 'a.avi'}: its header states 40 frames, {count} could be read")


def test_a_damaged_frame_is_left_out(tmp_path: Path):
    encode(tmp_path / "a.avi", smooth(9))
    data = (tmp_path / "a.avi").read_bytes()
    at, after = [i for i in range(len(data)) if data.startswith(b"\xff\xd8\xff", i)][4:6]
    (tmp_path / "a.avi").write_bytes(data[:at] + bytes(after - at - 8) + data[after - 8 :])
    frames = read(tmp_path / "a.avi")
    assert len(frames) == 8
    assert [round(25 * frame.time) for frame in frames] == [0, 1, 2, 3, 5, 6, 7, 8]
