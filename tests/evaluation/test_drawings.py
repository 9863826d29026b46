"""Curves of the page: where their points lie, and the order of the key."""

import re

import numpy as np

from lib.evaluation.reports.drawings import HEIGHT, LEFT, TOP, WIDTH, curve_figure
from lib.visualization.plots import Line


def test_the_corners_are_the_ends_of_the_axes_and_the_key_has_the_best_first():
    lines = [Line("low", np.array([0.0, 50]), np.array([1.0, 0]), 0.2), Line("none", np.array([0.0, 50]), None, None),
             Line("high", np.array([0.0, 50]), np.array([1.0, 0.5]), 0.9)]  # fmt: skip
    figure = curve_figure(lines, "pixels", "precision")
    assert f'd="M{LEFT:.2f} {TOP:.2f}L{LEFT + WIDTH:.2f} {TOP + HEIGHT:.2f}"' in figure
    assert re.findall(r"<span>(.*?)</span>", figure) == ["high [90.0]", "low [20.0]", "none [no score]"]
    assert figure.count('class="line line-') == 2 + 3 and "line-1" in figure.split("</svg>")[-2]


def test_the_diagonal_goes_from_corner_to_corner_of_the_unit_square():
    figure = curve_figure([Line("a", np.array([0.2, 2.0]), np.array([0.1, 1]), None)], "score", "r", diagonal=True)
    assert f'd="M{LEFT:.2f} {TOP + HEIGHT:.2f}L{LEFT + WIDTH / 2:.2f} {TOP:.2f}"' in figure
