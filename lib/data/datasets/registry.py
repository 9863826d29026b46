"""The datasets by name: which reader turns a folder into sequences."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lib.config.suggestion import suggest
from lib.data.datasets.avist import SPLITS as AVIST_SPLITS
from lib.data.datasets.avist import list_avist
from lib.data.datasets.coco import SPLITS as COCO_SPLITS
from lib.data.datasets.coco import list_coco
from lib.data.datasets.dtb70 import SPLITS as DTB70_SPLITS
from lib.data.datasets.dtb70 import list_dtb70
from lib.data.datasets.entry import Dataset
from lib.data.datasets.got10k import SPLITS as GOT10K_SPLITS
from lib.data.datasets.got10k import list_got10k
from lib.data.datasets.imagenet_vid import SPLITS as IMAGENET_VID_SPLITS
from lib.data.datasets.imagenet_vid import list_imagenet_vid
from lib.data.datasets.itb import SPLITS as ITB_SPLITS
from lib.data.datasets.itb import list_itb
from lib.data.datasets.lasot import EXTENSION_SPLITS, list_lasot, list_lasot_extension_subset
from lib.data.datasets.lasot import SPLITS as LASOT_SPLITS
from lib.data.datasets.nfs import SPLITS as NFS_SPLITS
from lib.data.datasets.nfs import list_nfs
from lib.data.datasets.otb import SPLITS as OTB_SPLITS
from lib.data.datasets.otb import list_otb
from lib.data.datasets.own import ALL as OWN_SPLIT
from lib.data.datasets.own import list_own
from lib.data.datasets.tc128 import SPLITS as TC128_SPLITS
from lib.data.datasets.tc128 import list_tc128
from lib.data.datasets.tnl2k import SPLITS as TNL2K_SPLITS
from lib.data.datasets.tnl2k import list_tnl2k
from lib.data.datasets.trackingnet import SPLITS as TRACKINGNET_SPLITS
from lib.data.datasets.trackingnet import list_trackingnet
from lib.data.datasets.uav import SPLITS as UAV_SPLITS
from lib.data.datasets.uav import list_uav
from lib.data.datasets.vot import list_vot
from lib.data.stores.packed import open_source
from lib.data.types import Sequence

DATASETS: dict[str, Dataset] = {
    "got10k": Dataset(
        list_got10k,
        GOT10K_SPLITS,
        {
            "full": 9335,
            "vot_train": 7086,
            "vot_val": 1249,
            "train": 7934,
            "val": 1401,
            "official_val": 180,
            "test": 180,
        },
    ),
    "lasot": Dataset(list_lasot, LASOT_SPLITS, {"train": 1120, "test": 280, "extension": 150}),
    "lasot_extension_subset": Dataset(list_lasot_extension_subset, EXTENSION_SPLITS, {"test": 150}),
    # TrackingNet-devkit's table lists a video of TRAIN_0 twice, hence 2512 rows there for 2511 videos.
    "trackingnet": Dataset(
        list_trackingnet,
        TRACKINGNET_SPLITS,
        {"train": 30132, "train_0-3": 10044, "test": 511, **{f"train_{chunk}": 2511 for chunk in range(12)}},
    ),
    # Objects that are no crowd (cocodataset/cocoapi issue 117); numbers for 2014 are not published.
    "coco": Dataset(list_coco, COCO_SPLITS, {"train2017": 849949, "val2017": 36335}),
    "imagenet_vid": Dataset(list_imagenet_vid, IMAGENET_VID_SPLITS),
    "otb": Dataset(list_otb, OTB_SPLITS, {"otb100": 100}),
    "uav": Dataset(list_uav, UAV_SPLITS, {"uav123": 123, "uav20l": 20}),
    "nfs": Dataset(list_nfs, NFS_SPLITS, {"nfs30": 100}),
    "avist": Dataset(list_avist, AVIST_SPLITS, {"test": 120}),
    "tnl2k": Dataset(list_tnl2k, TNL2K_SPLITS, {"test": 700, "train": 1300}),
    "itb": Dataset(list_itb, ITB_SPLITS, {"test": 180}),
    "tc128": Dataset(list_tc128, TC128_SPLITS, {"tc128": 129, "ce": 78}),
    "dtb70": Dataset(list_dtb70, DTB70_SPLITS, {"test": 70}),
    "vot18": Dataset(partial(list_vot, "vot18", "vot2018"), ("vot2018",), {"vot2018": 60}),
    "vot20": Dataset(partial(list_vot, "vot20", "vot2020"), ("vot2020",), {"vot2020": 60}),
    "vot22": Dataset(partial(list_vot, "vot22", "vot2022"), ("vot2022",), {"vot2022": 62}),
    "own": Dataset(list_own, (OWN_SPLIT,)),
}


def check_dataset(name: str) -> None:
    """Raises ``ValueError`` for a name that is not in ``DATASETS``, with the nearest one."""
    if name not in DATASETS:
        raise ValueError(f"unknown dataset {name!r}; {suggest(name, DATASETS)}")


def find_dataset(name: str) -> Dataset:
    """The dataset of that name; ``ValueError`` for an unknown one."""
    check_dataset(name)
    return DATASETS[name]


def read_dataset(name: str, split: str, root: Path, cache: Path | None = None) -> list[Sequence]:
    """The sequences of a split of the dataset whose files lie in ``root``, read from its texts, without an index.

    ``ValueError`` for what cannot be read. Programs go through ``lib.data.stores.index.open_dataset``.
    ``cache``: as of ``lib.data.stores.source.Source``.
    """
    return [entry.read() for entry in find_dataset(name).entries(open_source(root, cache), split)]
