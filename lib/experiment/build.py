"""The wiring: from a configuration to networks, data, trackers and a trainer."""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lib.config.paths import Paths, load_paths, user_path
from lib.config.schema import ConfigError
from lib.data.augment import Role
from lib.data.cutouts import Cutouts
from lib.data.datasets.registry import find_dataset
from lib.data.decoding.images import find_decoder
from lib.data.masks import MaskFolder
from lib.data.pairs import Pairs, SourceConfig
from lib.data.pools import Pool
from lib.data.stores.crops import open_crops
from lib.data.stores.index import open_dataset
from lib.data.stores.reach import CropSettings
from lib.experiment.config import ExperimentConfig, from_tree, to_tree, with_new_keys
from lib.export.exported import open_network
from lib.inference.engine import Engine, TemplateOf
from lib.inference.settings import TrackSettings
from lib.inference.torch_network import TorchNetwork
from lib.inference.tracker import Tracker
from lib.models.base import TrackingModel
from lib.models.heads.base import Objective
from lib.models.heads.registry import HEADS
from lib.models.registry import FAMILIES
from lib.models.weights.adapters import FrozenWeights, frozen_names
from lib.models.weights.initial import check_initial, load_initial
from lib.models.weights.released import LoadReport, load_file
from lib.models.weights.renaming import NameTable
from lib.runtime.checkpoint import CheckpointError
from lib.runtime.machine import keep_large_buffers, usable_cores
from lib.runtime.process import Process, device_in_turn, find_device
from lib.runtime.unpickling import as_plain, read_inert
from lib.training.actor import Actor
from lib.training.config import Run
from lib.training.optimizer import freeze
from lib.training.trainer import Trainer

logger = logging.getLogger(__name__)


def build_model(experiment: ExperimentConfig) -> TrackingModel:
    """The network in eval mode, with fresh weights that depend on ``experiment.seed`` alone; no file is read."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(experiment.seed)  # torch.manual_seed would set the GPUs' too
        family = FAMILIES[experiment.model.name]
        model = family.network(experiment.model, experiment.template.size, experiment.search.size)
    return model.eval()


@dataclass(frozen=True)
class TorchForm:
    """An experiment's network as PyTorch runs it. It holds no weights, so that processes can send it to each other.

    * ``checkpoint``: the file of the weights; fresh ones without. ``checksum`` ("sha256 ...") is the one that it must
      have. For ``pretrained_models`` see ``trained_model``.
    * ``benchmark``: the one (``lasot``) whose values of ``test.per_dataset`` hold.
    * ``batch``: the most sequences in a batch; None takes what suits the network and its device.
    * For ``compiled`` and ``captured`` see ``TorchNetwork``.
    """

    experiment: ExperimentConfig
    checkpoint: Path | None = None
    device: str = "cpu"
    benchmark: str | None = None
    batch: int | None = None
    compiled: bool = False
    captured: bool = False
    checksum: str | None = None
    pretrained_models: Path | None = None

    def network(self) -> TorchNetwork:
        """The network, ready to find targets. Raises ``CheckpointError`` for a checkpoint that cannot be read, has
        another checksum or is of another network, and ``ValueError`` for a device that is not there."""
        keep_large_buffers()
        device = str(find_device(self.device))
        experiment = self.experiment.for_benchmark(self.benchmark)
        if self.checkpoint is None:
            model = build_model(experiment)
        else:
            model, _ = trained_model(experiment, self.checkpoint, checksum=self.checksum, folder=self.pretrained_models)
        settings = TrackSettings(
            template=experiment.template, search=experiment.search, tracker=experiment.test.tracker
        )
        precision = experiment.test.precision
        return TorchNetwork(model, settings, device, precision, self.compiled, self.captured, experiment.name)

    def engine(self, most: int, template_of: TemplateOf | None = None) -> Engine:
        """An engine for at most ``most`` sequences at once; for ``template_of`` see ``Engine``.

        On a CPU each batch is computed by one core; a compiled network takes all of them for one batch. Independent
        processes of a machine take its GPUs in turn.
        """
        network = replace(self, device=device_in_turn(self.device)).network()
        finders = 1
        if network.device == "cpu" and not self.compiled:
            finders = usable_cores()
            torch.set_num_threads(1)
        return Engine(network, self.batch or network.suggested_batch, finders, most, template_of=template_of)


def build_tracker(
    experiment: ExperimentConfig | None = None,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    dataset: str | None = None,
    network: str | Path | None = None,
) -> Tracker:
    """A tracker of one target, with an experiment's network or the exported one in the folder ``network``.

    ``dataset`` is a benchmark's name (``lasot``); the values of ``test.per_dataset`` for it hold. Without
    ``checkpoint`` the tracker has the weights that the experiment names, and fresh ones if it names none.
    """
    if (experiment is None) == (network is None):
        raise ValueError("a tracker is built from an experiment or from the folder of an exported network: name one")
    if network is not None:
        return Tracker(open_network(user_path(network)))
    file = named_weights(experiment, load_paths()) if checkpoint is None else user_path(checkpoint)
    return Tracker(TorchForm(experiment, file, device, dataset).network())


def named_weights(experiment: ExperimentConfig, paths: Paths) -> Path | None:
    """The file that ``weights`` of the experiment names; None if it names none. Raises ``ConfigError`` if it is not
    there."""
    if experiment.weights is None:
        return None
    file = paths.weights(experiment.weights)
    if not file.is_file():
        raise ConfigError(
            f"weights: {file} is not there; get it from the project's repository, name a checkpoint or set weights=null"
        )
    return file


def default_checkpoint(experiment: ExperimentConfig, paths: Paths) -> Path:
    """The checkpoint of programs that name none: ``last.pth`` of the experiment's run, else the weights that the
    experiment names. Raises ``ConfigError`` if there are neither."""
    last = run_folder(experiment, paths) / "checkpoints" / "last.pth"
    if last.is_file():
        return last
    file = named_weights(experiment, paths)
    if file is None:
        raise ConfigError(f"{last}: no such checkpoint; train the experiment first, or name another with --checkpoint")
    logger.info("weights: %s", file)
    return file


def trained_model(
    experiment: ExperimentConfig,
    path: Path,
    table: NameTable | None = None,
    checksum: str | None = None,
    folder: Path | None = None,
) -> tuple[TrackingModel, LoadReport]:
    """The network of ``build_model`` with the weights of a checkpoint, ours or a released one, loaded strictly and
    without executing anything in it; ``table`` renames them first. See ``load_file``.

    An adapter's file holds trained tensors alone: the weights beneath are those of ``model.pretrained``, a file of
    ``folder``, by default the machine's folder of pretrained models.
    """
    model = build_model(experiment)
    report = load_file(model, path, table, checksum, _frozen_weights(experiment, model, folder))
    if report.dropped or table:
        logger.info("%s: %s", path, report)
    return model, report


def _frozen_weights(experiment: ExperimentConfig, model: TrackingModel, folder: Path | None) -> FrozenWeights | None:
    """The initial weights that an adapter's file lacks, if the family freezes some."""
    pretrained, names = experiment.model.pretrained, frozen_names(model, experiment.model)

    def load(model: TrackingModel) -> None:
        if pretrained == "none":
            raise CheckpointError("model.pretrained is none; name the weights that these were trained over")
        load_initial(model, pretrained, folder or load_paths().pretrained_models)

    return FrozenWeights(pretrained, names, load) if names else None


def experiment_of_checkpoint(path: Path, overrides: Iterable[str] = (), run: str | None = None) -> ExperimentConfig:
    """The configuration a checkpoint of ours was trained with, so that it can be tested without its YAML."""
    content = read_inert(path)
    if not isinstance(content, dict) or not isinstance(content.get("experiment"), dict):
        raise CheckpointError(f"{path}: holds no configuration; name it with --config")
    try:
        tree = json.loads(json.dumps(as_plain(content["experiment"], path)))
    except (CheckpointError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its configuration is not of plain types; name one with --config") from error
    return from_tree(tree, str(path), overrides, run)


def check_training_files(experiment: ExperimentConfig, paths: Paths) -> None:
    """Raise ``ConfigError`` naming everything that training would miss: datasets without a reader or a folder, crop
    stores, the decoder's library, initial weights. It reads no data, so programs call it before they start processes.
    """
    sources = (*experiment.data.train, *experiment.data.val)
    cut = [source for source in sources if source.cutouts is not None]
    problems: list[str] = []

    def attempt(check: Callable[..., object], *arguments: object, key: str = "") -> None:
        try:
            check(*arguments)
        except ValueError as error:
            problems.append(f"{key}{error}")

    for name in (*(source.name for source in sources), *(source.cutouts.over for source in cut)):
        attempt(lambda each: (find_dataset(each), paths.dataset_root(each)), name)
    for source in cut:
        if source.name in paths.masks and not paths.masks[source.name].is_dir():
            problems.append(
                f"masks.{source.name}: no such folder: {paths.masks[source.name]}; correct it in paths.yaml"
            )
    for source in experiment.data.train:
        attempt(_crops_folder, experiment, paths, source)
    attempt(find_decoder, experiment.data.decoder, key="data.decoder: ")
    if experiment.model.pretrained != "none":
        attempt(check_initial, experiment.model.pretrained, paths.pretrained_models)
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def crop_settings(experiment: ExperimentConfig, source: SourceConfig) -> CropSettings:
    """The content of a crop store that is needed to train this experiment on a source."""
    data = experiment.data
    template = Role(crop=experiment.template, jitter=data.template_jitter)
    search = Role(crop=experiment.search, jitter=data.search_jitter)
    return CropSettings(template=template, search=search, every=source.annotated_every)


def build_pairs(experiment: ExperimentConfig, paths: Paths, sources: tuple[SourceConfig, ...]) -> Pairs:
    """Pairs drawn from ``sources``; ``ValueError`` for a dataset or crop store that is not set, absent or damaged."""
    pools = [_open_pool(experiment, paths, source) for source in sources]
    return Pairs(experiment.data, pools, experiment.template, experiment.search, experiment.seed)


def build_actor(experiment: ExperimentConfig, model: TrackingModel) -> Actor:
    """``model``, its frozen parameters frozen, with the objective of its head."""
    freeze(model, model.family.frozen(experiment.model), experiment.train.frozen)
    return Actor(model, build_objective(experiment), experiment.train.precision)


def build_objective(experiment: ExperimentConfig) -> Objective:
    """The objective of the model's head."""
    return HEADS[experiment.model.head.kind].objective(experiment.objective)


def run_folder(experiment: ExperimentConfig, paths: Paths, overfit: bool = False) -> Path:
    """The output folder of a run; one with ``overfit`` has its own beside the real run's files."""
    return paths.output / experiment.name / "overfit" if overfit else paths.output / experiment.name


def build_trainer(experiment: ExperimentConfig, paths: Paths, process: Process, overfit: bool = False) -> Trainer:
    """Everything a run needs, its output in ``run_folder``."""
    keep_large_buffers()
    data = experiment.data
    train_pairs = build_pairs(experiment, paths, data.train)
    val_pairs = build_pairs(experiment, paths, data.val) if data.val else None
    model = build_model(experiment)
    frozen = None
    if experiment.model.pretrained != "none":
        report = load_initial(model, experiment.model.pretrained, paths.pretrained_models)
        logger.info("%s: %s", experiment.model.pretrained, report)
        names = frozen_names(model, experiment.model).intersection(report.taken)
        frozen = FrozenWeights(experiment.model.pretrained, names) if names else None
    return Trainer(
        build_actor(experiment, model),
        train_pairs,
        val_pairs,
        experiment.train,
        data,
        Run(run_folder(experiment, paths, overfit), to_tree(experiment), experiment.seed, with_new_keys, overfit),
        process,
        frozen,
    )


def _open_pool(experiment: ExperimentConfig, paths: Paths, source: SourceConfig) -> Pool:
    sequences = open_dataset(source.name, source.split, paths.dataset_root(source.name), paths.cache)
    if source.cutouts is not None:
        over = source.cutouts.over
        videos = open_dataset(over, source.cutouts.split, paths.dataset_root(over), paths.cache)
        masks = MaskFolder(paths.masks[source.name], sequences.source) if source.name in paths.masks else None
        every = source.annotated_every
        return Pool(sequences, source.weight, every, cutouts=Cutouts(sequences, videos, source.cutouts, masks, every))
    folder = _crops_folder(experiment, paths, source)
    crops = None
    if folder is not None:
        command = f"crops {source.name} --split {source.split} --out {folder.parent} --config EXPERIMENT"
        crops = open_crops(
            folder,
            sequences,
            crop_settings(experiment, source),
            dataset=source.name,
            split=source.split,
            remedy=f"python tracking/prepare_data.py {command} (the one of this run)",
            decoder=experiment.data.decoder,
        )
    return Pool(sequences, source.weight, source.annotated_every, crops)


def _crops_folder(experiment: ExperimentConfig, paths: Paths, source: SourceConfig) -> Path | None:
    """The folder of a source's crops (one for each split), None if its frames are read. With ``data.store: crops`` a
    source of training must have crops; a source of validation may have them."""
    if experiment.data.store == "frames" or source.cutouts is not None:
        return None
    if source.name in paths.crops:
        folder = paths.crops[source.name] / source.split
        return folder if source in experiment.data.train or folder.exists() else None
    if source in experiment.data.train:
        raise ConfigError(
            f"data.store: crops, but crops.{source.name} is not set; make them with tracking/prepare_data.py crops and "
            "set it in paths.yaml, or set data.store=frames"
        )
    return None
