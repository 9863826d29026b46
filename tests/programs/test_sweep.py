"""Which sweeps are understood and allowed, and that every report of the results of one states it."""

import json
from pathlib import Path

import pytest
from toy_experiment import write_experiment

from lib.config.paths import Paths
from lib.evaluation import benchmarks
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.results.folder import sweep_warning
from lib.experiment.build import build_model
from lib.experiment.config import load_experiment, per_dataset_keys
from lib.programs.sweep import parse_sweep
from lib.programs.testing import run_test
from lib.runtime.checkpoint import save_checkpoint

KEY = "model.division.threshold"
WARNING = f"settings chosen on the test set: swept {KEY}=0.3,0.6"


@pytest.mark.parametrize(("text", "values"), [
    (f"{KEY}=0:1:0.1", ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]),
    (f"{KEY}=0.5:0.5:1", ["0.5"]),
    (f" {KEY} = 0.4, 0.1,0.4", ["0.4", "0.1"]),
    ("test.tracker.window=none,multiply", ["none", "multiply"]),
])  # fmt: skip
def test_values_of_a_range_and_of_a_list(text, values):
    sweep = parse_sweep(text, "own")
    keys, found = zip(*(override.split("=") for override in sweep.overrides), strict=True)
    assert list(map(float, found)) == list(map(float, values)) if ":" in text else list(found) == values
    assert set(keys) == {sweep.key}
    assert not any(len(value) > 8 for value in found), "0.30000000000000004 would be another folder than 0.3"


@pytest.mark.parametrize(("text", "message"), [
    (KEY, "should be key=start:stop:step or key=value,value,..."),
    (f"{KEY}=0.1,,0.2", "a value is empty"),
    (f"{KEY}=0:1", "a range is three numbers"),
    (f"{KEY}=0:1:0", "by a step above 0"),
    (f"{KEY}=1:0:0.1", "goes up from start to stop"),
    (f"{KEY}=0:1:0.3", "the stop is not among the values; end at 0.9 or 1.2"),
    (f"{KEY}=0:1e60:1e-60", "more than 1000 values"),
    ("model.division.treshold=0,1", f"may not be swept; did you mean {KEY}?"),
    ("search.factor=4,5", f"may not be swept; known: {', '.join(per_dataset_keys())}"),
])  # fmt: skip
def test_what_is_no_sweep(text, message):
    with pytest.raises(ValueError, match="^--sweep ") as caught:
        parse_sweep(text, "own")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_benchmarks_but_a_validation_set_and_ones_own_are_test_sets():
    assert {name for name, entry in BENCHMARKS.items() if not entry.test_set} == {"got10k_val", "own"}


@pytest.mark.parametrize("benchmark", ["got10k_test", "trackingnet", "lasot", "uav", "got10k_val", "own"])
def test_test_sets_are_swept_on_request_alone_and_those_of_servers_never(benchmark):
    sweep, entry = f"{KEY}=0,1", BENCHMARKS[benchmark]
    for on_test_set in (False, True):
        if entry.server:
            with pytest.raises(ValueError, match=f"the scores of {benchmark} are known to .* alone"):
                parse_sweep(sweep, benchmark, [], on_test_set)
        elif entry.test_set and not on_test_set:
            with pytest.raises(ValueError, match=f"{benchmark} is a test set.*on got10k_val or own, or add --on-test-"):
                parse_sweep(sweep, benchmark, [], on_test_set)
        else:
            parse_sweep(sweep, benchmark, ["train.lr=1"], on_test_set)


def test_a_setting_is_not_swept_and_set():
    with pytest.raises(ValueError, match="model.division.threshold=0.4 sets it as well; leave one of the two out"):
        parse_sweep(f"{KEY}=0,1", "own", [f"{KEY}=0.4"])


# On the toy experiment


@pytest.fixture
def paths(toy_got10k, tmp_path) -> Paths:
    return Paths(
        data={"got10k": toy_got10k}, output=tmp_path / "output", pretrained_models=tmp_path, cache=tmp_path / "cache"
    )


@pytest.fixture
def words(tmp_path) -> dict:
    """The toy, untrained, one sequence of its benchmark, which has a threshold of its own that a sweep replaces."""
    file = write_experiment(tmp_path / "toy.yaml", test={"per_dataset": {"got10k_val": {KEY: 0.9}}})
    weights = tmp_path / "some.pth"
    save_checkpoint(weights, {"model": build_model(load_experiment(file)).state_dict()})
    return {
        "dataset": "got10k_val", "config": str(file), "checkpoint": [weights],
        "sequence": ["GOT-10k_Val_000001"],
    }  # fmt: skip


def manifests(paths: Paths) -> dict[float, dict]:
    """The manifests of the folders of results, by threshold."""
    read = [json.loads(file.read_text()) for file in paths.output.glob("toy/results/got10k_val/*/manifest.json")]
    return {manifest["settings"]["model"]["division"]["threshold"]: manifest for manifest in read}


def rows_of(report: str) -> list[str]:
    """The rows of the table of scores."""
    return [line for line in report.splitlines() if line.startswith(f"{KEY}=")]


@pytest.mark.slow
def test_every_value_has_a_folder_a_line_and_scores(paths, words):
    words["sequence"] = ()
    ended = run_test(paths, **words, sweep=f"{KEY}=0.3:0.6:0.3")
    report, complete = ended.text(), ended.good
    assert complete
    assert sorted(manifests(paths)) == [0.3, 0.6]
    assert "part of got10k_val (2 of 180 sequences), protocol got10k" in report
    lines = rows_of(report)
    assert [line.split()[0] for line in lines] == [f"{KEY}=0.3", f"{KEY}=0.6"]
    *_, highest, kept_in = report.splitlines()
    file = Path(kept_in.removeprefix("kept in "))
    assert file == paths.output / "toy" / "reports" / f"sweep-got10k_val-{KEY}.json"
    kept = json.loads(file.read_text())
    assert [case["value"] for case in kept["tested"]] == [0.3, 0.6]
    for case, line in zip(kept["tested"], lines, strict=True):
        score = json.loads((Path(case["results"]) / "score.json").read_text())
        assert case["scores"] == score["scores"]
        assert line.split()[1:3] == [Path(case["results"]).name, f"{100 * case['scores']['got10k']['AO']:.2f}"]
    best = max(kept["tested"], key=lambda case: case["scores"]["got10k"]["AO"])
    assert highest.startswith(f"highest AO: {100 * best['scores']['got10k']['AO']:.2f} with {KEY}={best['value']} ")
    # A validation set is there to be swept on.
    assert "test set" not in report
    assert kept["warning"] == ""
    # A sweep over some sequences takes up their results and leaves the reports of all alone.
    before = {file: file.read_bytes() for file in paths.output.rglob("*.json") if file.name != "manifest.json"}
    assert len(before) == 3, "a score of each value, and the sweep"
    words["sequence"] = ["GOT-10k_Val_000001"]
    report = run_test(paths, **words, sweep=f"{KEY}=0.3,0.6").text()
    assert report.count("sequences: 0 tracked, 1 kept, 0 failed") == 2
    assert "part of got10k_val (1 of 180 sequences), protocol got10k" in report
    assert all(file.read_bytes() == content for file, content in before.items())
    part = json.loads(file.with_name(f"sweep-got10k_val-{KEY}-part.json").read_text())
    assert part["part"] == "1 of 180 sequences"


@pytest.mark.slow
def test_several_checkpoints_are_swept_side_by_side(paths, words, tmp_path):
    other = tmp_path / "other.pth"
    experiment = load_experiment(words["config"], ["seed=9"])
    save_checkpoint(other, {"model": build_model(experiment).state_dict()})
    words["checkpoint"].append(other)
    report = run_test(paths, **words, sweep=f"{KEY}=0.3,0.6").text()
    rows = [line.split() for line in rows_of(report)]
    assert [(row[0].partition("=")[2], row[1].partition("-")[0]) for row in rows] == [
        ("0.3", "some"), ("0.3", "other"), ("0.6", "some"), ("0.6", "other"),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_value_without_a_score_has_a_dash(paths, words, monkeypatch):
    sweep = f"{KEY}=0.3,0.6"
    run_test(paths, **words, overrides=[f"{KEY}=0.6"])

    def refuse(*_arguments):
        raise ValueError("not finite")

    monkeypatch.setattr("lib.inference.engine.place", refuse)
    ended = run_test(paths, **words, sweep=sweep)
    report, complete = ended.text(), ended.good
    assert not complete
    setting, _, *scores = rows_of(report)[0].split()
    assert (setting, scores[:3]) == (f"{KEY}=0.3", ["-", "-", "-"])
    assert f" with {KEY}=0.6 some-" in report.splitlines()[-2]
    kept = json.loads((paths.output / "toy" / "reports" / f"sweep-got10k_val-{KEY}-part.json").read_text())
    assert kept["tested"][0]["scores"]["got10k"] == {}
    assert list(kept["tested"][0]["errors"]) == words["sequence"]
    assert "highest" not in run_test(paths, **words | {"sequence": ()}, sweep=sweep).text(), "the set has no score"


def test_a_wrong_value_is_reported_before_the_first_is_tracked(paths, words):
    with pytest.raises(ValueError, match='test.tracker.window: got "some"'):
        run_test(paths, **words, sweep="test.tracker.window=none,some")
    assert manifests(paths) == {}


@pytest.fixture
def _on_a_test_set(monkeypatch):
    """The toy benchmark as one by which trackers are compared."""
    changed = BENCHMARKS["got10k_val"]._replace(test_set=True)
    monkeypatch.setitem(benchmarks.BENCHMARKS, "got10k_val", changed)


@pytest.mark.slow
@pytest.mark.usefixtures("_on_a_test_set")
def test_every_report_of_a_sweep_on_a_test_set_states_it(paths, words):
    run_test(paths, **words, overrides=[f"{KEY}=0.3"])
    assert sweep_warning(manifests(paths)[0.3]) == ""
    sweep = f"{KEY}=0.3,0.6"
    with pytest.raises(ValueError, match="got10k_val is a test set"):
        run_test(paths, **words, sweep=sweep)
    assert list(manifests(paths)) == [0.3]

    report = run_test(paths, **words, sweep=sweep, on_test_set=True).text()
    assert report.count(f": {WARNING}\n") == 2, "one of each folder"
    assert {value: sweep_warning(manifest) for value, manifest in manifests(paths).items()} == {
        0.3: WARNING, 0.6: WARNING,
    }  # fmt: skip
    file = paths.output / "toy" / "reports" / f"sweep-got10k_val-{KEY}-part.json"
    assert json.loads(file.read_text())["warning"] == WARNING

    # Whoever tests the best value by itself afterwards has seen all of them.
    assert f": {WARNING}" in run_test(paths, **words, overrides=[f"{KEY}=0.6"]).text()
    assert manifests(paths)[0.6]["sweeps"] == [sweep]
    # A value outside the sweep has not been chosen by it.
    report = run_test(paths, **words, overrides=[f"{KEY}=0.5"]).text()
    assert WARNING not in report
