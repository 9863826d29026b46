"""The page in a real Chromium: what a reader sees, clicks and types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import ENTER, Browser, missing_browser, open_browser

from lib.evaluation.metrics.confidence import Confidence, Frames, measure
from lib.evaluation.metrics.scoring import annotation_of, score_set
from lib.evaluation.reports.comparison import Comparison, Entry, Run
from lib.evaluation.reports.page import write_page
from tests.evaluation.toy_comparison import EVIL, PROTOCOLS, drifting, toy_comparison

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing_browser()), reason=missing_browser() or "there is one")]
FIRST, SECOND = "#benchmark-0", "#benchmark-1"


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> list[Comparison]:
    folder = tmp_path_factory.mktemp("frames")
    return [toy_comparison(folder / "one"), toy_comparison(folder / "two", ("grm", "lasot"), "nfs")]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def shown(window: Browser, comparisons: list[Comparison], tmp_path: Path) -> Iterator[Browser]:
    """The page, newly opened; whatever a test does there, it must ask for nothing but itself and make no error."""
    file = tmp_path / "page.html"
    write_page(comparisons, file)
    window.open(file)
    yield window
    assert window.console() == []
    assert window.requests() == [file.as_uri()]


def table(browser: Browser, number: int, section: str = FIRST) -> str:
    """The element of a section's table: 0 scores, 1 attributes, 2 sequences."""
    return browser.find(f"{section} table")[number]


def column(browser: Browser, number: int, head: str, section: str = FIRST) -> list[str]:
    """What stands under a head, from top to bottom, first lines only."""
    whole = table(browser, number, section)
    place = browser.texts("thead th", whole).index(head) + 1
    return [text.splitlines()[0] for text in browser.texts(f"tbody tr > :nth-child({place})", whole)]


def head(browser: Browser, number: int, name: str, section: str = FIRST) -> str:
    """The button in a table's head."""
    whole = table(browser, number, section)
    place = browser.texts("thead th", whole).index(name) + 1
    return browser.find(f"thead th:nth-child({place}) button", whole)[0]


def choose(browser: Browser, what: str, name: str, section: int = 0) -> None:
    options = browser.find(f"#{what}-{section} option")
    texts = browser.texts(f"#{what}-{section} option")
    browser.click(options[texts.index(name)])


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def test_a_click_on_a_head_sorts_the_rows_and_another_turns_them(shown: Browser, comparisons: list[Comparison]) -> None:
    names = [sequence.name for sequence in comparisons[0].sequences]
    natural = ["first", "item 2", "item 10", "second", "third"]
    assert [name for name in column(shown, 2, "sequence") if name != EVIL] == natural  # 2 before 10
    scores = comparisons[0].entries[2].runs[0].scores.sequences
    by_name = dict(zip(names, (sequence.values("pytracking")["AUC"] for sequence in scores), strict=True))
    shown.click(head(shown, 2, EVIL))
    falling = column(shown, 2, "sequence")
    assert falling == sorted(names, key=lambda name: -by_name[name]) and falling != natural
    assert column(shown, 2, EVIL) == [percent(by_name[name]) for name in falling]
    shown.click(head(shown, 2, EVIL))
    assert column(shown, 2, "sequence") == falling[::-1]
    assert shown.run("return [...document.querySelectorAll('#benchmark-0 [aria-sort]')].map(e => e.ariaSort)") == [
        "descending",  # of the scores, as at first
        "ascending",
    ]


def test_what_has_no_score_stands_last_whichever_way_rows_are_sorted(shown: Browser) -> None:
    for _ in range(2):
        shown.click(head(shown, 2, "first box"))
        assert column(shown, 2, "sequence")[-1] == "second" and column(shown, 2, "first box")[-1] == "–"


def test_a_head_is_reached_and_pressed_with_the_keyboard(shown: Browser) -> None:
    before = column(shown, 0, "tracker")
    button = head(shown, 0, "tracker")
    shown.run("document.body.focus()")
    assert shown.run("return document.querySelector('#benchmark-0 thead button').tabIndex") == 0
    shown.press(button, ENTER)
    after = column(shown, 0, "tracker")
    assert after != before and after == sorted(before, key=str.casefold)


def test_another_protocol_brings_its_own_numbers_everywhere(shown: Browser, comparisons: list[Comparison]) -> None:
    evil = comparisons[0].entries[2]
    seen = []
    for protocol in PROTOCOLS:
        choose(shown, "protocol", protocol)
        score = "AO" if protocol == "got10k" else "AUC"
        row = column(shown, 0, "tracker").index(EVIL)
        expected = evil.runs[0].scores.values(protocol)
        for name, value in expected.items():
            assert column(shown, 0, name)[row] == percent(value)
        assert set(column(shown, 0, "protocol")) == {protocol}
        by_sequence = dict(zip(column(shown, 2, "sequence"), column(shown, 2, EVIL), strict=True))
        for sequence in evil.runs[0].scores.sequences:
            assert by_sequence[sequence.name] == percent(sequence.values(protocol)[score])
        captions = shown.texts(f"{FIRST} caption, {FIRST} figcaption")
        about = [text for text in captions if "percent" in text]
        assert len(about) >= 4 and all(f"by protocol {protocol}" in text for text in about)
        assert all(f"({protocol})" in text for text in shown.texts(f"{FIRST} .card p"))
        key = shown.texts(f"{FIRST} .key:first-of-type li")
        assert f"{EVIL} [{percent(expected[score])}]" in key
        assert ("first box [no score]" in key) == (protocol != "trackingnet")
        paths = shown.run(
            "return [...document.querySelectorAll('#benchmark-0 .curves path.line')].map(e => e.outerHTML)"
        )
        seen.append((by_sequence["third"], len(shown.find(f"{FIRST} .curves > figure")), str(paths)))
    assert [figures for _, figures, _ in seen] == [3, 1, 3]
    assert len({paths for *_, paths in seen}) == 3, "curves are those of another protocol"


def test_the_other_benchmark_keeps_its_protocol_and_its_order(shown: Browser) -> None:
    shown.click(head(shown, 2, "sequence", SECOND))
    before = column(shown, 2, "sequence", SECOND)
    choose(shown, "protocol", "trackingnet")
    assert column(shown, 2, "sequence", SECOND) == before and set(column(shown, 0, "protocol", SECOND)) == {"grm"}
    choose(shown, "protocol", "lasot", section=1)
    assert column(shown, 2, "sequence", SECOND) == before, "the chosen order stays with another protocol"
    assert set(column(shown, 0, "protocol", SECOND)) == {"lasot"}


def test_the_score_by_sequence_is_chosen(shown: Browser, comparisons: list[Comparison]) -> None:
    choose(shown, "score", "P")
    values = comparisons[0].entries[2].runs[0].scores.sequences[0].values("pytracking")
    rows = dict(zip(column(shown, 2, "sequence"), column(shown, 2, EVIL), strict=True))
    assert rows["first"] == percent(values["P"]) != percent(values["AUC"])


def test_names_and_settings_are_read_as_they_are_and_run_nothing(shown: Browser) -> None:
    assert shown.run("return document.title") == "Trackers compared"
    assert shown.run("return document.querySelectorAll('img, main script').length") == 0
    assert EVIL in column(shown, 0, "tracker")
    assert shown.texts("p.warning")[0] == f"got10k_val: swept on a test set {EVIL}"
    assert column(shown, 0, "settings").count("model.division.threshold=0.4") == 1
    shown.click(next(each for each in shown.find(f"{FIRST} summary") if shown.text(each) == "ours"))
    assert any(EVIL.replace('"', '\\"') in text for text in shown.texts(f"{FIRST} pre"))


def test_a_part_of_a_benchmark_is_called_one(shown: Browser) -> None:
    assert shown.texts("h2") == ["part of got10k_val (6 of 180 sequences)", "part of nfs (6 of 100 sequences)"]
    assert shown.texts("nav a") == shown.texts("h2")


def test_a_sequence_may_be_named_as_what_every_object_of_javascript_has(
    window: Browser, comparisons: list[Comparison], tmp_path: Path
) -> None:
    names = ["__proto__", "constructor", "toString"]
    sequences = tuple(replace(one, name=name) for one, name in zip(comparisons[0].sequences, names, strict=False))
    annotations = [annotation_of(sequence, "got10k_val") for sequence in sequences]
    run = Run(score_set("toy", "got10k_val", annotations, drifting(0.1), PROTOCOLS), "raw", "a toy")
    comparison = replace(comparisons[0], sequences=sequences, entries=(Entry("toy", (run,)),), attributes={})
    file = tmp_path / "page.html"
    write_page([comparison], file)
    window.open(file)
    assert sorted(window.texts(f"{FIRST} .card strong")) == names
    assert window.texts(f"{FIRST} .card .none") == ["no picture kept"] * 3
    assert window.console() == [] and window.requests() == [file.as_uri()]


def test_errors_and_notes_stand_under_their_protocol(shown: Browser) -> None:
    summaries = shown.texts(f"{FIRST} summary")
    assert "first box: not scored by protocol pytracking (1)" in summaries
    choose(shown, "protocol", "trackingnet")
    summaries = shown.texts(f"{FIRST} summary")
    assert "first box: changed by the rule of protocol trackingnet (2)" in summaries
    assert not any("not scored" in text for text in summaries)


def test_pictures_are_drawn_with_both_boxes(shown: Browser) -> None:
    drawn = shown.run(
        "const count = (e, css) => e.querySelectorAll(css).length;"
        "return [...document.querySelectorAll('#benchmark-0 .card svg')].map(e =>"
        " [count(e, 'image'), count(e, '.truth'), count(e, '.predicted'), e.getBoundingClientRect().height])"
    )
    assert {tuple(each[:3]) for each in drawn} == {(1, 1, 0), (1, 1, 1)} and all(each[3] > 50 for each in drawn)
    lost = [text for text in shown.texts(f"{FIRST} .card figcaption") if text == "worst frame: 6 of 12, overlap 0.00"]
    assert len(lost) == 1


def test_nothing_is_wider_than_a_narrow_window(shown: Browser) -> None:
    shown.resize(420, 900)
    try:
        assert shown.run("return document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        shown.resize(1300, 1000)


@pytest.mark.parametrize("width", [1300, 420])
def test_long_names_are_whole_and_cover_nothing(window: Browser, comparisons: list, tmp_path: Path, width: int) -> None:
    """Keys of curves with their names inside and apart from each other, and heads of columns that hold their words."""
    first = comparisons[0].entries[1]
    labels = [f"{number}_{'a_long_name_of_a_tracker' * 3}"[:60] for number in range(6)]
    entries = tuple(replace(first, label=label) for label in labels)
    comparison = replace(comparisons[0], entries=entries, confidence=dict.fromkeys(labels, confidence()))
    write_page([comparison], tmp_path / "long.html")
    window.resize(width, 900)
    try:
        window.open(tmp_path / "long.html")
        assert window.run("return document.documentElement.scrollWidth <= window.innerWidth")
        boxes = window.run(
            "return [...document.querySelectorAll('.key')].map(key => [...key.querySelectorAll('span')].map(e =>"
            " { const r = document.createRange(); r.selectNodeContents(e); const b = r.getBoundingClientRect();"
            " return [b.left, b.top, b.right, b.bottom, key.getBoundingClientRect().right]; }))"
        )
        assert len(boxes) == 4 and all(len(key) == len(labels) for key in boxes)  # three curves and the reliability
        for key in boxes:
            assert all(right <= end + 1 for _, _, right, _, end in key)
            for number, (left, top, right, bottom, _) in enumerate(key):
                others = key[number + 1 :]
                assert not any(a < right and left < c and b < bottom and top < d for a, b, c, d, _ in others)
        cut = window.run("return [...document.querySelectorAll('thead th')].filter(e => e.scrollWidth > e.clientWidth)")
        assert cut == []
    finally:
        window.resize(1300, 1000)


def confidence() -> Confidence:
    on = np.arange(40) > 15
    return measure(Frames(np.linspace(0, 1, 40), on, ~on))


def test_the_confidence_of_a_tracker_and_why_another_has_none(window: Browser, comparisons: list, tmp_path) -> None:
    of = {"ours": confidence(), EVIL: "no scores are kept"}
    entries = tuple(entry for entry in comparisons[0].entries if entry.label in of)
    write_page([replace(comparisons[0], entries=entries, confidence=of)], tmp_path / "page.html")
    window.open(tmp_path / "page.html")
    assert window.console() == []
    assert "Confidence" in window.texts(f"{FIRST} h3")
    assert column(window, 1, "AUROC") == ["100.0", "–"]
    assert column(window, 1, "lost_below") == [f"{of['ours'].threshold.value:.3g}", "–"]
    words = "absent frames and those on the target"
    assert column(window, 1, "threshold between") == [words, "no scores are kept"]
    assert "ours [100.0]" in window.texts(f"{FIRST} .key li") and f"{EVIL} [no score]" in window.texts(".key li")


def test_the_browser_would_have_told_of_a_request_or_an_error(window: Browser, tmp_path: Path) -> None:
    """The two silences that the other tests rely on are broken by a page that deserves it."""
    (tmp_path / "bad.html").write_text("<img src='missing.png'><script>nothing.here</script>")
    window.open(tmp_path / "bad.html")
    assert any("nothing is not defined" in message for message in window.console())
    assert (tmp_path / "missing.png").as_uri() in window.requests()
