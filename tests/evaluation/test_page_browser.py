"""The page in a real Chromium: what a reader sees, clicks and types."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import ENTER, Browser, missing_browser, open_browser

from lib.evaluation.metrics.confidence import Confidence, ScoredFrames, measure_confidence
from lib.evaluation.metrics.scoring import score_set
from lib.evaluation.reports.comparison import ComparedTracker, Comparison
from lib.evaluation.reports.page import PICTURE_WIDTH, write_page
from tests.evaluation.toy_comparison import EVIL, PROTOCOLS, drifting, toy_comparison
from tests.evaluation.toy_sets import ToyResults

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


@pytest.fixture(scope="module")
def file(comparisons: list[Comparison], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "page.html"
    write_page(comparisons, file)
    return file


@pytest.fixture
def shown(window: Browser, file: Path) -> Iterator[Browser]:
    """The page, newly opened; whatever a test does there, it must ask for nothing but itself and make no error."""
    window.open(file)
    yield window
    assert window.console() == []
    assert window.requests() == [file.as_uri()]


def table(browser: Browser, kind: str, section: str = FIRST) -> str:
    """The element of a section's visible table."""
    return next(each for each in browser.find(f"{section} table.{kind}") if browser.text(each))


def column(browser: Browser, kind: str, head: str, section: str = FIRST) -> list[str]:
    """The cells under a head, from top to bottom, first lines only."""
    whole = table(browser, kind, section)
    place = browser.texts("thead th", whole).index(head) + 1
    return [text.splitlines()[0] for text in browser.texts(f"tbody tr > :nth-child({place})", whole)]


def head(browser: Browser, kind: str, name: str, section: str = FIRST) -> str:
    """The button in a table's head."""
    whole = table(browser, kind, section)
    place = browser.texts("thead th", whole).index(name) + 1
    return browser.find(f"thead th:nth-child({place}) button", whole)[0]


def choose(browser: Browser, select: str, name: str) -> None:
    options = browser.find(f"#{select} option")
    texts = browser.texts(f"#{select} option")
    browser.click(options[texts.index(name)])


def visible(browser: Browser, css: str) -> list[str]:
    """The texts of the visible elements."""
    return [text for text in browser.texts(css) if text]


def curves(browser: Browser) -> list[str]:
    """The words of the first benchmark's visible curves, once they are loaded."""
    return browser.run(
        f"return [...document.querySelectorAll('{FIRST} .curves img')].filter(e => e.offsetParent && e.naturalWidth)"
        ".map(e => e.alt)"
    )


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def test_a_click_on_a_head_sorts_the_rows_and_another_turns_them(shown: Browser, comparisons: list[Comparison]) -> None:
    names = [sequence.name for sequence in comparisons[0].sequences]
    natural = ["first", "item 2", "item 10", "second", "third"]
    shown.click(head(shown, "sequences", "sequence"))
    assert [name for name in column(shown, "sequences", "sequence") if name != EVIL] == natural  # 2 before 10
    scores = comparisons[0].entries[2].runs[0].sequences
    by_name = dict(zip(names, (sequence.values("pytracking")["AUC"] for sequence in scores), strict=True))
    shown.click(head(shown, "sequences", EVIL))
    falling = column(shown, "sequences", "sequence")
    assert falling == sorted(names, key=lambda name: -by_name[name]) and falling != natural
    assert column(shown, "sequences", EVIL) == [percent(by_name[name]) for name in falling]
    shown.click(head(shown, "sequences", EVIL))
    assert column(shown, "sequences", "sequence") == falling[::-1]
    sorts = (
        "return [...document.querySelectorAll('#benchmark-0 [aria-sort]')].filter(e => e.offsetParent)"
        ".map(e => e.ariaSort)"
    )
    assert shown.run(sorts) == ["descending", "ascending"], "of the scores, as at first, and of the sequences"


def test_what_has_no_score_stands_last_whichever_way_rows_are_sorted(shown: Browser) -> None:
    for _ in range(2):
        shown.click(head(shown, "sequences", "first box"))
        assert (
            column(shown, "sequences", "sequence")[-1] == "second"
            and column(shown, "sequences", "first box")[-1] == "-"
        )


def test_a_head_is_reached_and_pressed_with_the_keyboard(shown: Browser) -> None:
    before = column(shown, "scores", "tracker")
    button = head(shown, "scores", "tracker")
    shown.run("document.body.focus()")
    assert shown.run("return document.querySelector('#benchmark-0 thead button').tabIndex") == 0
    shown.press(button, ENTER)
    after = column(shown, "scores", "tracker")
    assert after != before and after == sorted(before, key=str.casefold)


def test_another_protocol_brings_its_own_numbers_everywhere(shown: Browser, comparisons: list[Comparison]) -> None:
    evil = comparisons[0].entries[2]
    seen = []
    for protocol in PROTOCOLS:
        choose(shown, "protocol-0", protocol)
        score = "AO" if protocol == "got10k" else "AUC"
        row = column(shown, "scores", "tracker").index(EVIL)
        expected = evil.runs[0].values(protocol)
        for name, value in expected.items():
            assert column(shown, "scores", name)[row] == percent(value)
        by_sequence = dict(zip(column(shown, "sequences", "sequence"), column(shown, "sequences", EVIL), strict=True))
        for sequence in evil.runs[0].sequences:
            assert by_sequence[sequence.name] == percent(sequence.values(protocol)[score])
        about = [*visible(shown, f"{FIRST} caption"), *curves(shown)]
        assert len(about) >= 4 and all(f"protocol {protocol}" in text for text in about)
        success = curves(shown)[0]
        assert f"{EVIL} [{percent(expected[score])}]" in success
        assert ("first box [no score]" in success) == (protocol != "trackingnet")
        lines = " ".join(visible(shown, f"{FIRST} .remarks li"))
        assert ("first box: NO SET SCORE by protocol " in lines) == (protocol != "trackingnet")
        assert ("first box: protocol trackingnet, by its own rule" in lines) == (protocol == "trackingnet")
        seen.append(len(curves(shown)))
    assert seen == [3, 1, 3]


def test_the_other_benchmark_keeps_its_protocol_and_its_order(shown: Browser) -> None:
    shown.click(head(shown, "sequences", "sequence", SECOND))
    before = column(shown, "sequences", "sequence", SECOND)
    choose(shown, "protocol-0", "trackingnet")
    captions = visible(shown, f"{SECOND} caption")
    assert column(shown, "sequences", "sequence", SECOND) == before and all("protocol grm" in text for text in captions)
    choose(shown, "protocol-1", "lasot")
    assert column(shown, "sequences", "sequence", SECOND) == before, "the chosen order stays with another protocol"
    assert all("protocol lasot" in text for text in visible(shown, f"{SECOND} caption"))


def test_the_score_by_sequence_is_chosen(shown: Browser, comparisons: list[Comparison]) -> None:
    choose(shown, "score-0-pytracking", "P")
    values = comparisons[0].entries[2].runs[0].sequences[0].values("pytracking")
    rows = dict(zip(column(shown, "sequences", "sequence"), column(shown, "sequences", EVIL), strict=True))
    assert rows["first"] == percent(values["P"]) != percent(values["AUC"])


def test_names_and_settings_are_read_as_they_are_and_run_nothing(shown: Browser) -> None:
    assert shown.run("return document.title") == "Trackers compared"
    assert shown.run("return document.querySelectorAll('img[onerror], main script').length") == 0
    assert EVIL in column(shown, "scores", "tracker")
    assert visible(shown, "p.warning")[0] == f"swept on a test set {EVIL}"
    assert any("settings of this benchmark: model.division.threshold=0.4" in t for t in visible(shown, ".remarks li"))
    shown.click(next(each for each in shown.find(f"{FIRST} summary") if shown.text(each) == "ours"))
    assert any(EVIL.replace('"', '\\"') in text for text in shown.texts(f"{FIRST} pre"))


def test_a_sequence_may_be_named_as_what_every_object_of_javascript_has(
    window: Browser, comparisons: list[Comparison], tmp_path: Path
) -> None:
    names = ["__proto__", "constructor", "toString"]
    sequences = tuple(replace(one, name=name) for one, name in zip(comparisons[0].sequences, names, strict=False))
    run = score_set(ToyResults("toy", drifting(0.1)), "got10k_val", sequences, ("got10k",))
    changed = {"protocols": ("got10k",), "sequences": sequences, "entries": (ComparedTracker("toy", (run,)),)}
    file = tmp_path / "page.html"
    write_page([replace(comparisons[0], attributes={}, **changed)], file)
    window.open(file)
    assert sorted(visible(window, f"{FIRST} .card strong")) == names
    for _ in range(2):
        window.click(head(window, "sequences", "sequence"))
    assert column(window, "sequences", "sequence") == ["toString", "constructor", "__proto__"]
    assert window.console() == [] and window.requests() == [file.as_uri()]


def test_pictures_are_shown(shown: Browser) -> None:
    sizes = shown.run(
        f"return [...document.querySelectorAll('{FIRST} .card img')].map(e => [e.naturalWidth, e.clientHeight > 50])"
    )
    assert len(sizes) > 20 and all(size == [PICTURE_WIDTH, True] for size in sizes)
    words = "frame 5, the worst: overlap 0.00"
    assert [text for text in visible(shown, f"{FIRST} .card figcaption") if text == words] == [words]


def test_long_names_are_whole_and_nothing_is_wider_than_the_window(
    window: Browser, comparisons: list, tmp_path: Path
) -> None:
    first = comparisons[0].entries[1]
    labels = [f"{number}_{'a_long_name_of_a_tracker' * 3}"[:60] for number in range(6)]
    entries = tuple(replace(first, label=label) for label in labels)
    comparison = replace(comparisons[0], entries=entries, confidence=dict.fromkeys(labels, confidence()))
    write_page([comparison], tmp_path / "long.html")
    cut = "return [...document.querySelectorAll('thead th')].filter(e => e.scrollWidth > e.clientWidth)"
    try:
        for width in (1300, 390):
            window.emulate(width, 900)
            window.open(tmp_path / "long.html")
            assert window.run("return [document.documentElement.scrollWidth, window.innerWidth]") == [width, width]
            assert len(curves(window)) == 4  # with the reliability
            assert window.run(cut) == []
    finally:
        window.emulate_nothing()


def confidence() -> Confidence:
    on = np.arange(40) > 15
    return measure_confidence(ScoredFrames(np.linspace(0, 1, 40), on, ~on))


def test_the_confidence_of_a_tracker_and_why_another_has_none(window: Browser, comparisons: list, tmp_path) -> None:
    none = measure_confidence(ScoredFrames(np.empty(0), np.empty(0, bool), np.empty(0, bool)), "no scores are kept")
    of = {"ours": confidence(), EVIL: none}
    entries = tuple(entry for entry in comparisons[0].entries if entry.label in of)
    write_page([replace(comparisons[0], entries=entries, confidence=of)], tmp_path / "page.html")
    window.open(tmp_path / "page.html")
    assert window.console() == []
    assert "Confidence" in visible(window, f"{FIRST} h3")
    assert column(window, "confidence", "AUROC") == ["100.0", "-"]
    assert column(window, "confidence", "lost_below") == [f"{of['ours'].threshold.value:.3f}", "-"]
    lines = visible(window, f"{FIRST} .remarks li")
    assert any("ours: 40 frames" in line and "absent frames and those on the target" in line for line in lines)
    assert any(line.endswith("no confidence: no scores are kept") for line in lines)
    assert "ours [100.0]" in curves(window)[-1] and f"{EVIL} [no score]" in curves(window)[-1]


def test_the_browser_would_have_told_of_a_request_or_an_error(window: Browser, tmp_path: Path) -> None:
    """The two silences that the other tests rely on are broken by a page that deserves it."""
    (tmp_path / "bad.html").write_text("<img src='missing.png'><script>nothing.here</script>")
    window.open(tmp_path / "bad.html")
    assert any("nothing is not defined" in message for message in window.console())
    assert (tmp_path / "missing.png").as_uri() in window.requests()
