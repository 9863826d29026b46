"""Tables in every format: the same numbers, aligned, escaped, the best in bold."""

import csv
import io
import math
from dataclasses import replace

import pytest

from lib.evaluation.reports.tables import TABLE_FORMATS, Cell, Row, Table, percent, render_table

TABLE = Table(
    "scores",
    "Scores in percent",
    ("lasot, protocol lasot", "uav, protocol grm"),
    "tracker",
    ("lasot AUC", "lasot P", "uav AUC"),
    (
        Row("grm_vitb", (Cell(0.66123), Cell(0.7, 0.0123), Cell(None))),
        Row("100% & #1", (Cell(0.64), Cell(0.7004, None, 0.65, 0.75), Cell(math.nan))),
    ),
    ("lasot, grm_vitb: a remark",),
    best="column",
)


def test_text_is_aligned_and_has_everything():
    assert render_table(TABLE, "text") == (
        "Scores in percent, lasot, protocol lasot; uav, protocol grm\n"
        "tracker    lasot AUC            lasot P  uav AUC\n"
        "grm_vitb        66.1         70.0 ± 1.2        -\n"
        "100% & #1       64.0  70.0 [65.0, 75.0]      nan\n"
        "lasot, grm_vitb: a remark\n"
    )


def test_markdown():
    assert render_table(TABLE, "markdown", digits=2) == (
        "Scores in percent, lasot, protocol lasot; uav, protocol grm\n\n"
        "| tracker | lasot AUC | lasot P | uav AUC |\n"
        "|:--|--:|--:|--:|\n"
        "| grm\\_vitb | **66.12** | 70.00 ± 1.23 | - |\n"
        "| 100% &amp; #1 | 64.00 | **70.04 [65.00, 75.00]** | nan |\n"
        "\n- lasot, grm\\_vitb: a remark\n"
    )
    assert r"a\|b" in render_table(replace(TABLE, rows=(Row("a|b", TABLE.rows[0].cells),)), "markdown")


def test_latex_is_booktabs_and_escaped_and_the_best_is_bold_also_in_a_tie_as_printed():
    lines = render_table(replace(TABLE, rows=(*TABLE.rows, Row("[a_b]\\", (Cell(-0.01),) * 3))), "latex").splitlines()
    assert lines == [
        "% Scores in percent, lasot, protocol lasot; uav, protocol grm",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"tracker & lasot AUC & lasot P & uav AUC \\",
        r"\midrule",
        r"grm\_vitb & \textbf{66.1} & \textbf{70.0 $\pm$ 1.2} & -- \\",
        r"100\% \& \#1 & 64.0 & \textbf{70.0 {[}65.0, 75.0{]}} & nan \\",
        r"{[}a\_b{]}\textbackslash{} & $-$1.0 & $-$1.0 & $-$1.0 \\",
        r"\bottomrule",
        r"\end{tabular}",
        "% lasot, grm_vitb: a remark",
    ]


def test_csv_has_a_column_for_each_number():
    [names, first, second] = csv.reader(io.StringIO(render_table(TABLE, "csv", digits=3)))
    assert names == ["tracker", "lasot AUC", "lasot P", "lasot P deviation", "lasot P low", "lasot P high", "uav AUC"]
    assert first == ["grm_vitb", "66.123", "70.000", "1.230", "", "", ""]
    assert second == ["100% & #1", "64.000", "70.040", "", "65.000", "75.000", "nan"]


def test_csv_of_one_benchmark_names_it_with_the_protocol_in_each_column():
    [names, *_] = csv.reader(io.StringIO(render_table(replace(TABLE, scope=("lasot, protocol lasot",)), "csv")))
    assert names[:2] == ["tracker", "lasot, protocol lasot: lasot AUC"]


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_warnings_stand_in_every_format(form):
    warned = render_table(replace(TABLE, warnings=("swept on the test set",)), form)
    assert "swept on the test set" in warned
    assert "swept" not in render_table(replace(TABLE, rows=()), form)


def test_the_best_of_a_row_and_of_nothing():
    table = replace(TABLE, best="row", rows=(Row("r", (Cell(0.1), Cell(0.3), Cell(0.2))),))
    assert "| r | 10.0 | **30.0** | 20.0 |" in render_table(table, "markdown")
    assert "**" not in render_table(replace(table, best="column"), "markdown")  # one row is no contest
    assert "**" not in render_table(replace(TABLE, best=""), "markdown")


@pytest.mark.parametrize(("value", "signed", "text"), [
    (0.12345, False, "12.35"), (0.12345, True, "+12.35"), (-0.5, True, "-50.00"), (None, True, "-"),
    (math.nan, True, "nan"), (0.0, False, "0.00"), (1.0, False, "100.00"),
])  # fmt: skip
def test_percent(value, signed, text):
    assert percent(value, 2, signed) == text


def test_differences_have_a_sign():
    table = replace(TABLE, signed=True, rows=(Row("r", (Cell(0.012, None, -0.01, 0.03), Cell(-0.1), Cell(0.0))),))
    assert "+1.2 [-1.0, +3.0]" in render_table(table, "text") and "-10.0" in render_table(table, "text")


EVIL = "=1+1\n\\input{evil}|<script>\x1b[2J\udcd0\u202e"


def everywhere(name: str) -> Table:
    """A table with a name in every place that takes one."""
    cells = (Cell(-0.5), Cell(0.7))
    return Table("scores", name, (name,), name, (name, "P"), (Row(name, cells),), (name, name), (name,), best="column")


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_a_name_adds_no_line_and_nothing_that_is_obeyed_in_any_format(form):
    plain, text = render_table(everywhere("plain"), form), render_table(everywhere(EVIL), form)
    assert len(text.splitlines()) == len(plain.splitlines())
    assert text.encode() and all(line.isprintable() for line in text.split("\n"))
    assert "x1b" in text


def test_latex_takes_no_command_from_a_name():
    live = [line for line in render_table(everywhere(EVIL), "latex").splitlines() if not line.startswith("% ")]
    assert not any("\\input" in line or "|" in line for line in live)
    assert sum("textbackslash{}input\\{evil\\}" in line for line in live) == 3


def test_markdown_takes_no_html_from_a_name():
    assert "<" not in render_table(everywhere(EVIL), "markdown")


def test_no_cell_of_csv_is_a_formula_and_numbers_stay_numbers():
    rows = list(csv.reader(io.StringIO(render_table(everywhere(EVIL), "csv"))))
    assert [len(row) for row in rows] == [1, 3, 3]
    assert rows[2][1:] == ["-50.0", "70.0"]
    words = [*rows[0], *rows[1], rows[2][0]]
    assert len(words) == 5 and not any(word[0] in "=+-@" for word in words)
