"""Plans of measurements: their names exist, a failure costs itself alone, and time is limited."""

import json

import pytest

from lib.experiment.config import load_experiment
from lib.profiling import plans
from lib.profiling.forms import EAGER, Form, parse_forms
from lib.profiling.models import Measurements
from lib.profiling.plans import PLANS, Part, Plan, run_plan, toy
from lib.profiling.report import Report, Table

COUNT = Measurements(frames=0)


@pytest.fixture(autouse=True)
def nothing_measured(monkeypatch):
    """A report has a row for each experiment and form, without numbers."""

    def profile(names: list[str], overrides: list[str], device: str, wanted: Measurements) -> Report:
        rows = [
            {"experiment": load_experiment(name).name, "form": str(form)} for name in names for form in wanted.forms
        ]
        return Report({"processor": "A"}, tables={"frames": Table("Forms", rows)})

    monkeypatch.setattr(plans, "profile_models", profile)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_names_experiments_and_has_a_toy(name):
    for part, small in zip(PLANS[name].parts, toy(PLANS[name]).parts, strict=True):
        assert [load_experiment(experiment).name for experiment in part.experiments] == list(part.experiments)
        assert (small.title, small.experiments) == (part.title, ("grm_tiny",))
        assert small.wanted.frames <= 2 and small.wanted.training <= 2 and len(small.wanted.engine) <= 2
        assert {form.kind for form in small.wanted.forms} <= {"eager", "onnx", "openvino"}
        assert bool(small.wanted.engine) == bool(part.wanted.engine)


def test_a_failure_costs_itself_alone(tmp_path):
    plan = Plan((Part("First", ("grm_tiny", "no_such"), COUNT), Part("Second", ("transt_tiny",), COUNT)), 9)
    report = run_plan(plan, "cpu", tmp_path / "new")
    (failed,) = report.failed
    assert failed.startswith("First, no_such: ConfigError: ")
    content = json.loads((tmp_path / "new" / "report.json").read_text())
    rows = {title: part["tables"]["frames"]["rows"] for title, part in content["parts"].items()}
    assert {title: [row["experiment"] for row in own] for title, own in rows.items()} == {
        "First": ["grm_tiny"], "Second": ["transt_tiny"],
    }  # fmt: skip
    text = (tmp_path / "new" / "report.txt").read_text()
    assert text == report.text() + "\n"
    assert "# First\n" in text and "FAILED First, no_such" in text and "left out" not in text


def test_rows_of_a_part_are_in_one_table_and_late_experiments_are_left_out(tmp_path, monkeypatch):
    clock = iter([0.0, 30.0, 59.0, 61.0])
    monkeypatch.setattr(plans, "monotonic", lambda: next(clock))
    report = run_plan(Plan((Part("All", ("grm_tiny", "transt_tiny", "stark_tiny"), COUNT),), 1), "cpu", tmp_path)
    assert [row["experiment"] for row in report.parts["All"].tables["frames"].rows] == ["grm_tiny", "transt_tiny"]
    assert report.left_out == ["All, stark_tiny: 1 minutes have passed"] and not report.failed
    assert (tmp_path / "report.txt").read_text().endswith("left out: All, stark_tiny: 1 minutes have passed\n")


def test_forms_that_this_machine_lacks_are_left_out(tmp_path, monkeypatch):
    def check(form: Form) -> None:
        if form.precision == "bf16":
            raise ValueError("no bf16 here")

    monkeypatch.setattr(plans, "check_here", check)
    wanted = Measurements(parse_forms("eager:bf16,eager:fp32"), frames=1, warmup=0)
    report = run_plan(Plan((Part("All", ("grm_tiny",), wanted),), 9), "cpu", tmp_path)
    assert [row["form"] for row in report.parts["All"].tables["frames"].rows] == ["eager fp32"]
    assert report.left_out == ["All, eager bf16: no bf16 here"] and not report.failed


def test_a_plan_begins_with_the_form_that_ratios_are_to():
    for plan in PLANS.values():
        for part in plan.parts:
            assert EAGER in part.wanted.forms[:1] or not part.wanted.frames
