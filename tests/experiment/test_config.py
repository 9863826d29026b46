"""The experiment files and the published values in them; bases, overrides, values by benchmark, the schema."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from toy_experiment import TREE, write_experiment

from lib.config.schema import ConfigError
from lib.config.tree import merge
from lib.config.yaml12 import read_yaml, to_yaml
from lib.data.pairs import SourceConfig
from lib.experiment.build import build_model
from lib.experiment.config import (
    EXPERIMENTS,
    ExperimentConfig,
    experiment_schema,
    find_experiment,
    from_tree,
    load_experiment,
    per_dataset_keys,
    to_tree,
    with_new_keys,
)
from lib.models.base import TrackingModel
from lib.training.checkpoints import changed_keys

FILES = sorted(path for path in EXPERIMENTS.glob("*.yaml") if not path.name.startswith("paths."))
NAMES = [path.stem for path in FILES]
PAPER = ["grm_vitb", "grm_vitb_got10k", "grm_vitb_one_stream", "grm_vitb_two_stream", "grm_vitl_320"]
THRESHOLDS = {"lasot": 0.4, "nfs": 0.6, "uav": 0.55, "avist": 0.4}


# What each file is


def opening_comment(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    count = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:count])


def test_a_file_opens_with_its_command_its_cost_and_the_expected_result():
    for path in FILES:
        comment = opening_comment(path)
        assert comment.startswith("# yaml-language-server: $schema=schema.json\n"), path
        assert f"#   python tracking/train.py --config {path.stem}" in comment, path
        assert re.search(r"^# Cost: ", comment, re.M), path
        assert re.search(r"^# Expected( \(published\))?: ", comment, re.M), path


def build_without_memory(experiment: ExperimentConfig) -> TrackingModel:
    with torch.device("meta"):
        return build_model(experiment)


def parameters(model: TrackingModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.slow
def test_the_stated_number_of_parameters_is_that_of_the_network():
    """GRM's and OSTrack's published counts include the class token and the image's 14 x 14 positions, which stay in
    their checkpoints; the networks here do not have them."""
    for path in FILES:
        experiment = load_experiment(path)
        count = parameters(build_without_memory(experiment))
        if experiment.model.name in ("grm", "ostrack") and experiment.model.pretrained != "none":
            count += (1 + 1 + 14**2) * experiment.model.backbone.width
        stated = re.search(r"([\d.]+) M parameters", opening_comment(path))
        assert stated[1] == f"{count / 1e6:.1f}", path


# The published recipes


@pytest.mark.parametrize("name", PAPER)
def test_what_all_of_grms_recipes_share(name):
    experiment = load_experiment(name)
    assert (experiment.template.size, experiment.template.factor) == (128, 2.0)
    assert (experiment.model.backbone.patch, experiment.model.backbone.drop_path) == (16, 0.1)
    assert experiment.model.backbone.mlp_ratio == 4.0
    assert (experiment.model.head.channels, experiment.model.division.hidden) == (256, 384)
    assert (experiment.model.division.target, experiment.model.division.softmax) == ("allmax", "published")
    assert (experiment.model.division.threshold, experiment.model.division.ratio) == (0.0, None)
    assert (experiment.train.optimizer.lr, experiment.objective.focal) == (4e-4, 1.0)
    assert experiment.test.tracker.window == "multiply"


@pytest.mark.parametrize(("name", "width", "depth", "heads", "size", "factor", "jitter", "batches"), [
    ("grm_vitb", 768, 12, 12, 256, 4.0, (3.0, 0.25), (320, 40)),
    ("grm_vitb_got10k", 768, 12, 12, 256, 4.0, (3.0, 0.25), (320, 40)),
    ("grm_vitb_one_stream", 768, 12, 12, 256, 4.0, (3.0, 0.25), (320, 40)),
    ("grm_vitb_two_stream", 768, 12, 12, 256, 4.0, (3.0, 0.25), (320, 40)),
    ("grm_vitl_320", 1024, 24, 16, 320, 5.0, (4.5, 0.5), (80, 10)),
])  # fmt: skip
def test_sizes_crops_and_batches(name, width, depth, heads, size, factor, jitter, batches):
    experiment = load_experiment(name)
    backbone, search_jitter = experiment.model.backbone, experiment.data.search_jitter
    assert (backbone.width, backbone.depth, backbone.heads) == (width, depth, heads)
    assert (experiment.search.size, experiment.search.factor) == (size, factor)
    assert (search_jitter.center, search_jitter.scale) == jitter
    assert (experiment.train.global_batch, experiment.train.group_batch) == batches
    size_word = "large" if name == "grm_vitl_320" else "base"
    assert experiment.model.pretrained == f"mae_pretrain_vit_{size_word}.pth"


@pytest.mark.parametrize("name", PAPER)
def test_epochs_and_data(name):
    experiment = load_experiment(name)
    four = [("lasot", "train"), ("got10k", "vot_train"), ("coco", "train2017"), ("trackingnet", "train")]
    alone = name == "grm_vitb_got10k"
    assert (experiment.train.epochs, experiment.train.schedule.drop_epoch) == ((100, 80) if alone else (300, 240))
    wanted = [("got10k", "full")] if alone else four
    every = {"trackingnet": 30}
    assert experiment.data.train == tuple(
        SourceConfig(name=n, split=split, weight=1.0, annotated_every=every.get(n, 1)) for n, split in wanted
    )
    assert experiment.data.val == (SourceConfig(name="got10k", split="official_val"),)


@pytest.mark.parametrize(("name", "relation"), [
    ("grm_vitb", "adaptive"),
    ("grm_vitl_320", "adaptive"),
    ("grm_vitb_one_stream", "one_stream"),
    ("grm_vitb_two_stream", "two_stream"),
    ("grm_tiny", "adaptive"),
])  # fmt: skip
def test_relations(name, relation):
    assert load_experiment(name).model.division.relation == relation


def test_the_tiny_network_trains_from_nothing_at_one_rate():
    experiment = load_experiment("grm_tiny")
    assert experiment.model.pretrained == "none"
    assert experiment.train.optimizer.lr_factors == {}


@pytest.mark.parametrize("name", [*PAPER, "grm_tiny"])
def test_the_threshold_at_each_benchmark(name):
    benchmarks = [*THRESHOLDS, "got10k_val", "got10k_test", "trackingnet", "otb"]
    found = {each: load_experiment(name).for_benchmark(each).model.division.threshold for each in benchmarks}
    assert found == {each: THRESHOLDS.get(each, 0.0) if name == "grm_vitb" else 0.0 for each in benchmarks}


# Names, bases, overrides


def test_a_name_a_path_and_a_slip(tmp_path, monkeypatch):
    assert load_experiment("grm_tiny") == load_experiment(EXPERIMENTS / "grm_tiny.yaml")
    assert find_experiment("grm_tiny") == EXPERIMENTS / "grm_tiny.yaml"
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("base: grm_tiny\n")
    assert find_experiment("~/mine.yaml") == tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match=r"^--config: grm_vit: no such experiment in .*; did you mean grm_vitb\?$"):
        load_experiment("grm_vit")
    with pytest.raises(ConfigError, match="^--config: zzz: no such experiment in .*; known: grm_tiny, grm_vitb, "):
        load_experiment("zzz")
    with pytest.raises(ConfigError, match="^--config: experiments/zzz.yaml: no such file; give the path of a YAML"):
        load_experiment("experiments/zzz.yaml")


def write(folder: Path, **trees: dict[str, Any]) -> Path:
    for name, tree in trees.items():
        (folder / f"{name}.yaml").write_text(to_yaml(tree))
    return folder


def test_a_base_is_laid_under_key_by_key_and_lists_are_replaced(tmp_path):
    sources = [{"name": "got10k", "split": "train"}, {"name": "lasot", "split": "train", "weight": 2.0}]
    changes = {"seed": 8, "train": {"epochs": 5}, "data": {"train": sources}}
    write(tmp_path, one=TREE, two={"base": "one", **changes})
    expected = from_tree({**merge(TREE, changes), "name": "two"}, "merged")
    assert load_experiment(tmp_path / "two.yaml") == expected
    assert [source.name for source in expected.data.train] == ["got10k", "lasot"]


def test_a_base_has_one_level(tmp_path):
    write(tmp_path, one=TREE, two={"base": "one"}, three={"base": "two"}, lost={"base": "on"}, wrong={"base": 1})
    with pytest.raises(ConfigError, match=r"three.yaml: base: two has a base itself; only one level is allowed"):
        load_experiment(tmp_path / "three.yaml")
    with pytest.raises(ConfigError, match=r"lost.yaml: base: on: no such experiment in .*; did you mean one\?"):
        load_experiment(tmp_path / "lost.yaml")
    with pytest.raises(ConfigError, match="wrong.yaml: base: got 1; should be the name of an experiment"):
        load_experiment(tmp_path / "wrong.yaml")


def test_the_name_is_the_files_the_trees_or_the_runs(tmp_path):
    file = write_experiment(tmp_path / "toy.yaml")
    assert load_experiment(file).name == "toy"
    assert load_experiment(file, ["name=other"]).name == "other"
    assert load_experiment(file, ["name=other"], run="third").name == "third"
    assert load_experiment(write_experiment(tmp_path / "named.yaml", name="said")).name == "said"
    with pytest.raises(ConfigError, match='command line: name: got "../away"'):
        load_experiment(file, run="../away")


def test_overrides_reach_any_value(tmp_path):
    file = write_experiment(tmp_path / "toy.yaml")
    overrides = ["train.optimizer.lr=2e-4", "model.division={target: roimax, ratio: 0.5}", "data.val=[]"]
    experiment = load_experiment(file, [*overrides, "data.val_samples=0"])
    assert experiment.train.optimizer.lr == 2e-4
    assert (experiment.model.division.target, experiment.model.division.ratio) == ("roimax", 0.5)
    assert experiment.model.division.hidden == 16
    assert experiment.data.val == ()


def test_a_key_that_was_removed_may_only_be_off():
    """Resolved configurations of earlier versions hold it."""
    tree = to_tree(load_experiment("grm_vitb"))
    assert from_tree(merge(tree, {"data": {"scaled_decoding": False}}), "old.yaml") == load_experiment("grm_vitb")
    with pytest.raises(ConfigError, match="^old.yaml: data.scaled_decoding: got true; unknown key; ") as error:
        from_tree(merge(tree, {"data": {"scaled_decoding": True}}), "old.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["ostrack", "{a: 1}", "1"])
def test_the_family_cannot_be_changed_by_an_override(value):
    with pytest.raises(ConfigError, match="command line: model.name: got") as error:
        load_experiment("grm_vitb", [f"model.name={value}"])
    assert "cannot change 'grm'" in str(error.value)
    for key in ("model.pretrained", "model.backbone", "model.division", "model.head"):
        assert key in str(error.value)
    assert load_experiment("grm_vitb", ["model.name=grm"]) == load_experiment("grm_vitb")


@pytest.mark.parametrize("value", ["3", "null", "grm", "[grm]"])
def test_a_model_that_is_no_mapping_is_one_error(value):
    with pytest.raises(ConfigError, match="command line: model: got"):
        load_experiment("grm_vitb", [f"model={value}"])


# Errors


def test_all_wrong_fields_are_listed_each_at_its_key(tmp_path):
    changes = {"train": {"epochs": "many"}, "data": {"max_gap": 1}, "model": {"division": {"treshold": 0.5}}}
    file = write_experiment(tmp_path / "toy.yaml", **changes)
    with pytest.raises(ConfigError) as error:
        load_experiment(file, ["objective.l1=x"])
    lines = sorted(str(error.value).splitlines())
    assert lines == [
        f"{file}: data.max_gap: got 1; should be greater than or equal to 2",
        f"{file}: model.division.treshold: got 0.5; unknown key; did you mean threshold?",
        f'{file}: train.epochs: got "many"; should be a valid integer',
        'command line: objective.l1: got "x"; should be a valid number',
    ]


CROSS_SECTION = {
    "search": {"size": 250},
    "template": {"size": 8},
    "data": {"samples_per_epoch": 3},
    "test": {"per_dataset": {"lasott": {}, "otb": {"train.epochs": 3}}},
}


def test_errors_across_sections_are_listed_together_once_the_fields_are_clean(tmp_path):
    with pytest.raises(ConfigError) as error:
        load_experiment(write_experiment(tmp_path / "toy.yaml", **CROSS_SECTION))
    place = f"{tmp_path / 'toy.yaml'}: "
    assert str(error.value).splitlines() == [
        place + "template.size: 8 is not a multiple of model.backbone's stride 16; the nearest are 16 and 16",
        place + "search.size: 250 is not a multiple of model.backbone's stride 16; the nearest are 240 and 256",
        place + "data.samples_per_epoch: 3 is less than one step of train.global_batch 4",
        place + "test.per_dataset.lasott: unknown benchmark 'lasott'; did you mean lasot?",
        place + f"test.per_dataset.otb: train.epochs may not differ by benchmark; may: {', '.join(per_dataset_keys())}",
    ]
    with pytest.raises(ConfigError) as error:
        load_experiment(tmp_path / "toy.yaml", ["train.epochs=0"])
    assert str(error.value) == "command line: train.epochs: got 0; should be greater than 0"


def test_a_value_that_a_benchmark_cannot_take_is_listed_for_each(tmp_path):
    per_dataset = {"otb": {"model.division.threshold": 7}, "uav": {"model.division.threshold": "high"}}
    with pytest.raises(ConfigError) as error:
        load_experiment(write_experiment(tmp_path / "toy.yaml", test={"per_dataset": per_dataset}))
    place = f"{tmp_path / 'toy.yaml'}: test.per_dataset"
    assert str(error.value).splitlines() == [
        f"{place}.otb: model.division.threshold: got 7; should be less than or equal to 1",
        f'{place}.uav: model.division.threshold: got "high"; should be a valid number',
    ]


# Values that differ by benchmark


PER_DATASET = {
    "otb": {"model.division.threshold": 0.3, "test.tracker.window": "none"},
    "uav": {"model.division.threshold": 0.6},
}


@pytest.fixture
def toy(tmp_path) -> Path:
    return write_experiment(tmp_path / "toy.yaml", test={"per_dataset": PER_DATASET})


def thresholds(experiment: ExperimentConfig) -> list[float]:
    """At no benchmark, one without values, and the two with them."""
    return [experiment.for_benchmark(name).model.division.threshold for name in (None, "lasot", "otb", "uav")]


def test_a_benchmark_gets_its_values_and_states_each_once(toy):
    experiment = load_experiment(toy)
    assert thresholds(experiment) == [0.0, 0.0, 0.3, 0.6]
    tested = experiment.for_benchmark("otb")
    assert tested.test.tracker.window == "none"
    assert tested.test.per_dataset == {}
    changes = {"model": {"division": {"threshold": 0.3}}, "test": {"tracker": {"window": "none"}}}
    assert tested == from_tree({**merge(TREE, changes), "name": "toy"}, "expected")
    with pytest.raises(ValueError, match=r"unknown benchmark 'otp'; did you mean otb\?"):
        experiment.for_benchmark("otp")


@pytest.mark.parametrize("override", ["model.division.threshold=0.5", "model.division={threshold: 0.5}"])
def test_the_command_line_wins_over_every_benchmark(toy, override):
    experiment = load_experiment(toy, [override])
    assert thresholds(experiment) == [0.5] * 4
    assert experiment.for_benchmark("otb").test.tracker.window == "none"


@pytest.mark.parametrize("override", [
    "test.per_dataset.otb.model.division.threshold=0.7",
    "test.per_dataset.otb={model.division.threshold: 0.7}",
    "test.per_dataset={otb: {model: {division: {threshold: 0.7}}}}",
])  # fmt: skip
def test_the_value_of_one_benchmark_can_be_overridden(toy, override):
    assert thresholds(load_experiment(toy, [override])) == [0.0, 0.0, 0.7, 0.6]
    for_all = "model.division.threshold=0.5"
    assert thresholds(load_experiment(toy, [override, for_all])) == [0.5, 0.5, 0.7, 0.5]
    assert thresholds(load_experiment(toy, [for_all, override])) == [0.5, 0.5, 0.7, 0.5]


def test_a_file_wins_over_its_base_however_both_write_the_key(tmp_path, toy):
    nested = {"model": {"division": {"threshold": 0.8}}}
    base = merge(TREE, {"test": {"per_dataset": {"otb": nested}}})
    write(tmp_path, nested=base, dotted={"base": "nested", "test": {"per_dataset": PER_DATASET}})
    assert thresholds(load_experiment(tmp_path / "nested.yaml")) == [0.0, 0.0, 0.8, 0.0]
    assert thresholds(load_experiment(tmp_path / "dotted.yaml")) == [0.0, 0.0, 0.3, 0.6]
    write(tmp_path, other={"base": "toy", "test": {"per_dataset": {"otb": nested}}})
    assert thresholds(load_experiment(tmp_path / "other.yaml")) == [0.0, 0.0, 0.8, 0.6]


def test_two_rules_for_the_division_are_refused_at_every_benchmark_that_has_one(toy):
    with pytest.raises(ConfigError) as error:
        load_experiment(toy, ["model.division.ratio=0.5"])
    assert len(str(error.value).splitlines()) == 2
    experiment = load_experiment(toy, ["model.division.ratio=0.5", "model.division.threshold=0"])
    assert thresholds(experiment) == [0.0] * 4


# The resolved configuration


@pytest.mark.slow
def test_the_resolved_configuration_is_the_same_experiment(tmp_path):
    for name in NAMES:
        experiment = load_experiment(name)
        tree = to_tree(experiment)
        assert from_tree(tree, "tree") == experiment
        (tmp_path / "config.yaml").write_text(to_yaml(tree))
        assert read_yaml(tmp_path / "config.yaml") == tree
        assert load_experiment(tmp_path / "config.yaml") == experiment
        assert from_tree(json.loads(json.dumps(tree)), "json") == experiment


def test_a_tree_takes_overrides_and_a_name_as_a_file_does(toy):
    tree = to_tree(load_experiment(toy))
    before = json.dumps(tree)
    overrides = ["model.division.threshold=0.5", "train.epochs=3"]
    assert from_tree(tree, "tree", overrides, "run") == load_experiment(toy, overrides, "run")
    assert json.dumps(tree) == before


# The schema for editors


@pytest.mark.slow
def test_the_schema_accepts_every_experiment_and_its_resolved_form():
    schema = Draft202012Validator(experiment_schema())
    for path in FILES:
        assert schema.is_valid(read_yaml(path)), path
        assert schema.is_valid(to_tree(load_experiment(path))), path


@pytest.mark.parametrize("change", [
    {"trian": {}},
    {"seed": "x"},
    {"seed": True},
    {"base": 1},
    {"train": {"epochs": 0}},
    {"train": {"schedule": {"kind": "steps"}}},
    {"model": {"division": {"relation": "three_stream"}}},
    {"data": {"train": []}},
    {"data": {"train": [{"name": "got10k", "split": "full", "share": 1}]}},
    {"test": {"per_dataset": {"lasot": {"model.division.threshold": [1]}}}},
])  # fmt: skip
def test_the_schema_refuses_what_loading_refuses(change):
    schema = Draft202012Validator(experiment_schema())
    tree = merge(TREE, change)
    assert schema.is_valid(TREE)
    assert not schema.is_valid(tree)
    with pytest.raises(ConfigError):
        from_tree({"name": "toy", **tree}, "tree")


def test_the_schema_beside_the_experiments_is_current():
    """If not: python tracking/show_config.py --write-schema experiments/schema.json"""
    assert json.loads((EXPERIMENTS / "schema.json").read_text(encoding="utf-8")) == experiment_schema()


HEAD_KEYS = {"center": {"focal"}, "corner": set(), "mlp": {"classification", "background"}}
KEYS_OF_ALL_HEADS = {"focal": 1.0, "classification": 8.334, "background": 0.0625}


@pytest.mark.parametrize("head", HEAD_KEYS)
def test_the_objective_is_that_of_the_head_and_another_heads_key_is_an_error(tmp_path, head):
    head_section = {"head": {"kind": head, "channels": 16}}
    file = write_experiment(tmp_path / "toy.yaml", model=head_section)
    experiment = load_experiment(file)
    assert set(to_tree(experiment)["objective"]) == {"giou", "l1"} | HEAD_KEYS[head]
    assert from_tree(to_tree(experiment), "tree") == experiment
    for key, default in KEYS_OF_ALL_HEADS.items():
        write_experiment(file, model=head_section, objective={key: default})
        if key in HEAD_KEYS[head]:
            assert load_experiment(file) == experiment
            assert getattr(load_experiment(file, [f"objective.{key}=3"]).objective, key) == 3
        else:
            with pytest.raises(ConfigError, match=rf"^{file}: objective\.{key}: got {default}; unknown key; "):
                load_experiment(file)
            with pytest.raises(ConfigError, match=rf"^command line: objective\.{key}: got 3; unknown key; "):
                load_experiment(write_experiment(file, model=head_section), [f"objective.{key}=3"])


@pytest.mark.parametrize("head", HEAD_KEYS)
def test_a_configuration_resolved_by_an_earlier_version_is_read_and_its_run_goes_on(tmp_path, head):
    """It holds the keys of all heads, each with its default unless it was used."""
    experiment = load_experiment(
        write_experiment(tmp_path / "toy.yaml", model={"head": {"kind": head, "channels": 16}})
    )
    before = merge(to_tree(experiment), {"objective": KEYS_OF_ALL_HEADS | {"giou": 3.0}})
    changed = from_tree(before, "tree")
    assert changed.objective == experiment.objective.model_copy(update={"giou": 3.0})
    assert changed_keys(before, to_tree(changed)) == []
    assert changed_keys(before, to_tree(experiment)) == ["objective.giou was 3.0, is 2.0"]


def test_a_configuration_resolved_by_an_earlier_version_gets_the_keys_that_are_new(tmp_path):
    experiment = load_experiment(write_experiment(tmp_path / "toy.yaml"))
    tree = to_tree(experiment)
    earlier = copy.deepcopy(tree)
    del earlier["train"]["frozen"], earlier["test"]
    assert with_new_keys(earlier) == tree
    broken = merge(earlier, {"train": {"epochs": 0}})
    assert with_new_keys(broken) == broken


def test_an_objective_beside_a_wrong_model_is_no_error(tmp_path):
    file = write_experiment(tmp_path / "toy.yaml", model={"head": {"kind": "centre"}}, objective={"focal": 1.0})
    with pytest.raises(ConfigError) as error:
        load_experiment(file)
    assert len(str(error.value).splitlines()) == 1
    assert "model.head.kind" in str(error.value)


def test_a_network_whose_shapes_change_is_not_compiled_for_training():
    """By the family's own word, with the reason."""
    for overrides in ([], ["model.elimination.keep=0.5"]):
        with pytest.raises(ConfigError, match="train.compile: model.elimination.schedule changes the"):
            load_experiment("ostrack_tiny", ["train.compile=true", *overrides])
    for still in (["model.elimination=null"], ["model.elimination.keep=1"], ["train.compile=false"]):
        load_experiment("ostrack_tiny", ["train.compile=true", *still])
    assert load_experiment("grm_tiny", ["train.compile=true"]).train.compile
