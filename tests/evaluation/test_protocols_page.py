"""The numbers of docs/protocols.md are what the protocols give, and its defaults are the benchmarks'."""

import re
from pathlib import Path

import numpy as np
import pytest

from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.metrics.protocols import PROTOCOLS, Annotation

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
GOLDEN = np.load(ROOT / "tests" / "reference" / "metrics.golden.npz", allow_pickle=False)
WIDTH, HEIGHT = GOLDEN["image_size"].tolist()
ACCEPTED = (
    "good", "drift", "loss", "tiny", "zero_pred", "absent", "out_of_image", "gt_nonpositive", "exact_thresholds",
    "all_lost",
)  # fmt: skip
ROWS = re.findall(r"^\| `([\w-]+)` \| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.M)


def set_values(protocol: str, benchmark: str, names: tuple[str, ...] = ACCEPTED, whole_numbers: bool = False):
    chosen = PROTOCOLS[protocol]
    curves = []
    for name in names:
        absent = (GOLDEN[f"seq.{name}.full_occlusion"] | GOLDEN[f"seq.{name}.out_of_view"]).astype(bool)
        boxes, cover, predicted = (GOLDEN[f"seq.{name}.{part}"] for part in ("gt", "cover", "pred"))
        annotation = Annotation(benchmark, boxes, absent, cover, (WIDTH, HEIGHT))
        curves.append(chosen.score(annotation, np.trunc(predicted) if whole_numbers else predicted))
    return {name: 100 * value for name, value in chosen.values(chosen.join(curves)).items()}


def test_every_protocol_stands_in_the_table():
    assert {row[0] for row in ROWS} == set(PROTOCOLS) - {"got10k"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_a_row_of_the_table(row):
    protocol, benchmark, *numbers = row
    values = set_values(protocol, benchmark)
    assert numbers == [f"{values[name]:.2f}" for name in ("AUC", "P", "Pnorm")]


def test_the_numbers_in_the_text():
    values = set_values("got10k", "got10k_val")
    assert f"AO {values['AO']:.2f}, SR0.5 {values['SR0.5']:.2f} and SR0.75 {values['SR0.75']:.2f}" in PAGE
    exact, cut = (set_values("ostrack", "otb", ("tiny",), whole)["AUC"] for whole in (False, True))
    assert f"from {exact:.1f} to {cut:.1f}" in PAGE


def test_the_defaults_are_those_of_the_benchmarks():
    lines = re.findall(r"^\| `([\w-]+)` \| [^|]+\| ([^|]*)\|$", PAGE, re.M)
    stated = {name: set(re.findall(r"`([\w]+)`", cell)) for name, cell in lines if name in PROTOCOLS}
    actual = {name: {key for key, entry in BENCHMARKS.items() if entry.protocol == name} for name in PROTOCOLS}
    assert stated == actual
