"""The whole configuration: sections that components own, the checks across them, and how a file becomes one."""

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from lib.config.paths import REPOSITORY, user_path
from lib.config.schema import ConfigError, Section, suggest
from lib.config.tree import apply_overrides, flat, merge, nested
from lib.config.validation import json_schema, validate
from lib.config.yaml12 import read_yaml
from lib.data.pairs import DataConfig
from lib.evaluation.benchmarks import find_benchmark
from lib.geometry.crop import CropConfig
from lib.inference.settings import Precision, TrackerConfig
from lib.models.heads.registry import HEADS, AnyObjectiveConfig
from lib.models.registry import FAMILIES, ModelConfig
from lib.training.config import TrainConfig

EXPERIMENTS = REPOSITORY / "experiments"

Value = str | int | float | bool | None


class TestingConfig(Section):
    """Test time: the tracker's settings, the network's precision, and values that differ by benchmark.

    ``precision``: "bf16" and "fp16" run the network in autocast; heads stay in float32.

    ``per_dataset`` maps a benchmark's name to dotted keys and their values. Only the settings of ``per_dataset_keys``,
    which leave the weights alone, may differ by benchmark.
    """

    tracker: TrackerConfig = TrackerConfig()
    precision: Precision = "fp32"
    per_dataset: dict[str, dict[str, Value]] = Field(default_factory=dict)


def per_dataset_keys(families: Iterable[str] = FAMILIES) -> tuple[str, ...]:
    """The dotted keys that may differ by benchmark and may be swept, for any of the ``families``."""
    of_models = dict.fromkeys(f"model.{key}" for family in families for key in FAMILIES[family].test_time)
    return (*of_models, "test.tracker.window", "test.tracker.penalty")


# Resolved configurations of earlier versions hold, for every head, the keys of all heads; these are their defaults.
_KEYS_OF_ALL_HEADS = {"focal": 1.0, "classification": 8.334, "background": 0.0625}


def _objective_of_head(value: Any, info: ValidationInfo) -> Any:
    """The section ``objective`` of the model's head: a key that the head does not use is an error. If the model is
    wrong and its head unknown, the section may be any head's."""
    model = info.data.get("model")
    heads = [HEADS[model.head.kind]] if model is not None else HEADS.values()
    errors = []
    for section in (head.objective_config for head in heads):
        try:
            return section.model_validate(_keys_of_this_head(value, section))
        except ValidationError as error:  # locations name the member of the union, as pydantic does
            lines = [{**details, "loc": (section.__name__, *details["loc"])} for details in error.errors()]
            errors.append(ValidationError.from_exception_data(section.__name__, lines))
    raise min(errors, key=ValidationError.error_count)


def _keys_of_this_head(value: Any, section: type[Section]) -> Any:
    """Without the keys that an earlier version resolved for other heads."""
    if not isinstance(value, dict) or not value.keys() >= _KEYS_OF_ALL_HEADS.keys():
        return value
    unused = {key: default for key, default in _KEYS_OF_ALL_HEADS.items() if key not in section.model_fields}
    return {key: given for key, given in value.items() if key not in unused or given != unused[key]}


class ExperimentConfig(Section):
    """One experiment. ``name``, by default the file's, is the name of its output folder.

    The crops of ``template`` and ``search`` serve training and tracking alike, and the head's grid follows from them.
    ``weights``: a file of the folder ``pretrained_models`` with the trained network, for every use that names no
    checkpoint; only ``lite`` comes with one.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=42, ge=0, lt=2**31)
    weights: str | None = None
    model: ModelConfig
    template: CropConfig
    search: CropConfig
    data: DataConfig
    objective: Annotated[AnyObjectiveConfig, BeforeValidator(_objective_of_head)] = Field(default_factory=dict)
    train: TrainConfig
    test: TestingConfig = TestingConfig()

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        problems = []
        stride = self.model.stride
        for crop in ("template", "search"):
            size = getattr(self, crop).size
            if size % stride:
                lower = size - size % stride
                problems.append(
                    f"{crop}.size: {size} is not a multiple of model.backbone's stride {stride}; "
                    f"the nearest are {lower or stride} and {lower + stride}"
                )
        if "aligned" in (self.template.placement, self.search.placement):
            problems += self._misfits_of_aligned_crops()
        problems += self.model.misfits(self.template.size, self.search.size, self.train.compile)
        if self.data.samples_per_epoch < self.train.global_batch:
            problems.append(
                f"data.samples_per_epoch: {self.data.samples_per_epoch} is less than one step of "
                f"train.global_batch {self.train.global_batch}"
            )
        for benchmark, values in self.test.per_dataset.items():
            place = f"test.per_dataset.{benchmark}"
            try:
                find_benchmark(benchmark)
            except ValueError as error:
                problems.append(f"{place}: {error}")
            allowed = per_dataset_keys([self.model.name])
            foreign = [key for key in values if key not in allowed]
            problems += [f"{place}: {key} may not differ by benchmark; may: {', '.join(allowed)}" for key in foreign]
        if not problems:  # otherwise each benchmark would repeat them
            for benchmark in self.test.per_dataset:
                try:
                    self.for_benchmark(benchmark)
                except ConfigError as error:
                    problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _misfits_of_aligned_crops(self) -> list[str]:
        problems = []
        if self.data.store == "crops":
            problems.append("data.store: crops holds no aligned crops; set data.store=frames")
        if any(source.cutouts is not None for source in (*self.data.train, *self.data.val)):
            problems.append("data.train: cutouts are not pasted into aligned crops; set placement: rounded")
        if self.data.augment.still_aspect:
            problems.append("data.augment.still_aspect: aligned crops are stretched by their jitter; set it to 0")
        return problems

    def for_benchmark(self, benchmark: str | None) -> Self:
        """The experiment with the values of ``test.per_dataset`` for this benchmark; None has none.

        Its own ``per_dataset`` is empty, so that it states each value once. ``ValueError`` for an unknown benchmark.
        """
        if benchmark:
            find_benchmark(benchmark)
        tree = to_tree(self)
        tree["test"]["per_dataset"] = {}
        for key, value in self.test.per_dataset.get(benchmark or "", {}).items():
            tree = merge(tree, nested(key, value))
        return validate(ExperimentConfig, tree, f"test.per_dataset.{benchmark}")


def load_experiment(name: str | Path, overrides: Iterable[str] = (), run: str | None = None) -> ExperimentConfig:
    """The experiment ``experiments/<name>.yaml``, or the file at a path, with overrides (``train.epochs=50``).

    ``base: other`` at the top takes another experiment of the same folder and lays this file over it, one level only.
    For overrides and ``run`` see ``from_tree``. Raises ``ConfigError``.
    """
    path = find_experiment(name)
    tree = _with_dotted_keys(read_yaml(path))
    base = tree.pop("base", None)
    if base is not None:
        if not isinstance(base, str):
            raise ConfigError(f"{path}: base: got {base!r}; should be the name of an experiment")
        base_tree = _with_dotted_keys(read_yaml(find_experiment(base, path.parent, f"{path}: base")))
        if "base" in base_tree:
            raise ConfigError(f"{path}: base: {base} has a base itself; only one level is allowed")
        tree = merge(base_tree, tree)
    tree.setdefault("name", path.stem)
    return from_tree(tree, str(path), overrides, run)


def find_experiment(name: str | Path, beside: Path = EXPERIMENTS, asked_by: str = "--config") -> Path:
    """The file of an experiment by name or path; ``ConfigError`` with the nearest names if there is none."""
    path = user_path(name)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if path.is_file():
            return path
        raise ConfigError(f"{asked_by}: {name}: no such file; give the path of a YAML file, or a name in {beside}")
    path = beside / f"{name}.yaml"
    if path.is_file():
        return path
    known = sorted(file.stem for file in beside.glob("*.yaml") if not file.name.startswith("paths."))
    raise ConfigError(f"{asked_by}: {name}: no such experiment in {beside}; {suggest(name, known)}")


def from_tree(
    tree: dict[str, Any], source: str, overrides: Iterable[str] = (), run: str | None = None
) -> ExperimentConfig:
    """The experiment that a file, a checkpoint or a run's config.yaml holds, with dotted overrides.

    A test-time value that is overridden holds for every benchmark: it leaves ``test.per_dataset``. ``run`` replaces the
    experiment's name, so that an ablation by overrides has an output folder of its own. Raises ``ConfigError``.
    """
    overrides = tuple(overrides)
    changes = apply_overrides({}, overrides)
    changed = merge(_with_dotted_keys(tree, without=flat(changes)), _with_dotted_keys(changes))
    family = _family(tree)
    if family is not None and _family(changed) not in (family, None):
        left = ", ".join(f"model.{key}" for key in changed["model"] if key != "name")
        raise ConfigError(
            f"command line: model.name: got {_family(changed)!r}; an override cannot change {family!r}, "
            f"whose keys would be left over: {left}; write an experiment file instead"
        )
    if run is not None:
        changed["name"] = run
        overrides = (*overrides, f"name={run}")
    if isinstance(changed.get("data"), dict) and changed["data"].get("scaled_decoding") is False:
        # Configurations of earlier versions hold this key.
        changed["data"] = {key: value for key, value in changed["data"].items() if key != "scaled_decoding"}
    return validate(ExperimentConfig, changed, source, overrides)


def to_tree(experiment: ExperimentConfig) -> dict[str, Any]:
    """The resolved configuration as plain types, every default written out."""
    return experiment.model_dump(mode="json")


def with_new_keys(tree: dict[str, Any]) -> dict[str, Any]:
    """A resolved configuration of an earlier version with the keys that are new since, at their defaults; unchanged if
    it is no valid one today."""
    try:
        return to_tree(from_tree(tree, "the configuration of an earlier version"))
    except ConfigError:
        return tree


def experiment_schema() -> dict[str, Any]:
    """JSON schema of an experiment file: as the configuration's, with ``base``, and nothing required beside one."""
    schema = json_schema(ExperimentConfig)
    schema["properties"]["base"] = {"type": "string", "description": "Experiment whose values these differ from."}
    for section in (schema, *schema["$defs"].values()):
        section.pop("required", None)
        for field in section["properties"].values():
            if "oneOf" in field:
                # What a file leaves to its base, the family's name above all, would fit several families at once.
                field["anyOf"] = field.pop("oneOf")
    return schema


def _family(tree: dict[str, Any]) -> Any:
    model = tree.get("model")
    return model.get("name") if isinstance(model, dict) else None


def _with_dotted_keys(tree: dict[str, Any], without: Container[str] = ()) -> dict[str, Any]:
    """A copy of the tree with dotted keys for each benchmark of ``test.per_dataset``, and there ``without`` some.

    Values that are no mappings are left to validation.
    """
    test = tree.get("test")
    if not isinstance(test, dict) or not isinstance(test.get("per_dataset"), dict):
        return dict(tree)
    dotted = {
        name: {key: value for key, value in flat(values).items() if key not in without}
        if isinstance(values, dict)
        else values
        for name, values in test["per_dataset"].items()
    }
    return {**tree, "test": {**test, "per_dataset": dotted}}
