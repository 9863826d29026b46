"""track.py: run for real on the clip in the repository, ended by signals, and refused in one line.

SIGTERM ends it as SIGINT does, which tests/programs/test_tracking.py shows."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_experiment import write_checkpoint
from video_files import encode, smooth

from lib.data.decoding.video import VideoReader
from lib.experiment.config import load_experiment

ROOT = Path(__file__).parents[2]
CLIP, PROGRAM = ROOT / "docs" / "clip.mp4", ROOT / "tracking" / "track.py"

WITHOUT_TORCH = """
import runpy
import sys
sys.modules["torch"] = None  # an import of it fails
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fresh ones of the tiny GRM."""
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.pth", load_experiment("grm_tiny"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_signal_leaves_a_whole_file_or_none(start, weights: Path, tmp_path: Path, number: int, code: int):
    encode(tmp_path / "long.mp4", smooth(3000), "libx264")
    out = tmp_path / "out"
    words = ["--box", "10,10,20,16", "--checkpoint", weights, "--out", out]
    with start("track.py", tmp_path / "long.mp4", *words) as process:
        deadline = time.monotonic() + 60
        while not any(file.stat().st_size > 20_000 for file in out.glob(".*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == code
    if number == signal.SIGKILL:
        assert not [path for path in out.iterdir() if not path.name.startswith(".")]
        return
    assert "\nstopped by SIG" in "\n" + printed
    count = len(json.loads((out / "tracks.json").read_text())["frames"])
    with VideoReader(out / "tracked.mp4") as video:
        assert 0 < count < 3000 and len(list(video)) == count


def test_faults_are_one_line(call, weights: Path, tmp_path: Path):
    encode(tmp_path / "a.mp4", smooth(3), "libx264")
    box, checkpoint = ("--box", "10,10,20,16"), ("--checkpoint", weights)
    for words, message in (
        ((tmp_path / "none.mp4", *box, *checkpoint), "none.mp4: no such video, folder of images, camera"),
        ((tmp_path / "a.mp4", "--box", "1,2,3", *checkpoint), "1,2,3: no target; write [name=]x,y,w,h[@frame]"),
        ((tmp_path / "a.mp4", "--box", "99,9,9,9", *checkpoint), "target 1: the first box [99.0, 9.0, 9.0, 9.0] lies"),
        ((tmp_path / "a.mp4", *box, "--checkpoint", tmp_path / "b.pth"), "b.pth"),
        ((tmp_path / "a.mp4", *box, "--network", tmp_path), "network.json"),
        ((tmp_path / "a.mp4", *box, "--config", "grm_tiny"), "last.pth: no such checkpoint"),
        ((tmp_path / "a.mp4", *box, *checkpoint, "--recover"), "recover: true, but lost_below is not set"),
        (("7", *box, *checkpoint), "camera 7: no such video; cameras here: "),
    ):
        ended = call("track.py", *words, "--out", tmp_path / "out")
        assert ended.code == 1 and len(ended.errors) == 1, ended
        assert message in ended.errors[0]
    for words, message in (
        ((tmp_path / "a.mp4",), "name a target with --box"),
        ((tmp_path / "a.mp4", *box, "--network", tmp_path, *checkpoint), "--network has its settings with it"),
        ((tmp_path / "a.mp4", *box, "--threads", "0"), "--threads: must be 1 or more"),
    ):
        ended = call("track.py", *words)
        assert ended.code == 2 and message in ended.err


@pytest.mark.slow
def test_the_clip_is_tracked_without_torch(environment: dict[str, str], tmp_path: Path):
    """With the exported network that ships."""
    words = [str(PROGRAM), str(CLIP), "--box", "horse=11,71,222,163", "--out", str(tmp_path)]
    command = [sys.executable, "-c", WITHOUT_TORCH, *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    names = ("tracked.mp4", "tracks.csv", "tracks.json")
    assert ended.stdout.splitlines()[1:] == [str(tmp_path / name) for name in names]
    tracks = json.loads((tmp_path / "tracks.json").read_text())
    assert tracks["whole"] and len(tracks["frames"]) == 50
    with VideoReader(CLIP) as before, VideoReader(tmp_path / "tracked.mp4") as after:
        assert [frame.time for frame in before] == [frame.time for frame in after]
