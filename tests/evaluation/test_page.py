from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import lib.evaluation.reports.page as page
from lib.evaluation.metrics.protocols import PROTOCOLS, Annotation
from lib.evaluation.metrics.scoring import annotation_of, score_set
from lib.evaluation.reports.comparison import CURVES, Comparison, Entry, Run, spread
from lib.evaluation.reports.page import BEST, PICTURED, WIDTH, WORST, write_page
from tests.evaluation.toy_comparison import EVIL, FRAMES, HEIGHT, drifting, toy_comparison
from tests.evaluation.toy_comparison import WIDTH as IMAGE_WIDTH


class Reader(HTMLParser):
    """The tags of a page, and the text inside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.inside[self._open] = self.inside.get(self._open, "") + data


def no_constant(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def written(comparisons: list[Comparison], folder: Path) -> Reader:
    write_page(comparisons, folder / "page.html")
    return Reader((folder / "page.html").read_text(encoding="utf-8"))


def data_of(comparison: Comparison, folder: Path) -> dict[str, Any]:
    return json.loads(written([comparison], folder).inside["data"], parse_constant=no_constant)[0]


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    return toy_comparison(tmp_path / "frames")


def alone(comparison: Comparison, boxes, **changes: Any) -> Comparison:
    """The comparison with one tracker, of these boxes, and sequences changed alike."""
    sequences = tuple(replace(sequence, **changes) for sequence in comparison.sequences)
    annotations = [annotation_of(sequence, comparison.benchmark) for sequence in sequences]
    scores = score_set("alone", comparison.benchmark, annotations, boxes, comparison.protocols)
    return replace(
        comparison, sequences=sequences, entries=(Entry("alone", (Run(scores, "raw", "a toy", boxes=boxes),)),)
    )


@pytest.mark.parametrize("protocol", ["pytracking", "got10k", "trackingnet"])
def test_every_number_is_the_protocols(comparison: Comparison, tmp_path: Path, protocol: str) -> None:
    view = data_of(comparison, tmp_path)["by_protocol"][protocol]
    _, ours, evil = comparison.entries
    scores = evil.runs[0].scores
    assert {name: score["mean"] for name, score in view["scores"][2].items()} == pytest.approx(
        scores.values(protocol), abs=1e-6
    )
    assert all(score["deviation"] is None and score["low"] is None for score in view["scores"][2].values())
    headline = view["headline"]
    seeds = [run.scores.values(protocol)[headline] for run in ours.runs]
    shown = view["scores"][1][headline]
    assert shown["mean"] == pytest.approx(np.mean(seeds), abs=1e-6) and seeds[0] != seeds[1]
    assert shown["deviation"] == pytest.approx(abs(seeds[0] - seeds[1]) / np.sqrt(2), abs=1e-6)
    assert (shown["low"], shown["high"]) == ours.intervals[protocol][headline]
    for row, sequence in enumerate(scores.sequences):
        for name, value in sequence.values(protocol).items():
            assert view["sequences"][name][2][row] == pytest.approx(value, abs=1e-6)
    for row, names in enumerate(comparison.attributes.values()):
        part = PROTOCOLS[protocol].join([each.curves[protocol] for each in scores.sequences if each.name in names])
        for name, value in PROTOCOLS[protocol].values(part).items():
            assert view["attributes"][name][2][row] == pytest.approx(value, abs=1e-6)


def test_curves_are_those_of_the_set_with_the_score_that_is_read_off(comparison: Comparison, tmp_path: Path) -> None:
    views = data_of(comparison, tmp_path)["by_protocol"]
    assert {name: list(view["curves"]) for name, view in views.items()} == {
        "pytracking": ["success", "precision", "norm_precision"],
        "got10k": ["success"],
        "trackingnet": ["success", "precision", "norm_precision"],
    }
    for protocol, view in views.items():
        for (kind, curve), thresholds in zip(view["curves"].items(), PROTOCOLS[protocol].thresholds, strict=False):
            assert curve["thresholds"] == pytest.approx(thresholds.tolist(), abs=1e-6)
            assert curve["score"] in CURVES[kind] and curve["score"] in view["names"]
            runs = [getattr(run.scores.overall[protocol], kind) for run in comparison.entries[1].runs]
            assert curve["lines"][1] == pytest.approx(np.mean(runs, axis=0).tolist(), abs=1e-6)
    # Only TrackingNet's protocol scores a tracker that lacks results.
    assert [view["curves"]["success"]["lines"][0] is None for view in views.values()] == [True, True, False]


def test_a_part_of_a_benchmark_is_called_one(comparison: Comparison, tmp_path: Path) -> None:
    assert data_of(comparison, tmp_path)["title"] == "part of got10k_val (6 of 180 sequences)"
    own = replace(comparison, benchmark="own")
    assert data_of(own, tmp_path)["title"] == "own"


def test_what_a_protocol_could_not_score_or_changed_is_told_under_that_protocol(
    comparison: Comparison, tmp_path: Path
) -> None:
    views = data_of(comparison, tmp_path)["by_protocol"]
    assert list(views["pytracking"]["errors"][0]) == ["second"]
    assert list(views["got10k"]["errors"][0]) == ["second", "third"]
    assert "11 predicted boxes for 12" in views["got10k"]["errors"][0]["third"]
    assert views["trackingnet"]["errors"][0] == {}
    assert views["trackingnet"]["notes"][0]["third"] == "1 missing row(s) are misses"
    assert views["got10k"]["scores"][0] == {} and views["trackingnet"]["scores"][0] != {}
    assert [row is None for row in views["got10k"]["sequences"]["AO"][0]] == [False, True, True, False, False, False]


def test_errors_of_several_runs_say_which(comparison: Comparison, tmp_path: Path) -> None:
    runs = comparison.entries[0].runs + comparison.entries[1].runs
    view = data_of(replace(comparison, entries=(Entry("mixed", runs),)), tmp_path)["by_protocol"]["pytracking"]
    assert view["errors"][0]["second"].startswith("first_box: raw/second.txt: there is no such file")
    assert view["scores"] == [{}] and view["sequences"]["AUC"][0][1] is None
    values = [run.scores.sequences[0].values("pytracking") for run in runs]
    assert view["sequences"]["AUC"][0][0] == pytest.approx(spread(values)["AUC"].mean, abs=1e-6)


def test_names_break_out_of_nothing(comparison: Comparison, tmp_path: Path) -> None:
    reader = written([comparison], tmp_path)
    assert Counter(tag for tag, _ in reader.tags) == Counter(
        ["html", "head", "meta", "meta", "meta", "title", "link", "style", "body", "h1", "noscript", "p", "main"]
        + ["script", "script"]
    )
    data = json.loads(reader.inside["data"])[0]
    assert data["trackers"][2]["label"] == EVIL and data["sequences"][3] == EVIL
    assert data["warnings"] == [f"swept on a test set {EVIL}"]
    assert not set("<>&") & set(reader.inside["data"])


def test_characters_that_a_browser_would_obey_or_not_show_are_escapes(comparison: Comparison, tmp_path: Path) -> None:
    name = "a\nb \x1b \u202e \udcd0"
    first = replace(comparison.sequences[0], name=name)
    changed = replace(comparison, sequences=(first, *comparison.sequences[1:]), warnings=(name,))
    data = data_of(changed, tmp_path)
    assert data["sequences"][0] == data["warnings"][0] == r"a\nb \x1b \u202e \udcd0"


def test_the_page_stands_alone_and_says_so_to_the_browser(comparison: Comparison, tmp_path: Path) -> None:
    reader = written([comparison, comparison], tmp_path)
    text = (tmp_path / "page.html").read_text()
    assert set(re.findall(r"\w+://[^\s\"'<>)]*", text)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "url(" not in text and "@import" not in text and "import(" not in text
    policy = next(attributes["content"] for tag, attributes in reader.tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(reader.inside[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def decoded(jpeg: str) -> np.ndarray:
    head, code = jpeg.split(",")
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR)


def test_pictures_show_the_first_frame_and_the_one_where_the_target_was_lost(
    comparison: Comparison, tmp_path: Path
) -> None:
    pictures = data_of(comparison, tmp_path)["pictures"]
    sequence = comparison.sequences[2]
    first, worst = pictures["first"]["third"], pictures["worst"][2]["third"]
    assert (first["frame"], first["frames"], first["truth"]) == (1, FRAMES, sequence.boxes[0].tolist())
    assert (worst["frame"], worst["overlap"]) == (6, 0)  # lost from the sixth on: the earliest of equals
    assert worst["truth"] == sequence.boxes[5].tolist()
    predicted = comparison.entries[2].runs[0].boxes(annotation_of(sequence, "got10k_val"))
    assert worst["predicted"] == pytest.approx(predicted[5].tolist(), abs=0.01)
    for picture, (x, y, w, h) in ((first, sequence.boxes[0]), (worst, sequence.boxes[5])):
        assert picture["size"] == [IMAGE_WIDTH, HEIGHT]
        image = decoded(picture["jpeg"])
        assert image.shape == (HEIGHT, IMAGE_WIDTH, 3)
        assert abs(image[int(y + h / 2), int(x + w / 2)].mean() - 210) < 12, "not that frame"


def test_the_worst_frame_is_that_of_least_overlap(comparison: Comparison, tmp_path: Path) -> None:
    worst = data_of(comparison, tmp_path)["pictures"]["worst"][1]["item 10"]
    assert worst["frame"] == FRAMES  # it falls behind more and more
    sequence = comparison.sequences[5]
    behind = 0.4 * (1 + sequence.boxes[0, 0] / 10) * (FRAMES - 1)
    assert worst["overlap"] == pytest.approx(max(0, 20 - behind) / (20 + behind), abs=1e-6)


def test_frames_without_target_or_annotation_are_passed_over(comparison: Comparison, tmp_path: Path) -> None:
    boxes = comparison.sequences[0].boxes.copy()
    boxes[4] = np.nan
    absent = np.zeros(FRAMES, bool)
    absent[3] = True

    def answer(annotation: Annotation) -> np.ndarray:
        found = annotation.boxes.copy()
        found[4] = 0
        found[3, :2] += 50
        found[7] = (0, 0, 5, -1)
        return found

    sequence = replace(comparison.sequences[0], boxes=boxes, absent=absent)
    shown = page._worst_picture(replace(comparison.entries[0].runs[0], boxes=answer), sequence, "uav")
    assert (shown["frame"], shown["overlap"], shown["predicted"]) == (8, 0, None)


def test_a_set_with_first_boxes_only_has_first_frames_only(comparison: Comparison) -> None:
    sequence = replace(comparison.sequences[0], boxes=comparison.sequences[0].boxes[:1], cover=None)
    run = replace(comparison.entries[0].runs[0], boxes=lambda annotation: np.ones((FRAMES, 4)))
    assert page._worst_picture(run, sequence, "got10k_test") is None


def test_images_and_results_that_are_missing_are_named_in_the_pictures_place(
    comparison: Comparison, tmp_path: Path
) -> None:
    for file in comparison.sequences[0].frames:
        file.unlink()
    comparison.sequences[2].frames[5].write_bytes(b"no image")
    pictures = data_of(comparison, tmp_path)["pictures"]
    assert "cannot read the image" in pictures["first"]["first"]["missing"]
    assert str(comparison.sequences[0].frames[0]) in pictures["first"]["first"]["missing"]
    assert "a damaged one" in pictures["worst"][2]["third"]["missing"]
    assert "there is no such file; track the sequence" in pictures["worst"][0]["second"]["missing"]


def test_large_images_are_made_small_and_boxes_stay_in_their_pixels(comparison: Comparison, tmp_path: Path) -> None:
    sequence = comparison.sequences[0]
    cv2.imwrite(str(sequence.frames[0]), np.full((722, 1282, 3), 90, np.uint8))
    picture = page._picture(sequence, 0, {"truth": np.array([600.004, 300, 500, 200])})
    assert picture["size"] == [1282, 722] and picture["truth"] == [600, 300, 500, 200]
    assert decoded(picture["jpeg"]).shape == (round(722 * WIDTH / 1282), WIDTH, 3)


def test_a_tracker_has_pictures_of_a_few_sequences_and_without_boxes_of_none(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert WORST + BEST <= PICTURED
    monkeypatch.setattr(page, "PICTURED", 2)
    ours = comparison.entries[1]
    bare = Entry("bare", (replace(ours.runs[0], boxes=None),))
    pictures = data_of(replace(comparison, entries=(ours, bare)), tmp_path)["pictures"]
    assert [len(found) for found in pictures["worst"]] == [2, 0] and len(pictures["first"]) == 2
    extremes = page._view(comparison, "pytracking")["extremes"][1]
    assert list(pictures["worst"][0]) == extremes["worst"][:2]


def test_the_worst_come_first_and_none_is_worst_and_best(comparison: Comparison, tmp_path: Path) -> None:
    view = data_of(comparison, tmp_path)["by_protocol"]["pytracking"]
    for number, extremes in enumerate(view["extremes"]):
        scores = dict(zip((s.name for s in comparison.sequences), view["sequences"]["AUC"][number], strict=True))
        ranked = sorted((score, name) for name, score in scores.items() if score is not None)
        assert [scores[name] for name in extremes["worst"]] == [score for score, _ in ranked[:WORST]]
        best = [name for _, name in ranked[::-1][:BEST] if name not in extremes["worst"]]
        assert extremes["best"] == best
    assert len(view["extremes"][0]["best"]) == 1, "of five scored sequences four are the worst"


def test_scores_that_are_no_numbers_are_null(comparison: Comparison, tmp_path: Path) -> None:
    hidden = alone(replace(comparison, protocols=("got10k",)), drifting(0.1), cover=np.zeros(FRAMES, int))
    view = data_of(hidden, tmp_path)["by_protocol"]["got10k"]
    assert view["scores"][0]["AO"]["mean"] is None and view["sequences"]["AO"] == [[None] * 6]
    assert view["extremes"] == [{"worst": [], "best": []}]


def test_a_protocol_that_scores_nothing_leaves_its_errors(comparison: Comparison, tmp_path: Path) -> None:
    view = data_of(alone(comparison, lambda annotation: annotation.boxes[:3]), tmp_path)["by_protocol"]["got10k"]
    assert (view["names"], view["headline"], view["curves"], view["scores"]) == ([], None, {}, [{}])
    assert len(view["errors"][0]) == 6


def test_a_manifest_is_kept_whole_and_what_json_has_not_stands_in_words(comparison: Comparison, tmp_path: Path) -> None:
    odd = {"nan": float("nan"), "path": Path("a/b"), "list": (1, True, None), 3: {"deep": "x"}}
    ours = comparison.entries[1]
    entry = replace(ours, runs=(replace(ours.runs[0], manifest=odd, seconds=float("inf")), ours.runs[1]))
    runs = data_of(replace(comparison, entries=(entry,)), tmp_path)["trackers"][0]["runs"]
    assert runs[0]["manifest"] == {"nan": "nan", "path": "a/b", "list": [1, True, None], "3": {"deep": "x"}}
    assert runs[0]["seconds"] is None and runs[1]["seconds"] == 0.02
    assert runs[1]["manifest"] == ours.runs[1].manifest
    assert (runs[1]["source"], runs[1]["producer"]) == ("output/seed_1", "a toy")


def test_a_page_of_nothing_is_a_page(tmp_path: Path) -> None:
    assert written([], tmp_path).inside["data"] == "[]"


def test_a_page_that_cannot_be_written_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="page.html"):
        write_page([], tmp_path / "file" / "page.html")


def test_the_template_is_installed_with_the_package() -> None:
    setup = (Path(__file__).parents[2] / "setup.py").read_text()
    folder = Path(page.__file__).with_name("page_template")
    assert sorted(path.name for path in folder.iterdir()) == ["page.css", "page.html", "page.js"]
    assert '"page_template/*"' in setup
