"""Lost targets: which are, where they are searched for, and that every way of tracking searches alike."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from correlation import CorrelationNetwork
from departures import depart

from lib.config.schema import ConfigError
from lib.data.decoding.images import read_image
from lib.data.types import Sequence
from lib.experiment.config import load_experiment
from lib.geometry.overlaps import is_box, overlaps
from lib.inference.engine import Engine
from lib.inference.follow import TargetSpec, follow
from lib.inference.recovery import PATIENCE, STRIDE, is_searched, place_to_search
from lib.inference.settings import TrackerConfig
from lib.inference.target import Target, keep
from lib.inference.tracker import Tracker, TrackResult

HEIGHT, WIDTH, FRAMES = 120, 160, 80
PERIOD, LENGTH = 40, 12  # covered from frame 28 to 39 and from 68 on
LOST = 0.6
SEEN = np.array([100.0, 60, 24, 16])


def sequence(folder: Path, name: str, first: tuple[float, float], seed: int) -> Sequence:
    """A patch of noise that drifts over another noise, on images in ``folder``."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    ground, patch = (
        cv2.resize(rng.integers(0, 255, (h, w, 3), dtype=np.uint8), None, fx=4, fy=4)
        for h, w in ((HEIGHT // 4, WIDTH // 4), (5, 5))
    )
    boxes = np.array([[*first, 20, 20]] + np.round([[0.1, 0.05, 0, 0]] * np.arange(FRAMES)[:, None]), dtype=float)
    frames = tuple(folder / f"{number:03d}.png" for number in range(FRAMES))
    for frame, (x, y, w, h) in zip(frames, boxes.astype(int), strict=True):
        image = ground.copy()
        image[y : y + h, x : x + w] = patch
        cv2.imwrite(str(frame), image[..., ::-1])
    return Sequence(name, "toy", frames, boxes, np.ones(FRAMES, bool))


@pytest.fixture(scope="module")
def departing(tmp_path_factory: pytest.TempPathFactory) -> list[Sequence]:
    """Two sequences in which the target is covered and then half an image away, twice."""
    folder, found = tmp_path_factory.mktemp("departures"), []
    for number, first in enumerate([(20, 15), (100, 70)]):
        plain = sequence(folder / f"plain{number}", f"patch{number}", first, number)
        frames, boxes = [], []
        for index, (image, box) in enumerate(depart(plain, PERIOD, LENGTH)):
            frames.append(folder / f"{number}_{index:03d}.png")
            cv2.imwrite(str(frames[-1]), image[..., ::-1])
            boxes.append(box)
        found.append(Sequence(plain.name, "toy", tuple(frames), np.array(boxes), is_box(np.array(boxes))))
    return found


def network(**tracker) -> CorrelationNetwork:
    return CorrelationNetwork(search=3.0, size=48, **tracker)


def tracked(net: CorrelationNetwork, video: Sequence) -> list[TrackResult]:
    tracker = Tracker(net)
    tracker.init(read_image(video.frames[0]), video.boxes[0])
    return [tracker.update(read_image(frame)) for frame in video.frames[1:]]


@pytest.mark.slow
def test_a_departed_target_is_found_again_and_only_with_recover(departing: list[Sequence]) -> None:
    for video in departing:
        for recover in (True, False):
            results = tracked(network(lost_below=LOST, recover=recover), video)
            boxes = np.stack([video.boxes[0], *(result.box for result in results)])
            on = overlaps(video.boxes, boxes) > 0.5
            assert on[1 : PERIOD - LENGTH].all()
            assert on[2 * PERIOD - LENGTH - 3 : 2 * PERIOD - LENGTH].tolist() == [recover] * 3


@pytest.mark.slow
def test_every_way_of_tracking_recovers_alike(departing: list[Sequence]) -> None:
    net = network(lost_below=LOST, recover=True)
    expected = [tracked(net, video) for video in departing]
    for slots in (1, 2):
        take = partial(next, iter(departing), None)
        tracks = {one.name: track for one, track in Engine(net, slots, threads=2).run(take)}
        for video, results in zip(departing, expected, strict=True):
            assert np.array_equal(tracks[video.name].boxes[1:], np.stack([result.box for result in results]))
            assert tracks[video.name].scores[1:].tolist() == [result.score for result in results]
    for video, results in zip(departing, expected, strict=True):
        steps = list(follow(map(read_image, video.frames), [TargetSpec("one", video.boxes[0])], net))[1:]
        followed = [step.results["one"] for step in steps]
        assert [(*one.box, one.score, one.lost) for one in followed] == [(*r.box, r.score, r.lost) for r in results]
        assert any(result.lost for result in results)


def test_a_target_is_lost_below_the_threshold_whether_or_not_it_is_searched_for(departing: list[Sequence]) -> None:
    video = departing[0]
    plain, marked = tracked(network(), video), tracked(network(lost_below=LOST), video)
    assert not any(result.lost for result in plain)
    assert [result.lost for result in marked] == [result.score < LOST for result in marked]
    assert {result.lost for result in marked} == {True, False}
    sure = tracked(network(lost_below=-1.0, recover=True), video)
    for other in (marked, sure):  # the threshold alone moves no box, and a search that never begins does not
        assert all(np.array_equal(a.box, b.box) and a.score == b.score for a, b in zip(plain, other, strict=True))


def test_the_search_visits_the_whole_image_the_nearest_places_first() -> None:
    side = 80.0
    lost = [number for number in range(1, 400) if is_searched(number)]
    assert lost[:2] == [PATIENCE + 1, PATIENCE + 2]
    boxes = np.array([place_to_search(SEEN, number, side, HEIGHT, WIDTH) for number in lost])
    assert (boxes[:, 2:] == SEEN[2:]).all()
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    places = np.unique(centers.round(6), axis=0)
    count = len(places)
    assert np.array_equal(centers[:count], centers[count : 2 * count])  # and again
    distances = np.linalg.norm(centers[:count] - (SEEN[:2] + SEEN[2:] / 2), axis=1)
    assert (np.diff(distances) >= 0).all()
    for x, y in np.random.default_rng(0).uniform(0, (WIDTH, HEIGHT), (200, 2)):
        assert (np.abs(places - (x, y)).max(axis=1) <= side * STRIDE).any()


def test_a_window_larger_than_the_image_lies_at_the_target_and_in_the_middle() -> None:
    boxes = [place_to_search(SEEN, PATIENCE + n, 900.0, HEIGHT, WIDTH).tolist() for n in (1, 2, 3)]
    assert boxes == [SEEN.tolist(), [WIDTH / 2 - 12, HEIGHT / 2 - 8, 24, 16], SEEN.tolist()]


def test_what_is_kept_of_a_lost_target() -> None:
    config = TrackerConfig(lost_below=0.5, recover=True)
    target, box = Target(SEEN, 0), SEEN + 3
    for lost in range(1, PATIENCE + 5):
        searched = is_searched(target.lost)
        before, target = target, keep(target, box + lost, 0.4, config)
        assert target.lost == lost and np.array_equal(target.seen, SEEN)
        assert np.array_equal(target.box, before.box if searched else box + lost)
    found = keep(target, box, 0.5, config)
    assert found.lost == 0 and found.seen is None and np.array_equal(found.box, box)


def test_recover_needs_a_threshold() -> None:
    with pytest.raises(ConfigError, match=r"(?s)test.tracker.*recover.*lost_below is not set.*--confidence"):
        load_experiment("grm_tiny", ["test.tracker.recover=true"])
