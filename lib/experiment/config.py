"""The whole configuration: sections that components own, the checks across them, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from lib.config.paths import REPOSITORY
from lib.config.schema import ConfigError, Section
from lib.config.tree import apply_overrides, merge
from lib.config.validation import json_schema, validate
from lib.config.yaml12 import read_yaml
from lib.data.pairs import DataConfig
from lib.evaluation.benchmarks import BENCHMARKS, PLANNED
from lib.geometry.crop import CropConfig
from lib.inference.tracker import TrackerConfig
from lib.losses.center import CenterObjectiveConfig
from lib.models.registry import ModelConfig
from lib.training.trainer import TrainConfig

EXPERIMENTS = REPOSITORY / "experiments"

Value = str | int | float | bool | None


class TestingConfig(Section):
    """Test time: the tracker's settings, and values that differ by benchmark.

    ``per_dataset`` maps a benchmark's name to dotted keys and their values. Only settings that leave the weights alone
    may stand there; they are listed in ``PER_DATASET_KEYS``.
    """

    tracker: TrackerConfig = TrackerConfig()
    per_dataset: dict[str, dict[str, Value]] = Field(default_factory=dict)


PER_DATASET_KEYS = (
    "model.division.threshold",
    "model.division.ratio",
    "model.division.softmax",
    "test.tracker.window",
)


class ExperimentConfig(Section):
    """One experiment. ``name`` is the file's unless the file says otherwise; its output lies under that name.

    The crops of ``template`` and ``search`` serve training and tracking alike, and the head's grid follows from them.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=42, ge=0, lt=2**31)
    model: ModelConfig
    template: CropConfig
    search: CropConfig
    data: DataConfig
    objective: CenterObjectiveConfig = CenterObjectiveConfig()
    train: TrainConfig
    test: TestingConfig = TestingConfig()

    @model_validator(mode="after")
    def _sections_fit(self) -> ExperimentConfig:
        problems = []
        known_benchmarks = (*BENCHMARKS, *PLANNED)
        patch = self.model.backbone.patch
        for crop in ("template", "search"):
            size = getattr(self, crop).size
            if size % patch:
                lower = size - size % patch
                problems.append(
                    f"{crop}.size: {size} is not a multiple of model.backbone.patch {patch}; "
                    f"the nearest are {lower or patch} and {lower + patch}"
                )
        if self.data.samples_per_epoch < self.train.global_batch:
            problems.append(
                f"data.samples_per_epoch: {self.data.samples_per_epoch} is less than one step of "
                f"train.global_batch {self.train.global_batch}"
            )
        for benchmark, values in self.test.per_dataset.items():
            if benchmark not in known_benchmarks:
                near = get_close_matches(benchmark, known_benchmarks, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known_benchmarks)}"
                problems.append(f"test.per_dataset.{benchmark}: unknown benchmark; {hint}")
            for key in values:
                if key not in PER_DATASET_KEYS:
                    allowed = ", ".join(PER_DATASET_KEYS)
                    problems.append(f"test.per_dataset.{benchmark}: {key} may not differ by benchmark; these may: {allowed}")
        if problems:
            raise ValueError("\n".join(problems))
        for benchmark in self.test.per_dataset:
            self.for_benchmark(benchmark)
        return self

    def for_benchmark(self, benchmark: str | None) -> ExperimentConfig:
        """The experiment with the values of ``test.per_dataset`` for this benchmark in their places.

        The result's own ``per_dataset`` is empty, so that it states each value once.
        """
        tree = to_tree(self)
        tree["test"]["per_dataset"] = {}
        for key, value in self.test.per_dataset.get(benchmark or "", {}).items():
            tree = merge(tree, _nested(key.split("."), value))
        return validate(ExperimentConfig, tree, f"test.per_dataset.{benchmark}")


def load_config(name: str | Path, overrides: Iterable[str] = (), run: str | None = None) -> ExperimentConfig:
    """The experiment ``experiments/<name>.yaml``, or the file at a path, with dotted overrides (``train.lr=2e-4``).

    ``base: other`` at the top takes another experiment of the same folder and lays this file over it, one level only.
    ``run`` replaces the experiment's name, so that an ablation by overrides has an output folder of its own. A test-time
    value that is overridden holds for every benchmark: it leaves ``test.per_dataset``. Raises ``ConfigError``.
    """
    overrides = tuple(overrides)
    path = find_experiment(name)
    tree = read_yaml(path)
    base = tree.pop("base", None)
    if base is not None:
        base_tree = read_yaml(find_experiment(base, beside=path.parent))
        if "base" in base_tree:
            raise ConfigError(f"{path}: base: {base} has a base itself; only one level is allowed")
        tree = merge(base_tree, tree)
    tree.setdefault("name", path.stem)
    own_family = _family(tree)
    tree = apply_overrides(tree, overrides)
    if own_family is not None and _family(tree) != own_family:
        left = ", ".join(f"model.{key}" for key in tree["model"] if key != "name")
        raise ConfigError(
            f"command line: model.name: got {_family(tree)!r}; an override cannot change {own_family!r}, "
            f"whose keys would be left over: {left}; write an experiment file instead"
        )
    if run is not None:
        tree["name"] = run
    return validate(ExperimentConfig, _settle_per_dataset(tree, overrides), str(path), overrides)


def find_experiment(name: str | Path, beside: Path = EXPERIMENTS) -> Path:
    """The file of an experiment by name or path; ``ConfigError`` with the nearest names if there is none."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if path.is_file():
            return path
        raise ConfigError(f"--config: {name}: no such file")
    path = beside / f"{name}.yaml"
    if path.is_file():
        return path
    known = sorted(file.stem for file in beside.glob("*.yaml") if not file.name.startswith("paths."))
    near = get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise ConfigError(f"--config: {name}: no such experiment in {beside}; {hint}")


def from_tree(tree: dict[str, Any], source: str) -> ExperimentConfig:
    """The experiment a checkpoint or a run's config.yaml holds."""
    return validate(ExperimentConfig, tree, source)


def to_tree(experiment: ExperimentConfig) -> dict[str, Any]:
    """The resolved configuration as plain types, every default written out."""
    return experiment.model_dump(mode="json")


def experiment_schema() -> dict[str, Any]:
    """JSON schema of an experiment file: as the configuration's, with ``base``, and nothing required beside one."""
    schema = json_schema(ExperimentConfig)
    schema["properties"]["base"] = {"type": "string", "description": "Experiment whose values these differ from."}
    for section in (schema, *schema["$defs"].values()):
        section.pop("required", None)
    return schema


def _family(tree: dict[str, Any]) -> Any:
    model = tree.get("model")
    return model.get("name") if isinstance(model, dict) else None


def _settle_per_dataset(tree: dict[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """``test.per_dataset`` with dotted keys, and without those that the command line sets for every benchmark."""
    test = tree.get("test")
    if not isinstance(test, dict) or not isinstance(test.get("per_dataset"), dict):
        return tree
    overridden = {override.partition("=")[0].strip() for override in overrides}
    settled = {}
    for benchmark, values in test["per_dataset"].items():
        flat = _flat(values) if isinstance(values, dict) else values
        kept = {k: v for k, v in flat.items() if k not in overridden} if isinstance(flat, dict) else flat
        settled[benchmark] = kept
    return {**tree, "test": {**test, "per_dataset": settled}}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; a nested value, which an override makes, wins over a dotted one."""
    flat = {prefix + key: value for key, value in values.items() if not isinstance(value, dict)}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
    return flat


def _nested(parts: list[str], value: Any) -> dict[str, Any]:
    for part in reversed(parts):
        value = {part: value}
    return value


