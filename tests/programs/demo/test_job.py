"""A job beside `follow` on the same video, its files, its end, and the maps of a frame."""

import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from lib.config.paths import Paths
from lib.data.decoding.video import VideoReader
from lib.inference.follow import TargetSpec, follow
from lib.programs.demo.job import JOB_FILES, Job
from lib.programs.demo.trackers import Trackers, find_trackers
from lib.programs.demo.videos import Video

TARGETS = [TargetSpec("one", (10, 20, 20, 20)), TargetSpec("two", (50, 10, 16, 24))]


@pytest.fixture
def video(tmp_path: Path, clip: Path) -> Video:
    shutil.copyfile(clip, tmp_path / "source")
    return Video(tmp_path, "square.mp4")


@pytest.fixture(scope="module")
def trackers(places: Paths) -> Trackers:
    return Trackers(places, find_trackers(places), "cpu")


def run(job: Job) -> Job:
    job.start()
    job.join(60)
    assert not job.is_alive()
    return job


def test_a_job_finds_what_follow_finds_and_writes_it(video: Video, trackers: Trackers):
    job = run(Job(video, TARGETS, trackers, 0))
    assert (job.state, job.message, job.length) == ("done", "", 12)
    assert trackers.speeds[0] == job.speed > 0
    with VideoReader(video.folder / "source") as reader:
        steps = list(follow(reader, TARGETS, trackers.open(0)))
    for (number, time, found), step in zip(job.rows, steps, strict=True):
        assert (number, time) == (step.number, step.time)
        assert found == [[*result.box, result.score, result.lost] for result in step.results.values()]
    tracks = json.loads((video.folder / "tracks.json").read_text())
    assert tracks["whole"] and tracks["video"] == "square.mp4"
    written = [[each["box"] for each in frame["results"].values()] for frame in tracks["frames"]]
    assert np.allclose(written, [[found[:4] for found in row[2]] for row in job.rows], rtol=0, atol=0.006)
    assert {file.name for file in video.folder.iterdir()} == {*JOB_FILES, "source"}
    with VideoReader(video.folder / "tracked.mp4") as reader:
        assert sum(1 for _ in reader) == 12


def test_a_stopped_job_leaves_whole_files(video: Video, trackers: Trackers):
    job = Job(video, TARGETS, trackers, 0)
    keep = job._keep

    def keep_then_stop(step):
        keep(step)
        if step.number == 4:
            job.stop()

    job._keep = keep_then_stop
    run(job)
    assert job.state == "stopped" and len(job.rows) == 5
    assert not json.loads((video.folder / "tracks.json").read_text())["whole"]
    with VideoReader(video.folder / "tracked.mp4") as reader:
        assert sum(1 for _ in reader) == 5


def test_an_error_is_one_line_and_ends_the_job(video: Video, trackers: Trackers, monkeypatch, caplog):
    job = run(Job(video, [TARGETS[0], TARGETS[0]], trackers, 0))
    assert (job.state, job.message) == ("failed", "2 targets are named one; give each another name")
    assert caplog.text == ""
    monkeypatch.setattr(trackers, "open", Mock(side_effect=OSError()))
    job = run(Job(video, TARGETS, trackers, 0))
    assert (job.state, job.message) == ("failed", "OSError: no message") and "Traceback" in caplog.text


def test_maps_are_those_of_the_tracked_frame(video: Video, trackers: Trackers):
    """The network is run again and must give the same result, up to the rounding of another batch."""
    job = run(Job(video, TARGETS, trackers, 0))
    drawn = job.draw_maps(7)
    assert [(each["target"], each["name"]) for each in drawn] == [
        (target, name) for target in ("one", "two") for name in ("scores", "division")
    ]
    assert [each["score"] for each in drawn] == pytest.approx(
        np.repeat([found[4] for found in job.rows[7][2]], 2), abs=1e-6
    )
    assert all(each["picture"].startswith("data:image/png;base64,") for each in drawn)
    for number in (0, 12):
        with pytest.raises(ValueError, match=f"^frame {number} has no maps: frames 1 to 11"):
            job.draw_maps(number)
    job.has_maps = False
    with pytest.raises(ValueError, match="exported network"):
        job.draw_maps(7)
