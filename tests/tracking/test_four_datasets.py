"""The published recipe starts on a machine that has the four datasets, with nothing edited but paths.yaml."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from miniatures import write_coco, write_frames, write_got10k, write_lasot, write_trackingnet

from lib.data.datasets.annotations import package_names

PROGRAM = Path(__file__).parents[2] / "tracking" / "train.py"
# The recipe's network and data as they are; only so much of it as a test can wait for, and no foreign weights.
A_STEP = (
    "model.pretrained=none", "data.samples_per_epoch=8", "data.val_samples=2", "data.workers=1", "train.epochs=1",
    "train.global_batch=2", "train.group_batch=2", "train.log_every=1",
)  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path) -> Path:
    """A paths.yaml with the four datasets at their published numbers of sequences, most of them links to one."""
    write_lasot(tmp_path / "lasot", {"airplane-1": 20})
    names = package_names("lasot_train.txt")
    for name in names:
        folder = tmp_path / "lasot" / name.split("-")[0]
        folder.mkdir(exist_ok=True)
        if not (folder / name).exists():
            (folder / name).symlink_to(tmp_path / "lasot" / "airplane" / "airplane-1")

    write_got10k(tmp_path / "got10k", "train", [20])
    write_got10k(tmp_path / "got10k", "val", [20, 20])
    train = tmp_path / "got10k" / "train"
    names = [f"GOT-10k_Train_{number:06d}" for number in range(1, 9336)]
    for name in names[1:]:
        (train / name).symlink_to(train / names[0])
    (train / "list.txt").write_text("\n".join(names) + "\n")

    chunks = {f"TRAIN_{chunk}": {f"video_{chunk}_0": 20} for chunk in range(12)}
    write_trackingnet(tmp_path / "trackingnet", chunks)
    boxes = write_frames(tmp_path / "shared_frames", "%d.jpg", 0, 121)
    for chunk, (video,) in chunks.items():
        # Long enough for the rule of every 30th frame.
        (tmp_path / "trackingnet" / chunk / "frames" / f"long_{video}").symlink_to(tmp_path / "shared_frames")
        rows = "".join(",".join(f"{value:g}" for value in row) + "\n" for row in boxes)
        (tmp_path / "trackingnet" / chunk / "anno" / f"long_{video}.txt").write_text(rows)

    write_coco(tmp_path / "coco", images=3)
    file = tmp_path / "paths.yaml"
    data = "".join(f"  {name}: {name}\n" for name in ("lasot", "got10k", "trackingnet", "coco"))
    file.write_text(f"data:\n{data}output: output\ncache: cache\n")
    return file


def train(paths: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKING_")}
    variables = kept | {"TRACKING_PATHS": str(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), "--config", "grm_vitb", "--device", "cpu", *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_grm_vitb_trains_on_the_four_datasets_together(paths: Path) -> None:
    ended = train(paths, *A_STEP)
    assert ended.returncode == 0, ended.stderr
    for found in (
        "lasot: pairs are drawn from 1120 of 1120 sequences",
        "got10k: pairs are drawn from 7086 of 7086 sequences",
        "coco: pairs are drawn from 5 of 5 sequences",
        "trackingnet: pairs are drawn from 12 of 24 sequences",
        "got10k: pairs are drawn from 2 of 2 sequences",
    ):
        assert found in ended.stderr
    records = [
        json.loads(line) for line in (paths.parent / "output" / "grm_vitb" / "log.jsonl").read_text().splitlines()
    ]
    assert [record["step"] for record in records if record["kind"] == "train"] == [1, 2, 3, 4]
    assert [record["pairs"] for record in records if record["kind"] == "data"] == [8, 2]
    assert (paths.parent / "output" / "grm_vitb" / "checkpoints" / "last.pth").is_file()


@pytest.mark.slow
def test_what_is_missing_is_named_all_at_once(paths: Path) -> None:
    """The weights, and a dataset whose line is not there."""
    paths.write_text(paths.read_text().replace("  coco: coco\n", ""))
    ended = train(paths)
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "data.coco: not set" in errors[0] and "paths.yaml" in errors[0]
    assert "mae_pretrain_vit_base.pth" in errors[1]
