"""The pages on the networks: every experiment is on one, its numbers are the counted ones, and every override loads."""

import re
from functools import cache
from pathlib import Path

import pytest

from lib.experiment.config import load_experiment
from lib.profiling.cost import Cost
from lib.profiling.models import count_experiment, experiment_names

DOCS = Path(__file__).parents[2] / "docs"
# Each family's page, and the experiment that its overrides belong to where a row names none.
PAGES = {
    "grm": "grm_vitb",
    "lite": "lite",
    "lorat": "lorat_b224",
    "ostrack": "ostrack_vitb_256_ce",
    "simtrack": "simtrack_b16",
    "stark_sv": "stark_sv_b16",
    "transt": "transt",
}
KEY = r"[a-z_]+(?:\.[a-z0-9_]+)+="
OVERRIDES = re.compile(rf"(?:--config (?P<config>\w+) )?(?P<overrides>{KEY}.*)")
NAMES = experiment_names()


def tables(page: str) -> list[list[str]]:
    """The rows of all tables of a page, heads and rules among them."""
    lines = (DOCS / f"{page}.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def overrides(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """Experiment and overrides of every list of them in a table of the page."""
    found = []
    for row in tables(page):
        for code in re.findall(r"`([^`]+)`", " ".join(row)):
            match = OVERRIDES.fullmatch(code)
            if match:
                first = row[0].strip("`")
                experiment = match["config"] or (first if first in NAMES else PAGES[page])
                words = re.split(rf"\s+(?={KEY})", match["overrides"])
                found.append((experiment, tuple(words)))
    return found


def experiment_rows(head: str) -> list[list[str]]:
    """Rows of the table of models.md or costs.md whose second column is ``head``, without its head."""
    rows = [*tables("models"), *tables("costs")]
    start = next(number for number, row in enumerate(rows) if row[1] == head) + 2
    stop = next((number for number in range(start, len(rows)) if not rows[number][0].startswith("`")), len(rows))
    return rows[start:stop]


@cache
def cost(name: str) -> Cost:
    return count_experiment(load_experiment(name))


def test_the_overrides_are_found():
    """A page whose tables are written another way would hold nothing to test."""
    assert ("grm_vitb", ("model.division.target=allavg",)) in overrides("grm")
    assert ("grm_vitb", ("model.division.ratio=0.3", "model.division.threshold=0.0")) in overrides("grm")
    assert ("ostrack_vitb_256", ("model.pretrained=none",)) in overrides("ostrack")
    assert ("simtrack_b16", ("search.size=320",)) in overrides("simtrack")
    assert ("transt", ("test.tracker.window=none",)) in overrides("transt")


@pytest.mark.parametrize("page", PAGES)
def test_an_override_of_a_table_is_one_of_its_experiment(page):
    for name, words in overrides(page):
        assert load_experiment(name, words) != load_experiment(name), words


def test_every_experiment_is_on_a_page():
    for name in NAMES:
        family = load_experiment(name).model.name
        for page in ("models", family):
            assert f"`{name}`" in (DOCS / f"{page}.md").read_text(encoding="utf-8"), f"{name} on docs/{page}.md"


def test_the_overview_has_every_experiment_but_the_twins_once():
    rows = [row[0].strip("`") for row in experiment_rows("row of the paper")]
    assert sorted(rows) == [name for name in NAMES if not name.endswith("_tiny")]


@pytest.mark.slow
@pytest.mark.parametrize("row", experiment_rows("row of the paper"), ids=lambda row: row[0].strip("`"))
def test_the_overview_says_what_is_counted(row):
    name = row[0].strip("`")
    experiment = load_experiment(name)
    assert row[2] == f"{experiment.template.size}, {experiment.search.size}"
    assert row[3] == f"{cost(name).parameters / 1e6:.1f}"
    assert row[5] == f"{cost(name).both.total / 1e9:.1f}"


@pytest.mark.slow
@pytest.mark.parametrize("row", experiment_rows("figure"), ids=lambda row: row[0].strip("`"))
def test_distances_from_the_papers_are_what_is_counted(row):
    counted = cost(row[0].strip("`"))
    figure = {"layers": counted.both.layers, "all": counted.both.total, "frame": counted.frame.total}[row[1]] / 1e9
    assert row[2] == f"{figure:.1f}"
    assert row[4] == f"{100 * (figure / float(row[3]) - 1):+.1f} %".replace("-0.0", "+0.0")
