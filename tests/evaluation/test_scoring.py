"""A set's scores are those of its sequences put together; what cannot be scored is an error, of its protocol alone."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import annotation_of
from lib.evaluation.results.result_set import MissingResultError
from tests.evaluation.toy_sets import noisy, scored, sequence, sequences

NAMES = tuple(PROTOCOLS)
LOCAL = [name for name, entry in BENCHMARKS.items() if not entry.server]


def instead(boxes, changed):
    """``boxes``, but what ``changed`` gives or raises for the sequences that it names."""

    def found(video: Sequence) -> np.ndarray:
        return changed[video.name](video) if video.name in changed else boxes(video)

    return found


def missing(video: Sequence) -> np.ndarray:
    raise MissingResultError(f"/raw/{video.name}.txt: no such file")


def damaged(video: Sequence) -> np.ndarray:
    raise ValueError(f"/raw/{video.name}.txt: line 3 is 'x'")


@pytest.mark.parametrize("protocol", NAMES)
def test_a_set_is_its_sequences_put_together_by_the_protocol(protocol):
    videos = sequences(4)
    scores = scored(videos, noisy(0.2), "got10k_val")
    alone = [PROTOCOLS[protocol].score(annotation_of(video, "got10k_val"), noisy(0.2)(video)) for video in videos]
    expected = PROTOCOLS[protocol].values(PROTOCOLS[protocol].join(alone))
    assert scores.values(protocol) == expected
    assert all(0 < value <= 1 for value in expected.values())
    assert scores.errors(protocol) == {}


@pytest.mark.parametrize("protocol", NAMES)
def test_a_part_scores_as_a_set_of_its_own(protocol):
    videos = sequences(5)
    whole, part = scored(videos, noisy(0.3)), scored((videos[1], videos[3]), noisy(0.3))
    assert whole.values(protocol, {"video1", "video3", "another"}) == part.values(protocol)
    assert whole.curves(protocol, {"another"}) is None


def test_only_trackingnet_scores_a_sequence_without_a_result_and_says_so():
    scores = scored(sequences(3), instead(noisy(0.1), {"video1": missing}))
    for protocol in NAMES:
        if protocol != "trackingnet":
            assert scores.values(protocol) == {}
            assert scores.errors(protocol) == {"video1": "/raw/video1.txt: no such file"}
            assert scores.values(protocol, {"video0", "video2"})
    assert scores.notes("trackingnet") == {"video1": ((33, "row(s) without a result taken as boxes of zeros"),)}
    assert scores.errors("trackingnet") == {}
    zeros = scored(sequences(3), instead(noisy(0.1), {"video1": lambda video: 0 * video.boxes}))
    assert scores.values("trackingnet") == zeros.values("trackingnet")
    assert [entry.missing for entry in scores.sequences] == ["", "/raw/video1.txt: no such file", ""]


def test_a_damaged_result_is_an_error_of_every_protocol():
    scores = scored(sequences(2), instead(noisy(0.1), {"video1": damaged}))
    for protocol in NAMES:
        assert scores.errors(protocol) == {"video1": "/raw/video1.txt: line 3 is 'x'"}
        assert scores.values(protocol) == {}


def test_what_one_protocol_refuses_another_scores():
    one_short = {"video0": lambda video: noisy(0.1)(video)[:-1]}
    scores = scored(sequences(2), instead(noisy(0.1), one_short))
    assert scores.errors("pysot") == {"video0": "29 predicted boxes for 30 annotated frames"}
    assert scores.values("pysot") == {}
    assert scores.values("pytracking").keys() == {"AUC", "OP50", "OP75", "P", "Pnorm"}
    assert scores.notes("pytracking") == {"video0": ((1, "missing row(s) taken as boxes of zeros"),)}
    assert scores.sequences[0].values("pysot") == {}


def perfect(video: Sequence) -> np.ndarray:
    """The annotation, and some box where there is none."""
    sized = (video.boxes[:, 2:] > 0).all(axis=1) & np.isfinite(video.boxes).all(axis=1)
    return np.where(sized[:, None], video.boxes, (7, 8, 9, 10))


def on_pixels(name: str, seed: int = 0) -> Sequence:
    """A sequence whose overlaps with itself are 1 without rounding."""
    video = sequence(name, seed=seed)
    return replace(video, boxes=video.boxes.round())


def with_rows(video: Sequence, rows: slice, box: tuple[float | None, ...], cover: int = 8) -> Sequence:
    """The sequence, its ``rows`` annotated with this box, whose None are as they were."""
    boxes, covers = video.boxes.copy(), video.cover.copy()
    for axis, value in enumerate(box):
        boxes[rows, axis] = boxes[rows, axis] if value is None else value
    covers[rows] = cover
    return replace(video, boxes=boxes, cover=covers)


@pytest.mark.parametrize("box", [(0, None), (None, 0), (-3, None), (None, -3), (0, 0), (-5000, None)])
def test_own_data_score_the_same_wherever_the_target_is(box):
    video, protocol = on_pixels("a"), BENCHMARKS["own"].protocol
    inside, moved = (scored((each,), perfect, "own") for each in (video, with_rows(video, slice(1, 20), box)))
    assert moved.values(protocol) == inside.values(protocol)
    assert inside.values(protocol)["AUC"] == pytest.approx(20 / 21)
    assert moved.notes(protocol) == {}


@pytest.mark.parametrize("box", [(np.nan,) * 4, (np.nan,), (None, None, np.nan), (5, 5, 0, 9), (0, 0, -1, 2)])
def test_a_frame_of_own_data_without_a_box_has_one_meaning_however_it_is_written(box):
    protocol = BENCHMARKS["own"].protocol
    written, zeros = (
        scored((with_rows(on_pixels("a"), slice(4, 19), each), on_pixels("b", 1)), perfect, "own")
        for each in (box, (0, 0, 0, 0))
    )
    assert written.values(protocol) == zeros.values(protocol)
    assert written.values(protocol)["AUC"] == pytest.approx((20 / 21 * 15 / 30 + 20 / 21) / 2)


@pytest.mark.parametrize("benchmark", LOCAL)
def test_a_frame_annotated_with_no_number_is_absent_by_the_benchmarks_own_protocol(benchmark):
    protocol = BENCHMARKS[benchmark].protocol
    unknown = with_rows(on_pixels("a"), slice(7, 9), (np.nan,) * 4)
    absent = with_rows(on_pixels("a"), slice(7, 9), (0, 0, 0, 0), cover=0)
    scores = scored((unknown, on_pixels("b", 1)), perfect, benchmark)
    assert scores.values(protocol) == scored((absent, on_pixels("b", 1)), perfect, benchmark).values(protocol)
    assert all(np.isfinite(list(scores.values(protocol).values())))
    uav = benchmark in ("uav", "uav20l", "uav123_10fps")
    toolkits_rule = protocol == "lasot" or uav  # which scores such a frame
    note = (2, "frame(s) taken as absent, as the annotation is no number")
    assert scores.notes(protocol) == ({} if toolkits_rule else {"a": (note,)})
    for name in {"pytracking", "ostrack", "grm"} - {protocol}:
        refused = {"a": "the annotation has a box that is not a number"}
        assert scores.errors(name) == ({} if uav else refused)


@pytest.mark.parametrize(("protocol", "benchmark"), [
    ("lasot", "lasot"), ("lasot", "tnl2k"), ("lasot", "own"), ("pytracking", "otb"), ("pytracking", "vot20"),
    ("grm", "avist"),
])  # fmt: skip
def test_frames_at_the_border_that_a_toolkit_takes_as_invalid_are_counted(protocol, benchmark):
    video = with_rows(with_rows(on_pixels("a"), slice(2, 5), (0,)), slice(9, 11), (None, -1))
    hidden = with_rows(video, slice(10, 14), (0, 0, 0, 0))
    for each, frames in ((video, 5), (hidden, 4)):
        scores = scored((each, on_pixels("b", 1)), perfect, benchmark)
        notes = {"a": ((frames, "frame(s) taken as invalid, as the annotated x or y is 0 or less"),)}
        assert scores.notes(protocol) == notes
        assert scores.values(protocol)["AUC"] < 0.95
        assert scores.notes("ostrack") == {}


def test_frames_that_pysot_takes_as_hits_are_counted():
    scores = scored((with_rows(sequence("a"), slice(2, 5), (-900,)),), perfect, "otb")
    assert scores.notes("pysot") == {"a": ((3, "frame(s) taken as hits, as the annotated center is 0 or less"),)}


def test_a_set_without_sequences_has_no_score():
    assert scored((), noisy(0.1)).values("lasot") == {}


def test_an_annotation_has_the_images_size_from_the_datasets_words_or_the_first_image(tmp_path: Path):
    video = sequence("a")
    assert annotation_of(video, "got10k_val").image_size == (320, 240)
    file = tmp_path / "1.png"
    cv2.imwrite(str(file), np.zeros((50, 70, 3), np.uint8))
    assert annotation_of(replace(video, meta={}, frames=(file,)), "got10k_val").image_size == (70, 50)
    assert annotation_of(replace(video, meta={}), "got10k_val").image_size is None  # there is no such image
    assert annotation_of(replace(video, cover=None, meta={}, frames=()), "lasot").image_size is None
