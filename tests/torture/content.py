"""What a run left on the disk, by name, as digests that two runs of the same command share."""

import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import lmdb
import torch

# The content of these belongs to one run (seconds, process numbers); only their names are compared.
OF_ONE_RUN = ("_time.txt", "manifest.json", "lock.mdb")
# The names in TensorBoard's folder hold moment and process; in the folder of temporary files (Torture._place) libraries
# leave theirs.
SKIPPED = {"tensorboard", "tmp"}


def snapshot(folder: Path) -> dict[str, str]:
    """The digest of every file below ``folder``, and "" for every folder, by relative path."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
    return {
        str(name): _content(path) if path.is_file() else ""
        for name, path in paths.items()
        if not SKIPPED & set(name.parts)
    }


def digest(*values: Any) -> str:
    """Of plain types, arrays and tensors, nested in any way."""
    summed = hashlib.sha256()
    _feed(summed, values)
    return summed.hexdigest()


def _feed(summed: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, dict):
        value = sorted(value.items(), key=lambda item: str(item[0]))
    if isinstance(value, (list, tuple)):
        summed.update(b"%d parts:" % len(value))
        for part in value:
            _feed(summed, part)
    elif hasattr(value, "tobytes"):
        summed.update(f"{value.dtype} {value.shape}:".encode() + value.tobytes())
    else:
        summed.update(f"{value!r};".encode())


def _content(file: Path) -> str:
    if file.name.endswith(OF_ONE_RUN):
        return "of one run"
    if file.suffix == ".pth":
        return digest(torch.load(file, weights_only=True))
    if file.name == "score.json":
        return digest(json.loads(file.read_text()) | {"source": "", "manifest": {}, "seconds_per_frame": None})
    if file.name == "log.jsonl":
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        # How often a part of an epoch is reported depends on the stops (lib.training.progress).
        return digest([line | {"pairs_per_second": 0} for line in lines if line["kind"] != "data"])
    if file.name == "data.mdb":
        # Batches, and with them pages and records (keys that begin with NUL), depend on the stops.
        with closing(lmdb.open(str(file.parent), readonly=True, lock=False)) as store, store.begin() as transaction:
            return digest([item for item in transaction.cursor() if not item[0].startswith(b"\0")])
    return digest(file.read_bytes())
