from pathlib import Path

import cv2
import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

import lib.visualization.plots as plots
from lib.visualization.plots import (
    CURVE_KINDS,
    Line,
    draw_curves,
    draw_radar,
    draw_reliability,
    encode_figure,
    write_figure,
)

THRESHOLDS = np.linspace(0, 1, 21)
PIXELS = np.arange(51.0)


def line(label: str, score: float | None, thresholds: np.ndarray = THRESHOLDS) -> Line:
    return Line(label, thresholds, None if score is None else 1 - thresholds / thresholds[-1] * (1 - score), score)


def legend(figure: Figure) -> list[str]:
    figure.draw_without_rendering()  # bad words for the letter setter show only here
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def radar(scores: dict[str, list[float | None]], attributes: tuple[str, ...] = ("FM", "OV", "LR")) -> Figure:
    lines = [Line(label, None, np.array(row, np.float64), row[0]) for label, row in scores.items()]
    return draw_radar(lines, attributes, "lasot", "grm", "AUC")


@pytest.mark.parametrize("kind", CURVE_KINDS)
def test_curves_are_drawn_as_given_the_best_first_in_the_legend(kind: str) -> None:
    thresholds = PIXELS if kind == "precision" else THRESHOLDS
    lines = [line("low", 0.4321, thresholds), line("none", None, thresholds), line("high", 0.7, thresholds)]
    figure = draw_curves(kind, lines, "uav", "got10k-otb", "AUC", "Fast Motion, 28 sequences")
    [axes] = figure.axes
    for given, shown in zip(lines, axes.get_lines(), strict=True):
        points = [] if given.shares is None else np.column_stack([thresholds, given.shares]).tolist()
        assert shown.get_xydata().tolist() == points
    assert legend(figure) == ["high [70.0]", "low [43.2]", "none [no score]"]
    colors = [shown.get_color() for shown in axes.get_lines()]
    assert [handle.get_color() for handle in axes.get_legend().get_lines()] == [colors[2], colors[0], colors[1]]
    assert axes.get_xlim() == (0, thresholds[-1]) and axes.get_xlabel() == CURVE_KINDS[kind][1]
    title = axes.get_title().splitlines()
    assert title == [
        f"{CURVE_KINDS[kind][0]}, uav",
        "Fast Motion, 28 sequences",
        "AUC in percent by protocol got10k-otb",
    ]


def test_labels_are_words_not_formulas() -> None:
    labels = ["_hidden", r"$\frac", "a $x$ b", "50%"]
    curves = draw_curves("success", [line(label, 0.5) for label in labels], "a $^ b", "grm", "AUC")
    shown = [f"{label} [50.0]" for label in labels]
    assert legend(curves) == legend(radar({label: [0.5, 0.4, 0.3] for label in labels})) == shown


def test_no_character_of_a_name_is_obeyed() -> None:
    name = "a\nb\x1b\udcd0 $x$"
    shown = r"a\nb\x1b\udcd0 $x$"
    curves = draw_curves("success", [line(name, 0.5)], name, "grm", "AUC", name)
    polygon = radar({name: [0.5, 0.4, 0.3]}, (name, "OV", "LR"))
    assert [" ".join(text.split()) for text in legend(curves) + legend(polygon)] == [f"{shown} [50.0]"] * 2
    assert curves.axes[0].get_title().splitlines()[:2] == [f"success, {shown}", shown]
    assert polygon.axes[0].get_xticklabels()[0].get_text() == shown


def test_forty_trackers_have_lines_of_their_own_that_stay_theirs_in_other_plots() -> None:
    lines = [line(f"tracker {number}", number / 50) for number in range(40)]
    figures = (
        draw_curves("success", lines, "lasot", "lasot", "AUC"),
        radar({entry.label: [0.1, 0.2, 0.3] for entry in lines}),
    )
    looks = [
        [(shown.get_color(), shown._dash_pattern, shown.get_marker()) for shown in figure.axes[0].get_lines()]
        for figure in figures
    ]
    assert looks[0] == looks[1] and len({str(look) for look in looks[0]}) == 40


@pytest.mark.slow
def test_the_legend_is_below_the_axes_with_long_names_whole_and_the_file_holds_both(tmp_path: Path) -> None:
    labels = [f"{number}_{'a_long_name_of_a_tracker' * 3}"[:60] for number in range(6)]
    figure = draw_curves("success", [line(name, 0.5) for name in labels], "lasot", "lasot", "AUC")
    assert ["".join(text.split()) for text in legend(figure)] == [f"{label}[50.0]" for label in labels]
    box = figure.axes[0].get_legend().get_window_extent()
    assert box.y1 < figure.axes[0].xaxis.get_tightbbox().y0
    write_figure(figure, tmp_path / "long.png")
    image = cv2.imread(str(tmp_path / "long.png"))
    assert image.shape[0] > 1.5 * (figure.axes[0].get_window_extent().height + box.height)  # 150 dots, not 100
    assert all((edge == 255).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1])), "something is cut"


def test_the_reliability_is_drawn_as_given() -> None:
    scores, shares = np.array([-0.5, 0.2, 0.8]), np.array([0.0, 0.3, 1.0])
    lines = [Line("known", scores, shares, 0.9), Line("silent", np.empty(0), None, None)]
    figure = draw_reliability(lines, "lasot")
    known, silent = figure.axes[0].get_lines()[:2]
    assert known.get_xydata().tolist() == np.column_stack([scores, shares]).tolist() and not len(silent.get_xdata())
    assert figure.axes[0].get_xlim() == (-0.5, 1) and legend(figure) == ["known [90.0]", "silent [no score]"]


def test_neighbors_differ_in_dash_or_marker_not_in_color_alone() -> None:
    """Each two of the first fifteen differ in dash or marker: a print without color tells them apart."""
    styles = [plots._style(number, 2) for number in range(15)]
    assert len({(str(style["linestyle"]), style["marker"]) for style in styles}) == 15
    assert len({matplotlib.colors.to_hex(style["color"]) for style in styles[:8]}) == 8


def test_the_radar_closes_its_polygons_and_leaves_gaps() -> None:
    [axes] = radar({"a": [0.61, 0.52, 0.7], "b": [0.5, None, 0.66]}).axes
    a, b = (shown.get_ydata() for shown in axes.get_lines())
    assert np.allclose(a, [61, 52, 70, 61]) and np.allclose(b, [50, np.nan, 66, 50], equal_nan=True)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["FM", "OV", "LR"]
    assert axes.get_ylim() == (40, 70)
    assert axes.get_title().splitlines() == ["attributes, lasot", "AUC in percent by protocol grm", "the center is 40"]


@pytest.mark.parametrize(
    ("scores", "span"), [([], (0, 100)), ([3, 8], (0, 20)), ([100, 100], (80, 100)), ([59.9, 60.1], (40, 70))]
)
def test_the_rings_are_round_and_hold_every_score(scores: list[float], span: tuple[int, int]) -> None:
    assert plots._round_span(np.array(scores)) == span


@pytest.mark.slow
def test_files_are_written_whole_and_the_same_again(tmp_path: Path) -> None:
    figure = draw_curves("success", [line("tracker", 0.5)], "lasot", "lasot", "AUC")
    wanted = [tmp_path / "deep" / f"grm_v1.5.{form}" for form in ("pdf", "png")]
    write_figure(figure, *wanted)
    assert wanted == sorted((tmp_path / "deep").iterdir())
    image = cv2.imread(str(wanted[1]))
    assert image is not None and image.std() > 1, "an empty picture"
    text = wanted[0].read_bytes()
    assert text.startswith(b"%PDF") and b"/Type3" not in text and b"/CreationDate" not in text
    again = draw_curves("success", [line("tracker", 0.5)], "lasot", "lasot", "AUC")
    assert encode_figure(again, "pdf") == text and encode_figure(again, "svg") == encode_figure(figure, "svg")
