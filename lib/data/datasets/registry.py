"""The datasets by name. A new dataset is one line here."""

from typing import Annotated

from pydantic import AfterValidator

from lib.config.schema import suggest
from lib.data.datasets import (
    avist,
    coco,
    dtb70,
    got10k,
    imagenet_vid,
    itb,
    lasot,
    nfs,
    otb,
    own,
    tc128,
    tnl2k,
    trackingnet,
    uav,
    vot,
)
from lib.data.datasets.record import Dataset

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        lasot.DATASET,
        lasot.EXTENSION,
        got10k.DATASET,
        trackingnet.DATASET,
        coco.DATASET,
        imagenet_vid.DATASET,
        otb.DATASET,
        uav.DATASET,
        uav.UAV123_10FPS,
        nfs.DATASET,
        avist.DATASET,
        tnl2k.DATASET,
        itb.DATASET,
        tc128.DATASET,
        dtb70.DATASET,
        *vot.VOT_DATASETS,
        own.DATASET,
    )
}


def find_dataset(name: str) -> Dataset:
    """The dataset of that name; ``ValueError`` for an unknown one, with the nearest known one."""
    if name not in DATASETS:
        raise ValueError(f"unknown dataset {name!r}; {suggest(name, DATASETS)}")
    return DATASETS[name]


# The name of a dataset in a configuration.
DatasetName = Annotated[str, AfterValidator(lambda name: find_dataset(name).name)]
