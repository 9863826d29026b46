"""Curves as inline SVG for the page; the style sheet has the colors and dashes of their lines."""

from collections import abc

import numpy as np

from lib.evaluation.reports.markup import Markup, make
from lib.evaluation.reports.tables import percent
from lib.visualization.plots import Line

LEFT, TOP, WIDTH, HEIGHT = 38, 8, 340, 250  # the axes in the picture
COLORS, DASHES, STEPS = 8, 7, 5


def curve_figure(lines: abc.Sequence[Line], axis: str, caption: str, diagonal: bool = False) -> Markup:
    """A figure of curves from 0 to 1 over their thresholds with a key, the best score first.

    A line without a curve is in the key too. ``diagonal`` draws the line from (0, 0) to (1, 1) and shows at least that
    range.
    """
    thresholds = np.concatenate([line.thresholds for line in lines if line.shares is not None])
    start, end = min(0.0, float(thresholds.min())), max(1.0 if diagonal else 0.0, float(thresholds.max()))

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - start) / (end - start) * WIDTH, TOP + (1 - y) * HEIGHT

    def path(xs: abc.Iterable[float], ys: abc.Iterable[float]) -> str:
        points = (place(x, y) for x, y in zip(xs, ys, strict=True))
        return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)

    shapes = []
    for step in range(STEPS + 1):
        share = step / STEPS
        value = start + share * (end - start)
        x, y = place(value, share)
        grid = f"M{LEFT} {y:.2f}H{LEFT + WIDTH}M{x:.2f} {TOP}V{TOP + HEIGHT}"
        shapes += [
            make("path", {"class": "grid", "d": grid}),
            make("text", {"x": LEFT - 5, "y": f"{y + 4:.2f}", "text-anchor": "end"}, f"{share:.1f}"),
            make("text", {"x": f"{x:.2f}", "y": TOP + HEIGHT + 15, "text-anchor": "middle"}, f"{value:.3g}"),
        ]
    shapes.append(make("text", {"x": LEFT + WIDTH / 2, "y": TOP + HEIGHT + 32, "text-anchor": "middle"}, axis))
    if diagonal:
        shapes.append(make("path", {"class": "grid", "d": path((0, 1), (0, 1))}))
    for number, line in enumerate(lines):
        if line.shares is not None:
            shapes.append(_line(number, path(line.thresholds, line.shares), make("title", {}, line.label)))
    size = {"viewBox": f"0 0 {LEFT + WIDTH + 18} {TOP + HEIGHT + 42}", "role": "img", "aria-label": caption}
    order = sorted(enumerate(lines), key=lambda each: -_known(each[1].score))
    return make(
        "figure",
        {},
        make("figcaption", {}, caption),
        make("svg", size, *shapes),
        make("ul", {"class": "key"}, *(_key(number, line) for number, line in order)),
    )


def _line(number: int, path: str, title: Markup | None = None) -> Markup:
    return make("path", {"class": f"line line-{number % COLORS} dash-{number % DASHES}", "d": path}, title)


def _key(number: int, line: Line) -> Markup:
    score = "no score" if _known(line.score) < 0 else percent(line.score, 1)
    sample = make("svg", {"viewBox": "0 0 40 12", "aria-hidden": "true"}, _line(number, "M0 6H40"))
    return make("li", {}, sample, make("span", {}, f"{line.label} [{score}]"))


def _known(score: float | None) -> float:
    """The score, -1 where there is none."""
    return score if score is not None and np.isfinite(score) else -1
