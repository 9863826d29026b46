"""Which settings decide a folder of results, and what is kept in it beside the boxes."""

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from unittest.mock import Mock

import pytest
from toy_experiment import write_experiment

from lib.config.paths import Paths
from lib.evaluation.benchmarks import Readable
from lib.evaluation.reports.comparison import Comparison
from lib.evaluation.running.baselines import StaticEngine
from lib.evaluation.running.runner import Trial
from lib.experiment.build import TorchForm, build_model
from lib.experiment.config import load_experiment
from lib.inference.settings import TrackSettings
from lib.programs import exported_trials, trained_trials
from lib.programs.testing import run_test, track_and_score
from lib.programs.trained_trials import results_of
from lib.runtime.checkpoint import CheckpointError, save_checkpoint
from tests.evaluation.toy_sets import sequences

BENCHMARK = "got10k_val"


@pytest.fixture
def paths(toy_got10k, tmp_path) -> Paths:
    return Paths(
        data={"got10k": toy_got10k}, output=tmp_path / "output", pretrained_models=tmp_path, cache=tmp_path / "cache"
    )


@pytest.fixture
def file(tmp_path) -> Path:
    return write_experiment(tmp_path / "toy.yaml")


@pytest.fixture
def checkpoint(file, tmp_path) -> Path:
    save_checkpoint(tmp_path / "some.pth", {"model": build_model(load_experiment(file)).state_dict()})
    return tmp_path / "some.pth"


def test_a_folder_depends_on_what_decides_a_box_and_nothing_else(paths, file, checkpoint):
    def folder(*overrides: str, weights: Path | None = checkpoint) -> Path:
        return results_of(paths, TorchForm(load_experiment(file, overrides), weights, benchmark=BENCHMARK)).path

    same = folder()
    assert same.parent == paths.output / "toy" / "results" / BENCHMARK
    free = (
        "seed=8", "train.epochs=9", "data.max_gap=5", "test.per_dataset.lasot={model.division.threshold: 0.4}",
        "test.tracker.lost_below=0.3",
    )  # fmt: skip
    assert {folder(override) for override in free} == {same}
    deciding = (
        "search.factor=4", "template.factor=3", "test.tracker.window=none", "model.division.threshold=0.4",
        "test.per_dataset.got10k_val={model.division.threshold: 0.5}",
        "test.per_dataset.got10k_val={test.tracker.window: none}",
        "test.tracker={lost_below: 0.3, recover: true}", "test.tracker={lost_below: 0.4, recover: true}",
    )  # fmt: skip
    # For one benchmark or for all, a value makes the same boxes.
    assert len({same, *(folder(override) for override in deciding)}) == len(deciding)
    assert folder("test.per_dataset.got10k_val={model.division.threshold: 0.4}") == folder(deciding[3])
    # Fresh weights follow from the seed.
    assert len({same, folder(weights=None), folder("seed=8", weights=None)}) == 3


def test_folders_have_the_names_that_earlier_versions_gave_them(paths, file, tmp_path):
    """A name is made of the settings and the weights' checksum; results of earlier runs must be found again."""
    weights = tmp_path / "epoch_0001.pth"
    weights.write_bytes(b"weights")

    def name(*overrides: str, experiment=file, benchmark=BENCHMARK, label=None, **form) -> str:
        form = TorchForm(load_experiment(experiment, overrides), benchmark=benchmark, **form)
        return results_of(paths, form, label).path.name

    recovering = "test.tracker={lost_below: 0.3, recover: true}"
    own = "test.per_dataset.got10k_val={model.division.threshold: 0.4}"
    assert name(checkpoint=weights) == "epoch_0001-c934cc57"
    assert name(own, checkpoint=weights) == "epoch_0001-c531cf1a"
    assert name("test.precision=bf16", checkpoint=weights, batch=8) == "epoch_0001-fd0ec3c3"
    assert name(recovering, checkpoint=weights) == "epoch_0001-2c86a211"
    assert name() == "no_checkpoint-685bb492"
    assert name(benchmark="lasot", label="untrained") == "untrained-685bb492"
    assert name(experiment="grm_tiny", benchmark="uav", checkpoint=weights) == "epoch_0001-6eb76322"
    assert name(experiment="transt_tiny", benchmark="uav", checkpoint=weights) == "epoch_0001-7cc78a56"
    assert name(experiment="lite", benchmark="uav", checkpoint=weights) == "epoch_0001-ea14d003"


@pytest.mark.parametrize(("recover", "expected"), [(False, "exported-87ddff07"), (True, "exported-4831e528")])
def test_folders_of_exported_networks_have_the_names_of_earlier_versions(
    paths, file, tmp_path, monkeypatch, recover, expected
):
    experiment = load_experiment(file, ["test.tracker.lost_below=0.3", f"test.tracker.recover={json.dumps(recover)}"])
    settings = TrackSettings(template=experiment.template, search=experiment.search, tracker=experiment.test.tracker)
    network = Mock(batch=2, device="cpu", settings=settings)
    network.record.origin.experiment = "toy"
    monkeypatch.setattr(exported_trials, "open_network", lambda folder, recover: network)
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "network.json").write_bytes(b"{}")
    [trial] = exported_trials.exported_trials(paths, BENCHMARK, [tmp_path / "exported"], recover=recover)
    assert trial.folder.path == paths.output / "toy" / "results" / BENCHMARK / expected


def test_a_checkpoint_that_is_replaced_is_not_tracked_with(paths, file, checkpoint, monkeypatch):
    """Its results would state the sha256 of the earlier one."""

    def replacing(*words, **named):
        results = results_of(*words, **named)
        model = build_model(load_experiment(file, ["seed=8"]))
        save_checkpoint(checkpoint, {"model": model.state_dict()})
        return results

    monkeypatch.setattr(trained_trials, "results_of", replacing)
    with pytest.raises(CheckpointError, match="some.pth: its sha256 is .* another file took its place"):
        run_test(paths, BENCHMARK, str(file), checkpoint=[checkpoint])


def test_the_batch_counts_where_it_can_move_a_box(paths, file, checkpoint):
    def folders(*overrides: str) -> set[Path]:
        experiment = load_experiment(file, overrides)
        form = TorchForm(experiment, checkpoint, benchmark=BENCHMARK)
        return {results_of(paths, replace(form, batch=batch)).path for batch in (None, 1, 8)}

    assert len(folders()) == 1
    assert len(folders("test.precision=bf16")) == len(folders("test.precision=fp16")) == 3


def test_a_score_of_fewer_sequences_than_are_finished_is_not_kept(paths, file):
    """Ways to have fewer: asking for some, a failure of all others before they were tracked, and data that are gone."""
    videos = sequences(3)
    folder = results_of(paths, TorchForm(load_experiment(file), benchmark="own"), "first_box")
    trial = Trial(lambda most: StaticEngine(), folder)

    def score(*chosen: int, unreadable=MappingProxyType({}), left_out=()) -> tuple[Comparison, list[str] | None]:
        readable = Readable([videos[number] for number in chosen], unreadable, left_out)
        _, found = track_and_score("own", readable, [trial])
        kept = folder.path / "score.json"
        return found, sorted(json.loads(kept.read_text())["sequences"]) if kept.exists() else None

    names = [video.name for video in videos]
    found, kept = score(1, left_out=(names[0], names[2]))
    assert (found.part, kept) == ("1 of 3 sequences", None)
    assert score(0, 1, 2)[1] == names
    for found, kept in (score(1, left_out=(names[0], names[2])), score(0, 1), score(0, left_out=names[1:2])):
        assert found.part.endswith(" of 3 sequences") and kept == names
    found, kept = score(0, 2, unreadable={names[1]: "no such file"})
    assert (found.part, found.runs[0].values("pytracking"), kept) == ("", {}, names)
