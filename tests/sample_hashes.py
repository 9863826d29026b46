"""Digests of the training samples that each experiment draws from miniature datasets, and the record of them.

``python tests/sample_hashes.py`` writes ``tests/reference/sample_hashes.json`` anew. It is done only when samples are
meant to change; a recipe that is published must not.
"""

import hashlib
import json
import tempfile
from pathlib import Path

from listed_sequences import ListedSequences
from miniatures import write_coco, write_got10k, write_lasot, write_trackingnet
from one_sequence import read_dataset

from lib.data.batch import Batch
from lib.data.pairs import Pairs, SourceConfig
from lib.data.pools import Pool
from lib.experiment.config import EXPERIMENTS, ExperimentConfig, load_experiment

RECORD = Path(__file__).parent / "reference" / "sample_hashes.json"
# How many samples a digest covers: the first for a quick test, the second for a slow one.
COUNTS = (8, 500)
# The split of a miniature that takes the place of each of the published ones.
SPLITS = {"got10k": "full", "lasot": "full", "trackingnet": "train_0-3", "coco": "train2017"}


def write_miniatures(root: Path) -> Path:
    """The datasets that published recipes train on, in folders of their names."""
    write_got10k(root / "got10k", "train", [20, 25, 31])
    write_lasot(root / "lasot", {"airplane-1": 20, "bear-2": 40})
    # Long enough for the rule of every 30th frame.
    write_trackingnet(root / "trackingnet", {f"TRAIN_{chunk}": {f"video_{chunk}": 121} for chunk in range(4)})
    write_coco(root / "coco", images=5)
    return root


def build_miniature_pairs(experiment: ExperimentConfig, root: Path) -> Pairs:
    """The pairs of an experiment, drawn from the miniatures in ``root``."""

    def pool(source: SourceConfig) -> Pool:
        sequences = ListedSequences(read_dataset(source.name, SPLITS[source.name], root / source.name))
        return Pool(sequences, source.weight, source.annotated_every)

    pools = [pool(source) for source in experiment.data.train]
    return Pairs(experiment.data, pools, experiment.template, experiment.search, experiment.seed)


def digests(pairs: Pairs, counts: tuple[int, ...]) -> list[str]:
    """A digest of the first samples for each of ``counts`` (ascending)."""
    digest, found = hashlib.sha256(), []
    for number in range(counts[-1]):
        digest.update(_content(pairs.sample(number)))
        if number + 1 in counts:
            found.append(digest.hexdigest()[:24])
    return found


def hash_experiments(names: list[str], root: Path, counts: tuple[int, ...]) -> dict[str, list[str]]:
    """``digests`` of each experiment; those that draw alike are computed once."""
    known: dict[str, list[str]] = {}
    found = {}
    for name in names:
        experiment = load_experiment(name)
        key = experiment.model_dump_json(include={"data", "template", "search", "seed"})
        if key not in known:
            known[key] = digests(build_miniature_pairs(experiment, root), counts)
        found[name] = known[key]
    return found


def _content(sample: Batch) -> bytes:
    arrays = (sample.template, sample.template_box, sample.search, sample.search_box)
    gains = sample.template_gain, sample.search_gain
    reasons = [reason.partition(": ")[2] for reason in (*sample.damaged, *sample.empty)]
    words = json.dumps([*sample.sources, reasons, sample.missed])
    return b"".join((*(array.numpy().tobytes() for array in (*arrays, *gains)), words.encode()))


def main() -> None:
    """Write the record."""
    files = sorted(file.stem for file in EXPERIMENTS.glob("*.yaml") if not file.name.startswith("paths."))
    # The miniatures have no masks to cut objects out by.
    names = [name for name in files if not any(source.cutouts for source in load_experiment(name).data.train)]
    with tempfile.TemporaryDirectory() as folder:
        found = hash_experiments(names, write_miniatures(Path(folder)), COUNTS)
    RECORD.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
