"""vot.py: sessions over TraX, and the VOT toolkit run for real on a workspace made here, where they are installed."""

import os
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from miniatures import moving_boxes, write_frames
from toy_experiment import write_checkpoint, write_experiment

from lib.data.decoding.images import read_image
from lib.experiment.build import build_tracker
from lib.experiment.config import load_experiment

# TraX writes numbers with four decimals, and keeps them as float32.
WRITTEN = 1e-4
PROGRAMS = Path(__file__).parents[2] / "tracking"
FRAMES = 6
VOT = Path(f"{sys.prefix}-vot") / "bin" / "vot"  # where `make toolkits` puts it


@pytest.fixture(scope="module")
def trax():
    """The module that speaks TraX; its client takes the toolkit's part."""
    return pytest.importorskip("trax", reason="vot-trax is not installed; make toolkits")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint that knows its own experiment, named toy."""
    folder = tmp_path_factory.mktemp("weights")
    return write_checkpoint(folder / "last.pth", load_experiment(write_experiment(folder / "toy.yaml")))


class Workspace(NamedTuple):
    """A folder of the toolkit, its sequences by name, and ``ask(*words) -> output`` of its command ``vot``."""

    folder: Path
    sequences: Path
    ask: Callable[..., str]


def box_line(box: np.ndarray) -> str:
    return ",".join(f"{value:g}" for value in box)


def polygon_line(box: np.ndarray) -> str:
    """A leaning polygon around ``box``."""
    x, y, w, h = box
    return box_line(np.array([x + 3, y, x + w, y + 2, x + w - 3, y + h, x, y + h - 2]))


def mask_line(box: np.ndarray) -> str:
    """A mask that fills ``box``."""
    x, y, w, h = box.astype(int)
    return f"m{x},{y},{w},{h},0,{w * h}"


LINES = {"by_box": box_line, "by_polygon": polygon_line, "by_mask": mask_line}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three sequences of the same images with boxes, polygons and masks, and one experiment; nothing is fetched."""
    if not VOT.exists():
        pytest.skip(f"the VOT toolkit is not installed ({VOT}); make toolkits")
    folder = tmp_path_factory.mktemp("vot")
    for name, line in LINES.items():
        sequence = folder / "sequences" / name
        boxes = write_frames(sequence / "color", "%08d.jpg", 1, FRAMES)
        (sequence / "groundtruth.txt").write_text("".join(line(box) + "\n" for box in boxes))
        (sequence / "sequence").write_text("channels.color=color/%08d.jpg\nfps=30\n")
    (folder / "sequences" / "list.txt").write_text("".join(f"{name}\n" for name in LINES))
    (folder / "stack.yaml").write_text(
        "title: miniature\nexperiments:\n  baseline:\n    type: unsupervised\n    repetitions: 1\n"
        "    analyses:\n      - {type: average_accuracy, name: accuracy, burnin: 1}\n"
    )

    def ask(*words: str | Path) -> str:
        environment = os.environ | {"VOT_RESULTS_BINARY": "0", "OMP_NUM_THREADS": "1"}
        command = [VOT, words[0], "--workspace", folder, *words[1:]]
        ended = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=300)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    assert "Initialized workspace" in ask("initialize", "custom")
    return Workspace(folder, folder / "sequences", ask)


# The toolkit, for real


@pytest.mark.slow
def test_the_toolkit_runs_the_tracker_that_its_ini_names_and_its_results_are_ours(
    trax, workspace, weights, run, tmp_path
):
    printed = run("vot.py", "--checkpoint", weights, "--dataset", "vot22", "--device", "cpu", "--print-ini")
    assert printed.code == 0, printed.err
    (workspace.folder / "trackers.ini").write_text(printed.out)
    assert "Evaluation concluded successfuly" in workspace.ask("evaluate", "toy")

    (tmp_path / "paths.yaml").write_text(f"data:\n  vot22: {workspace.sequences}\n")
    ours = ("--checkpoint", weights, "--dataset", "vot22", "--name", "beside_vot", "--device", "cpu")
    ended = run("test.py", "--paths", tmp_path / "paths.yaml", *ours)
    assert ended.code == 0, ended.err
    folder = Path(
        next(line for line in ended.out.splitlines() if line.startswith("results: ")).removeprefix("results: ")
    )
    for name in LINES:
        theirs = workspace.folder / "results" / "toy" / "baseline" / name / f"{name}_001"
        first, *rows = theirs.with_suffix(".txt").read_text().split()
        assert first == "1"  # the code of a frame where the tracker was started
        boxes = np.array([[float(word) for word in row.split(",")] for row in rows])
        expected = np.loadtxt(folder / f"{name}.txt", delimiter=",")
        assert np.array_equal(expected[0], moving_boxes(1)[0])
        assert np.abs(boxes - expected[1:]).max() < WRITTEN
        assert len(np.unique(expected, axis=0)) > 2
        scores = (theirs.parent / f"{name}_001_confidence.value").read_text().split("\n")[1:FRAMES]
        assert np.array(scores, float) == pytest.approx(np.loadtxt(folder / f"{name}_scores.txt")[1:])
    assert "Analysis successful" in workspace.ask("analysis", "toy", "--name", "miniature")
    assert (workspace.folder / "analysis" / "miniature.json").is_file()


@pytest.mark.slow
def test_a_sequence_that_cannot_be_read_is_named_in_the_toolkits_log(trax, workspace, weights, run):
    printed = run("vot.py", "--checkpoint", weights, "--device", "cpu", "--identifier", "broken", "--print-ini")
    (workspace.folder / "trackers.ini").write_text(printed.out)
    image = workspace.sequences / "by_box" / "color" / "00000003.jpg"
    whole = image.read_bytes()
    image.write_bytes(whole[:-40])
    try:
        output = workspace.ask("evaluate", "broken")
    finally:
        image.write_bytes(whole)
    assert f"{image}: the image is truncated" in output
    [log] = (workspace.folder / "logs").glob("broken_*.log")
    assert f"{image}: the image is truncated; copy or unpack it again" in log.read_text()


# Sessions with the test in the toolkit's part


class Session(NamedTuple):
    """A running program, and TraX's client that talks to it."""

    process: subprocess.Popen[bytes]
    client: Any

    def ended(self) -> tuple[int, str]:
        """The exit code, and the last line of stderr."""
        code = self.process.wait(timeout=60)
        return code, self.process.stderr.read().decode().rstrip().split("\n")[-1]


@pytest.fixture
def session(trax, weights, environment) -> Iterator[Session]:
    from trax.client import Client

    command = [sys.executable, str(PROGRAMS / "vot.py"), "--checkpoint", str(weights), "--device", "cpu"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        streams = (process.stdin.fileno(), process.stdout.fileno())
        talk = Session(process, Client(stream=streams, log=lambda text: None))
        yield talk
        # vot-trax 4.0.2 calls the log once more when it lets go of the session; left to the garbage collector, the log
        # may be gone by then, and Python crashes.
        talk.client._handle = None
        process.kill()


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("frames")
    write_frames(folder, "%08d.jpg", 1, 3)
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_one_session_starts_any_number_of_targets(trax, session, weights, frames):
    tracker = build_tracker(load_experiment(weights.with_name("toy.yaml")), weights)
    images = [{"color": trax.FileImage.create(str(path))} for path in frames]
    mask = np.zeros((72, 96), np.uint8)
    mask[12:30, 20:44] = 1
    regions = (
        trax.Rectangle.create(20, 12, 24, 18),
        trax.Polygon.create([(20.0, 15.0), (40.0, 12.0), (44.0, 20.0), (30.0, 30.0)]),
        trax.Mask.create(mask),
        trax.Rectangle.create(40.5, 30.25, 20, 25),
    )
    for region, box in zip(regions, [[20, 12, 24, 18]] * 3 + [[40.5, 30.25, 20, 25]], strict=True):
        [[answer, properties]], _ = session.client.initialize(images[0], [(region, {})], {})
        assert (answer.bounds(), properties) == (tuple(box), {})
        tracker.init(read_image(frames[0]), box)
        for path, image in zip(frames[1:], images[1:], strict=True):
            [[answer, properties]], _ = session.client.frame(image, {}, [])
            result = tracker.update(read_image(path))
            assert np.abs(answer.bounds() - result.box).max() < WRITTEN
            assert float(properties["confidence"]) == pytest.approx(result.score)
    session.client.quit()
    assert session.ended()[0] == 0


@pytest.mark.slow
def test_an_unreadable_image_is_reported_to_the_toolkit(trax, session, frames, tmp_path):
    session.client.initialize(
        {"color": trax.FileImage.create(str(frames[0]))}, [(trax.Rectangle.create(20, 12, 24, 18), {})], {}
    )
    reason = f"{tmp_path / 'absent.jpg'}: cannot read the image (No such file or directory)"
    with pytest.raises(trax.TraxException, match=re.escape(reason)):
        session.client.frame({"color": trax.FileImage.create(str(tmp_path / "absent.jpg"))}, {}, [])
    assert session.ended() == (1, f"error: {reason}")


@pytest.mark.slow
def test_a_toolkit_that_goes_away_ends_the_program(session):
    session.process.stdin.close()
    code, line = session.ended()
    assert code == 1
    assert line.startswith("error: the VOT toolkit ended, or sent something other than TraX (")


# In this process


def test_started_by_hand_it_says_who_starts_it(call, weights, monkeypatch):
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(isatty=lambda: True))
    ended = call("vot.py", "--checkpoint", weights)
    assert ended.code == 2
    assert "the VOT toolkit starts this program and talks to it; add --print-ini for its trackers.ini" in ended.err


def test_the_section_is_all_that_is_printed(trax, call, weights):
    ended = call("vot.py", "--checkpoint", weights, "--device", "cpu", "--print-ini", "--identifier", "mine")
    assert (ended.code, ended.out.split("\n")[:3]) == (0, ["[mine]", "label = toy", "protocol = trax"])
    assert f"{PROGRAMS / 'vot.py'} --checkpoint {weights} --device cpu\n" in ended.out
