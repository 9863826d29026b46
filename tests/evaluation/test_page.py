"""The page as a parser reads it: numbers, names that stay text, pictures, and the policy that keeps it offline."""

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
from lib.data.types import Sequence
from lib.evaluation.metrics.scoring import score_set
from lib.evaluation.reports.comparison import ComparedTracker, Comparison
from lib.evaluation.reports.page import BEST, PICTURE_WIDTH, WORST, write_page
from lib.visualization.boxes import PREDICTED_COLOR, TRUTH_COLOR
from tests.evaluation.toy_comparison import EVIL, FRAMES, HEIGHT, PROTOCOLS, drifting, toy_comparison
from tests.evaluation.toy_comparison import WIDTH as IMAGE_WIDTH
from tests.evaluation.toy_sets import ToyResults

VOID = {"meta", "link", "img", "wbr"}


class Reader(HTMLParser):
    """The tags of a page, and its texts with the protocol, the score and the innermost tags around each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[list[tuple[str, dict[str, str | None]]], str]] = []
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(self.tags[-1])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "wbr":  # one text with a place for a line break
            data = self.texts.pop()[1] + data
        self.texts.append((list(self._open), data))

    def all(self, tag: str) -> list[str]:
        """The texts right inside a tag."""
        return [text for opened, text in self.texts if opened and opened[-1][0] == tag]

    def rows(self, kind: str, protocol: str = "", score: str = "") -> list[list[tuple[str, str | None]]]:
        """The body of a table: words and title of each cell."""
        found: list[list[tuple[str, str | None]]] = []
        for opened, text in self.texts:
            around = {name: value for _, attributes in opened for name, value in attributes.items()}
            wanted = {"data-protocol": protocol, "data-score": score}
            if any(value and around.get(name) != value for name, value in wanted.items()):
                continue
            if ("table", {"class": kind}) in opened and opened[-1][0] in ("th", "td") and ("tbody", {}) in opened:
                if opened[-1][0] == "th":
                    found.append([])
                found[-1].append((text, opened[-1][1].get("title")))
        return found


def written(comparisons: list[Comparison], folder: Path) -> Reader:
    write_page(comparisons, folder / "page.html")
    return Reader((folder / "page.html").read_text(encoding="utf-8"))


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """One whose images a test may change, by one protocol."""
    return toy_comparison(tmp_path / "frames", ("got10k",))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """One that tests leave as it is."""
    return toy_comparison(tmp_path_factory.mktemp("compared") / "frames")


@pytest.fixture(scope="module")
def file(compared: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page."""
    file = tmp_path_factory.mktemp("page") / "page.html"
    write_page([compared], file)
    return file


@pytest.fixture(scope="module")
def reader(file: Path) -> Reader:
    return Reader(file.read_text(encoding="utf-8"))


def alone(comparison: Comparison, boxes, **changes: Any) -> Comparison:
    """The comparison with one tracker, of these boxes, and sequences changed alike."""
    sequences = tuple(replace(sequence, **changes) for sequence in comparison.sequences)
    run = score_set(ToyResults("alone", boxes, seconds=None), comparison.benchmark, sequences, comparison.protocols)
    return replace(comparison, sequences=sequences, entries=(ComparedTracker("alone", (run,)),))


def number(value: float | None) -> tuple[str, str | None]:
    return ("-", None) if value is None else (f"{100 * value:.1f}", f"{value:.10g}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_number_is_the_protocols(compared: Comparison, reader: Reader, protocol: str) -> None:
    evil = compared.entries[2]
    [scores] = evil.runs
    [row] = [row for row in reader.rows("scores", protocol) if row[0][0] == EVIL]
    values = scores.values(protocol)
    assert row[1 : len(values) + 1] == [number(value) for value in values.values()] and row[-2][0] == "6/6"
    for name in values:
        by_sequence = {row[0][0]: row[3] for row in reader.rows("sequences", protocol, name)}
        expected = {each.name: number(each.values(protocol)[name]) for each in scores.sequences}
        assert by_sequence == expected
        rows = reader.rows("attributes", protocol, name)
        parts = [evil.part_values(protocol, names)[name].value for names in compared.attributes.values()]
        assert [row[3] for row in rows[:2]] == [number(value) for value in parts]


def test_several_runs_have_their_deviation_and_interval(compared: Comparison, file: Path) -> None:
    mean, deviation, *_ = compared.entries[1].values("pytracking")["AUC"]
    cell = f"{100 * mean:.1f} ± {100 * deviation:.1f}<small>[25.0, 75.0]</small></td>"
    assert cell in file.read_text()


def test_a_tracker_without_a_score_has_dashes_and_the_reason_below(reader: Reader) -> None:
    for protocol, count in (("pytracking", "5/6"), ("got10k", "4/6"), ("trackingnet", "6/6")):
        [row] = [row for row in reader.rows("scores", protocol) if row[0][0] == "first box"]
        assert row[-2][0] == count and (row[1][0] == "-") == (protocol != "trackingnet")
    notes = reader.all("li")
    assert any("NO SET SCORE by protocol got10k" in note and "11 predicted boxes for 12" in note for note in notes)
    assert any("by its own rule: 1 missing row(s) are misses, in 1 sequence(s): third" in note for note in notes)


def test_curves_are_pictures_with_their_titles_and_scores_as_words(compared: Comparison, reader: Reader) -> None:
    shown = [words for tag, words in reader.tags if tag == "img" and "svg" in words["src"]]
    for protocol, kinds in (("pytracking", 3), ("got10k", 1), ("trackingnet", 3)):
        assert sum(f"in percent by protocol {protocol};" in words["alt"] for words in shown) == kinds
    value = compared.entries[2].values("got10k")["AO"].value
    [got10k] = [words for words in shown if "by protocol got10k;" in words["alt"]]
    assert f"{EVIL} [{100 * value:.1f}]; " in got10k["alt"] + "; " and "first box [no score]" in got10k["alt"]
    picture = base64.b64decode(got10k["src"].removeprefix("data:image/svg+xml;base64,")).decode()
    assert "<svg" in picture and "<text" in picture and EVIL not in picture


def test_a_part_of_a_benchmark_is_called_one(reader: Reader) -> None:
    assert reader.all("h2") == ["part of got10k_val (6 of 180 sequences)"]


def test_names_break_out_of_nothing(reader: Reader) -> None:
    counts = Counter(tag for tag, _ in reader.tags)
    assert counts["script"] == counts["style"] == 1
    assert EVIL in reader.all("summary") and f"swept on a test set {EVIL}" in reader.all("p")
    assert any(EVIL in text.replace('\\"', '"') for text in reader.all("pre"))
    assert {name for _, attributes in reader.tags for name in attributes if name.startswith("on")} == set()
    assert all(words["src"].startswith("data:image/") for tag, words in reader.tags if tag == "img")


@pytest.mark.slow
def test_characters_that_a_browser_would_obey_or_not_show_are_escapes(comparison: Comparison, tmp_path: Path) -> None:
    name = "a\nb \x1b \u202e \udcd0"
    first = replace(comparison.sequences[0], name=name)
    changed = replace(comparison, sequences=(first, *comparison.sequences[1:]), warnings=(name,))
    reader = written([changed], tmp_path)
    shown = r"a\nb \x1b \u202e \udcd0"
    assert shown in reader.all("p") and shown in [row[0][0] for row in reader.rows("sequences")]


@pytest.mark.slow
def test_the_page_stands_alone_and_forbids_the_browser_requests(comparison: Comparison, tmp_path: Path) -> None:
    reader = written([comparison, replace(comparison, benchmark="own")], tmp_path)
    assert reader.all("h2") == reader.all("a") == ["part of got10k_val (6 of 180 sequences)", "own"]
    text = (tmp_path / "page.html").read_text()
    assert not re.findall(r"\w+://", text)
    assert "url(" not in text and "@import" not in text and "import(" not in text and " style=" not in text
    policy = next(attributes["content"] for tag, attributes in reader.tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256("".join(reader.all(tag)).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    used = {attributes["href"] for tag, attributes in reader.tags if tag == "a"}
    assert len(set(ids)) == len(ids) and used <= {f"#{each}" for each in ids}


def pictures(results: ToyResults, sequence: Sequence) -> list[Any]:
    return list(page._pictures(results, sequence, None))


def decoded(picture: Any) -> np.ndarray:
    code = base64.b64decode(picture.address.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def is_drawn(image: np.ndarray, box: np.ndarray, color: tuple[int, int, int]) -> bool:
    """Whether the box's left and lower edges have the color."""
    x, y, w, h = box * PICTURE_WIDTH / IMAGE_WIDTH
    edges = image[round(y + h / 2), round(x)], image[round(y + h) - 1, round(x + w / 2)]
    return all(np.abs(edge - color).max() < 90 for edge in edges)


def test_pictures_show_the_first_frame_and_the_one_where_the_target_was_lost(comparison: Comparison) -> None:
    sequence, results = comparison.sequences[2], comparison.entries[1].runs[0].results
    first, worst = pictures(results, sequence)
    assert first.caption == "frame 0, ground truth"
    assert worst.caption.startswith(f"frame {FRAMES - 1}, the worst: overlap 0.")
    predicted = results.boxes(sequence)
    assert is_drawn(decoded(first), sequence.boxes[0], TRUTH_COLOR)
    assert not is_drawn(decoded(first), predicted[-1], PREDICTED_COLOR)
    assert is_drawn(decoded(worst), predicted[-1], PREDICTED_COLOR)
    for picture, (x, y, w, h) in ((first, sequence.boxes[0]), (worst, sequence.boxes[-1])):
        image = decoded(picture)
        assert image.shape == (round(HEIGHT * PICTURE_WIDTH / IMAGE_WIDTH), PICTURE_WIDTH, 3)
        row, column = (round(each * PICTURE_WIDTH / IMAGE_WIDTH) for each in (y + h / 2, x + w - 4))
        assert abs(image[row, column].mean() - 210) < 12, "not that frame"
    lost = pictures(comparison.entries[2].runs[0].results, sequence)[1]
    assert lost.caption == "frame 5, the worst: overlap 0.00"  # lost from there on: the earliest of equals


def test_frames_without_target_or_annotation_are_passed_over(comparison: Comparison) -> None:
    boxes = comparison.sequences[0].boxes.copy()
    boxes[4] = np.nan
    absent = np.zeros(FRAMES, bool)
    absent[3] = True

    def answer(sequence: Sequence) -> np.ndarray:
        found = sequence.boxes.copy()
        found[4] = 0
        found[3, :2] += 50
        found[7] = (0, 0, 5, -1)
        return found

    sequence = replace(comparison.sequences[0], boxes=boxes, absent=absent)
    _, worst = pictures(ToyResults("toy", answer), sequence)
    assert worst.caption == "frame 7, the worst: overlap 0.00, no box predicted"
    given = replace(sequence, boxes=boxes[:1], absent=None, cover=None)
    assert len(pictures(ToyResults("toy", lambda annotation: np.ones((FRAMES, 4))), given)) == 1


@pytest.mark.slow
def test_images_and_results_that_are_missing_are_named_in_the_pictures_place(
    comparison: Comparison, tmp_path: Path
) -> None:
    for file in comparison.sequences[0].frames:
        file.unlink()
    comparison.sequences[2].frames[5].write_bytes(b"no image")
    reasons = [text for text in written([comparison], tmp_path).all("div") if "no picture: " in text]
    assert any("cannot read the image" in text and str(comparison.sequences[0].frames[0]) in text for text in reasons)
    assert any("a damaged one" in text for text in reasons)
    missing = pictures(comparison.entries[0].runs[0].results, comparison.sequences[1])[1].missing
    assert "there is no such file; track the sequence" in missing


def test_large_images_are_made_small_with_their_boxes(comparison: Comparison) -> None:
    sequence = comparison.sequences[0]
    cv2.imwrite(str(sequence.frames[0]), np.full((722, 1282, 3), 90, np.uint8))
    large = replace(sequence, boxes=sequence.boxes * 1282 / IMAGE_WIDTH)
    image = decoded(pictures(comparison.entries[1].runs[0].results, large)[0])
    assert image.shape == (round(722 * PICTURE_WIDTH / 1282), PICTURE_WIDTH, 3)
    assert is_drawn(image, sequence.boxes[0], TRUTH_COLOR)


def test_the_worst_come_first_and_none_is_worst_and_best(compared: Comparison) -> None:
    for entry in compared.entries:
        cards = page._cards(compared, entry, None)
        values = [entry.sequence_values("pytracking", number) for number in range(6)]
        pairs = zip(values, compared.sequences, strict=True)
        ranked = sorted((found["AUC"].value, each.name) for found, each in pairs if found)
        worst = [name for _, name in ranked[:WORST]]
        assert [card["name"] for card in cards["Worst"]] == worst
        assert cards["Worst"][0]["score"] == f"AUC {100 * ranked[0][0]:.1f} (pytracking)"
        best = [name for _, name in ranked[::-1][:BEST] if name not in worst]
        assert [card["name"] for card in cards["Best"]] == best
    assert len(page._cards(compared, compared.entries[0], None)["Best"]) == 1, "of five scored ones four are worst"


def test_scores_that_are_no_numbers_have_no_value(comparison: Comparison, tmp_path: Path) -> None:
    hidden = alone(comparison, drifting(0.1), cover=np.zeros(FRAMES, int))
    reader = written([hidden], tmp_path)
    assert reader.rows("scores")[0][1] == ("nan", None) and reader.rows("sequences")[0][1] == ("nan", None)
    assert "Worst and best sequences" not in reader.all("h3") and "Settings" in reader.all("h3")


@pytest.mark.slow
def test_a_protocol_that_scores_nothing_leaves_its_errors(comparison: Comparison, tmp_path: Path) -> None:
    reader = written([alone(comparison, lambda annotation: annotation.boxes[:3])], tmp_path)
    assert [cell[0] for cell in reader.rows("scores", "got10k")[0]] == ["alone", "-", "0/6"]
    assert reader.rows("sequences", "got10k") == []
    assert any("NO SET SCORE by protocol got10k: 6 of 6 sequences" in line for line in reader.all("li"))


@pytest.mark.slow
def test_a_manifest_is_shown_whole(comparison: Comparison, tmp_path: Path) -> None:
    odd = {"nan": float("nan"), "path": Path("a/b"), "list": [1, True, None], 3: {"deep": "x"}}
    ours = comparison.entries[1]
    runs = [
        replace(run, results=replace(run.results, manifest=shown))
        for run, shown in zip(ours.runs, (odd, None), strict=True)
    ]
    entry = replace(ours, runs=tuple(runs))
    reader = written([replace(comparison, entries=(entry,))], tmp_path)
    first, second = reader.all("pre")
    assert json.loads(first) == {"nan": None, "path": "a/b", "list": [1, True, None], "3": {"deep": "x"}}
    assert second == "no manifest: how these results were made is not known"
    assert reader.all("code") == ["/results/seed_0", "/results/seed_1"]


def test_the_template_is_installed_with_the_package() -> None:
    setup = (Path(__file__).parents[2] / "setup.py").read_text()
    folder = Path(page.__file__).with_name("page_template")
    assert sorted(path.name for path in folder.iterdir()) == ["macros.html", "page.css", "page.html", "page.js"]
    assert '"page_template/*"' in setup


def test_decisions_are_drawn_for_the_worst_frames_or_a_reason_is_given(tmp_path: Path):
    comparison = toy_comparison(tmp_path / "images", ("got10k",))
    asked = []

    def draw(results: ToyResults, sequence: Sequence, frame: int) -> np.ndarray:
        asked.append((results.label, sequence.name, frame))
        if results.manifest is None:
            raise ValueError("raw: <its checkpoint> is not here")
        return np.zeros((8, 16, 3), np.uint8)

    write_page([comparison], tmp_path / "page.html", draw)
    reader = Reader((tmp_path / "page.html").read_text())
    images = [words for tag, words in reader.tags if tag == "img" and "decisions" in words["alt"]]
    assert images and all(words["src"].startswith("data:image/jpeg;base64,") for words in images)
    drawn = [f"{name}, decisions in frame {frame}" for label, name, frame in asked if label == "seed_0"]
    assert [words["alt"] for words in images] == drawn
    assert all(0 < frame < FRAMES for *_, frame in asked)
    reasons = [text for text in reader.all("div") if "decisions in frame" in text]
    assert reasons and all(text.endswith("no picture: raw: <its checkpoint> is not here") for text in reasons)
    assert len(images) + len(reasons) == len(asked)
