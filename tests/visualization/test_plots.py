from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib.colors
import numpy as np
import pytest

import lib.visualization.plots as plots
from lib.visualization.plots import KINDS, Line, plot_curves, plot_radar, plot_reliability

THRESHOLDS = np.linspace(0, 1, 21)
PIXELS = np.arange(51.0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list]:
    """The figures that were drawn, in order; nothing is written."""
    figures = []
    monkeypatch.setattr(plots, "_save", lambda figure, stem: figures.append(figure))
    yield figures
    for figure in figures:
        figure.draw_without_rendering()  # bad words for the letter setter show only here


def line(label: str, score: float | None, thresholds: np.ndarray = THRESHOLDS) -> Line:
    return Line(label, thresholds, None if score is None else 1 - thresholds / thresholds[-1] * (1 - score), score)


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def radar(scores: dict[str, list[float | None]], stem: Path) -> None:
    overall = {label: row[0] for label, row in scores.items()}
    plot_radar(scores, ["FM", "OV", "LR"], overall, "lasot", "grm", "AUC", stem)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_are_drawn_as_given_the_best_first_in_the_legend(kind: str, drawn: list) -> None:
    thresholds = PIXELS if kind == "precision" else THRESHOLDS
    lines = [line("low", 0.4321, thresholds), line("none", None, thresholds), line("high", 0.7, thresholds)]
    plot_curves(kind, lines, "uav", "got10k-otb", "AUC", Path("unused"), "Fast Motion, 28 sequences")
    axes = drawn[0].axes[0]
    for given, shown in zip(lines, axes.get_lines(), strict=True):
        points = [] if given.shares is None else np.column_stack([thresholds, given.shares]).tolist()
        assert shown.get_xydata().tolist() == points
    assert legend(drawn[0]) == ["high [70.0]", "low [43.2]", "none [no score]"]
    handles = drawn[0].legends[0].get_lines()
    colours = [shown.get_color() for shown in axes.get_lines()]
    assert [handle.get_color() for handle in handles] == [colours[2], colours[0], colours[1]]
    assert axes.get_xlim() == (0, thresholds[-1]) and axes.get_xlabel() == KINDS[kind][1]
    title = axes.get_title().splitlines()
    assert title == [f"{KINDS[kind][0]}, uav", "Fast Motion, 28 sequences", "AUC in percent by protocol got10k-otb"]


def test_a_score_that_is_no_number_stands_last_without_one(drawn: list) -> None:
    plot_curves("success", [line("nan", np.nan), line("low", 0.1)], "got10k_val", "got10k", "AO", Path("unused"))
    assert legend(drawn[0]) == ["low [10.0]", "nan [no score]"]


def test_labels_are_words_not_formulas(drawn: list) -> None:
    labels = ["_hidden", r"$\frac", "a $x$ b", "50%"]
    plot_curves("success", [line(label, 0.5) for label in labels], "a $^ b", "grm", "AUC", Path("unused"))
    assert legend(drawn[0]) == [f"{label} [50.0]" for label in labels]
    radar({label: [0.5, 0.4, 0.3] for label in labels}, Path("unused"))
    assert legend(drawn[1]) == [f"{label} [50.0]" for label in labels]


def test_no_character_of_a_name_is_obeyed(drawn: list) -> None:
    name = "a\nb\x1b\udcd0 $x$"
    shown = r"a\nb\x1b\udcd0 $x$"
    plot_curves("success", [line(name, 0.5)], name, "grm", "AUC", Path("unused"), name)
    plot_radar({name: [0.5, 0.4, 0.3]}, [name, "OV", "LR"], {name: 0.5}, "lasot", "grm", "AUC", Path("unused"))
    assert legend(drawn[0]) == legend(drawn[1]) == [f"{shown} [50.0]"]
    assert drawn[0].axes[0].get_title().splitlines()[:2] == [f"success, {shown}", shown]
    assert drawn[1].axes[0].get_xticklabels()[0].get_text() == shown


def test_forty_trackers_have_lines_of_their_own_that_stay_theirs_in_other_plots(drawn: list) -> None:
    lines = [line(f"tracker {number}", number / 50) for number in range(40)]
    plot_curves("success", lines, "lasot", "lasot", "AUC", Path("unused"))
    radar({entry.label: [0.1, 0.2, 0.3] for entry in lines}, Path("unused"))
    looks = [
        [(shown.get_color(), shown._dash_pattern, shown.get_marker()) for shown in figure.axes[0].get_lines()]
        for figure in drawn
    ]
    assert looks[0] == looks[1] and len({str(look) for look in looks[0]}) == 40
    for figure in drawn:
        height = figure.bbox.height
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert box.y0 >= 0 and box.y1 <= height and box.x1 <= figure.bbox.width
        assert figure.axes[0].get_window_extent().x1 < box.x0, "the legend lies over the plot"


def test_long_names_leave_the_axes_their_room(drawn: list) -> None:
    """A name takes several lines of the legend, whole, and the axes are as wide as beside short names."""
    labels = [f"{number}_{'a_long_name_of_a_tracker' * 3}"[:60] for number in range(6)]
    for names in (labels, [f"tracker {number}" for number in range(6)]):
        plot_curves("success", [line(name, 0.5) for name in names], "lasot", "lasot", "AUC", Path("unused"))
        drawn[-1].draw_without_rendering()
    assert ["".join(text.split()) for text in legend(drawn[0])] == [f"{label}[50.0]" for label in labels]
    long, short = (figure.axes[0].get_window_extent().width for figure in drawn)
    assert long > 0.9 * short
    box = drawn[0].legends[0].get_window_extent()
    assert box.x1 <= drawn[0].bbox.width and drawn[0].axes[0].get_window_extent().x1 < box.x0


def test_the_reliability_is_drawn_as_given(drawn: list) -> None:
    scores, shares = np.array([-0.5, 0.2, 0.8]), np.array([0.0, 0.3, 1.0])
    lines = [Line("known", scores, shares, 0.9), Line("silent", np.empty(0), None, None)]
    plot_reliability(lines, "lasot", Path("unused"))
    axes = drawn[0].axes[0]
    known, silent = axes.get_lines()[:2]
    assert known.get_xydata().tolist() == np.column_stack([scores, shares]).tolist() and not len(silent.get_xdata())
    assert axes.get_xlim() == (-0.5, 1) and legend(drawn[0]) == ["known [90.0]", "silent [no score]"]


def test_neighbours_differ_in_lightness_or_dash_not_in_hue_alone() -> None:
    """Each two of the first fifteen differ in dash or marker: a print without colour tells them apart."""
    styles = [plots._style(number, 2) for number in range(15)]
    assert len({(str(style["linestyle"]), style["marker"]) for style in styles}) == 15
    assert len({matplotlib.colors.to_hex(style["color"]) for style in styles[:8]}) == 8


def test_the_radar_closes_its_polygons_and_leaves_gaps(drawn: list) -> None:
    radar({"a": [0.61, 0.52, 0.7], "b": [0.5, None, 0.66]}, Path("unused"))
    axes = drawn[0].axes[0]
    a, b = (shown.get_ydata() for shown in axes.get_lines())
    assert np.allclose(a, [61, 52, 70, 61]) and np.allclose(b, [50, np.nan, 66, 50], equal_nan=True)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["FM", "OV", "LR"]
    assert axes.get_ylim() == (40, 70)
    assert axes.get_title().splitlines() == ["attributes, lasot", "AUC in percent by protocol grm", "the center is 40"]


@pytest.mark.parametrize(
    ("scores", "span"), [([], (0, 100)), ([3, 8], (0, 20)), ([100, 100], (80, 100)), ([59.9, 60.1], (40, 70))]
)
def test_the_rings_are_round_and_hold_every_score(scores: list[float], span: tuple[int, int]) -> None:
    assert plots._round_span(scores) == span


def test_two_attributes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="radar: 2 attributes make no radar plot; 3 at least are needed"):
        plot_radar({"a": [0.5, 0.5]}, ["FM", "OV"], {"a": 0.5}, "lasot", "lasot", "AUC", tmp_path / "radar")
    assert list(tmp_path.iterdir()) == []


def test_both_files_are_written_whole_and_the_same_again(tmp_path: Path) -> None:
    lines = [line("tracker", 0.5)]
    files = plot_curves("success", lines, "lasot", "lasot", "AUC", tmp_path / "deep" / "grm_v1.5")
    assert [file.name for file in files] == ["grm_v1.5.pdf", "grm_v1.5.png"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["grm_v1.5.pdf", "grm_v1.5.png"]
    image = cv2.imread(str(files[1]))
    assert image is not None and image.std() > 1, "an empty picture"
    text = files[0].read_bytes()
    assert text.startswith(b"%PDF") and b"/Type3" not in text and b"/CreationDate" not in text
    plot_curves("success", lines, "lasot", "lasot", "AUC", tmp_path / "deep" / "grm_v1.5")
    assert files[0].read_bytes() == text
