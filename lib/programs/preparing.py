"""Crop stores for an experiment: what its configuration says of a dataset, handed to who writes them."""

from __future__ import annotations

from pathlib import Path

from lib.config.schema import ConfigError
from lib.data.pairs import SourceConfig
from lib.data.stores.cropping import CropSummary, write_crops
from lib.experiment.build import crop_settings
from lib.experiment.config import ExperimentConfig


def make_crops(
    experiment: ExperimentConfig,
    name: str,
    root: Path,
    cache: Path,
    target: Path,
    *,
    split: str | None = None,
    every: int | None = None,
    processes: int = 1,
) -> list[CropSummary]:
    """Write the crop stores that training the experiment asks of a dataset, each in a folder ``target / <split>``.

    ``split`` is one that the experiment trains on or any other, None all that it trains on. ``every`` takes the place
    of the source's ``annotated_every``. Raises ``ConfigError`` for a dataset that the experiment does not train on and
    no split, and ``ValueError`` as ``lib.data.stores.cropping.write_crops`` does.
    """
    trained = [source for source in experiment.data.train if source.name == name and source.cutouts is None]
    sources = [source for source in trained if split in (None, source.split)]
    if not sources and split is not None:
        sources = [SourceConfig(name=name, split=split)]
    if not sources:
        names = ", ".join(dict.fromkeys(source.name for source in experiment.data.train))
        raise ConfigError(f"{experiment.name} does not train on {name} but on {names}; name one of them, or a split")
    if every is not None:
        sources = [source.model_copy(update={"annotated_every": every}) for source in sources]
    unique = {source.split: source for source in sources}
    return [
        write_crops(name, source.split, root, cache, target, crop_settings(experiment, source), processes)
        for source in unique.values()
    ]
