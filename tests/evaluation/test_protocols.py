"""Each protocol equals its toolkit on every recorded sequence, bad input and refusals included; no two are the same."""

from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from lib.evaluation.metrics.protocols import PROTOCOLS, TORCH, Annotation, Curves, MetricError

GOLDEN = np.load(Path(__file__).parents[1] / "reference" / "metrics.golden.npz", allow_pickle=False)
NAMES = GOLDEN["names"].tolist()
WIDTH, HEIGHT = GOLDEN["image_size"].tolist()

THREE = {"success": "success", "precision": "precision", "norm_precision": "norm_precision"}
TOOLKIT = {"success": "success_curve", "precision": "precision_curve"}


class Recorded(NamedTuple):
    """Where the recording of a protocol on a benchmark lies: array prefix, arrays of the curves, their unit, and the
    tolerance: percent of the float32 toolkits to 1e-4 points, the rest to rounding."""

    protocol: str
    benchmark: str
    prefix: str
    curves: dict[str, str]
    unit: float = 1.0
    tolerance: float = 1e-12
    flags: bool = True


def family(protocol: str, benchmark: str, prefix: str) -> Recorded:
    return Recorded(protocol, benchmark, f"pt.{prefix}", THREE, 100.0, 1e-4)


CONVENTIONS = {"lasot": "lasot", "lasot_extension_subset": "lasot_ext", "uav": "uav", "otb": "otb"}
RECORDED = [
    Recorded("lasot", "lasot", "lasot_matlab", THREE),
    *(family("pytracking", name, f"pytracking.{short}.default") for name, short in CONVENTIONS.items()),
    *(family("ostrack", name, f"ostrack.{short}.default") for name, short in CONVENTIONS.items()),
    *(family("grm", name, f"ostrack.{short}.exclude_invalid") for name, short in CONVENTIONS.items()),
    family("pytracking", "avist", "pytracking.avist.default"),
    family("ostrack", "avist", "ostrack.avist.default"),
    family("grm", "avist", "grm.avist.avist"),
    Recorded("got10k", "got10k_val", "got10k.got10k", {"success": "succ_curve"}),
    Recorded("got10k-otb", "otb", "got10k.otb", TOOLKIT),
    Recorded("got10k-otb", "nfs", "got10k.otb", TOOLKIT),
    Recorded("got10k-otb", "trackingnet", "got10k.trackingnet", TOOLKIT),
    Recorded("got10k-otb", "uav", "got10k.uav123", TOOLKIT),
    Recorded("got10k-otb", "lasot", "got10k.lasot", TOOLKIT | {"norm_precision": "normalized_precision_curve"}),
    Recorded(
        "trackingnet", "trackingnet", "tn",
        {"success": "Success", "precision": "Precision", "norm_precision": "NPrecision"},
    ),
    Recorded("pysot", "lasot", "pysot.with_absent", THREE),
    Recorded("pysot", "otb", "pysot.plain", THREE, flags=False),
]  # fmt: skip


def annotation(name: str, benchmark: str, flags: bool = True) -> Annotation:
    absent = (GOLDEN[f"seq.{name}.full_occlusion"] | GOLDEN[f"seq.{name}.out_of_view"]).astype(bool)
    boxes, cover = GOLDEN[f"seq.{name}.gt"], GOLDEN[f"seq.{name}.cover"]
    boxes.flags.writeable = False
    return Annotation(benchmark, boxes, absent if flags else None, cover, (WIDTH, HEIGHT))


def predicted(name: str) -> np.ndarray:
    boxes = GOLDEN[f"seq.{name}.pred"]
    boxes.flags.writeable = False
    return boxes


def score(entry: Recorded, name: str) -> Curves | None:
    try:
        return PROTOCOLS[entry.protocol].score(annotation(name, entry.benchmark, entry.flags), predicted(name))
    except MetricError:
        return None


def refusal(entry: Recorded, row: int) -> str:
    return str(GOLDEN[f"{entry.prefix}.error"][row]) if f"{entry.prefix}.error" in GOLDEN else ""


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: f"{entry.protocol}-{entry.benchmark}")
def test_a_sequence_scores_as_recorded_or_is_refused_as_recorded(entry: Recorded) -> None:
    for row, name in enumerate(NAMES):
        curves = score(entry, name)
        assert (curves is None) == bool(refusal(entry, row)), name
        if curves is not None:
            for ours, theirs in entry.curves.items():
                recorded, found = GOLDEN[f"{entry.prefix}.{theirs}"][row], getattr(curves, ours) * entry.unit
                np.testing.assert_allclose(found, recorded, rtol=0, atol=entry.tolerance, err_msg=f"{name} {ours}")


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: f"{entry.protocol}-{entry.benchmark}")
def test_a_set_scores_as_recorded(entry: Recorded) -> None:
    """Over the sequences that the toolkit itself put together."""
    key = f"{entry.prefix}.overall.names"
    names = GOLDEN[key].tolist() if key in GOLDEN else NAMES
    protocol = PROTOCOLS[entry.protocol]
    joined = protocol.join([score(entry, name) for name in names])
    for ours, theirs in entry.curves.items():
        recorded = GOLDEN[f"{entry.prefix}.overall.{theirs}"]
        np.testing.assert_allclose(getattr(joined, ours) * entry.unit, recorded, rtol=0, atol=entry.tolerance)
    recorded = overall_scores(entry)
    values = protocol.values(joined)
    for name, value in recorded.items():
        assert values[name] * entry.unit == pytest.approx(value, abs=max(entry.tolerance, 1e-9)), name


def overall_scores(entry: Recorded) -> dict[str, float]:
    """The toolkit's own numbers for the set, by our names."""
    numbers = GOLDEN[f"{entry.prefix}.overall.scores"].tolist()
    if entry.prefix.startswith("pt."):
        names = ("AUC", "OP50", "OP75", "P", "Pnorm")
        return dict(zip(names, numbers, strict=False))
    if entry.protocol == "lasot":
        return dict(zip(("AUC", "OP50", "OP75", "P", "Pnorm"), numbers, strict=True))
    if entry.protocol == "pysot":
        return dict(zip(("AUC", "P", "Pnorm"), numbers, strict=True))
    if entry.protocol == "got10k":
        columns = GOLDEN["got10k.got10k.score_columns"].tolist()
        ours = {"ao": "AO", "sr50": "SR0.5", "sr75": "SR0.75"}
        return {ours[column]: number for column, number in zip(columns, numbers, strict=True)}
    if entry.protocol == "trackingnet":
        return {"AUC": numbers[1] / 100, "P": numbers[2] / 100, "Pnorm": numbers[3] / 100}
    columns = GOLDEN[f"{entry.prefix}.score_columns"].tolist()
    ours = {
        "success_score": "AUC",
        "precision_score": "P",
        "success_rate": "OP50",
        "normalized_precision_score": "Pnorm",
    }
    return {ours[column]: number for column, number in zip(columns, numbers, strict=True)}


def test_got10k_scores_of_each_sequence_are_the_toolkits_nan_included() -> None:
    entry = next(entry for entry in RECORDED if entry.protocol == "got10k")
    for row, name in enumerate(NAMES):
        curves = score(entry, name)
        if curves is not None:
            values = PROTOCOLS["got10k"].values(curves)
            recorded = GOLDEN["got10k.got10k.scores"][row]
            np.testing.assert_allclose([values["AO"], values["SR0.5"], values["SR0.75"]], recorded, rtol=0, atol=1e-12)


def main_scores(protocol: str, name: str) -> dict[str, float]:
    """As LaSOT's; empty where the protocol refuses the sequence."""
    curves = score(Recorded(protocol, "lasot", "", {}), name)
    values = {} if curves is None else PROTOCOLS[protocol].values(curves)
    return values | {"main": next(iter(values.values()), np.nan)}


def test_any_two_protocols_differ_on_a_recorded_sequence() -> None:
    """By more than a percent point in a score of the same name or in their main one."""
    scores = {protocol: [main_scores(protocol, name) for name in NAMES] for protocol in PROTOCOLS}
    for one, other in combinations(PROTOCOLS, 2):
        pairs = zip(scores[one], scores[other], strict=True)
        assert any(abs(a[key] - b[key]) > 0.01 for a, b in pairs for key in a.keys() & b.keys()), (one, other)


NOTES = {
    ("lasot", "pred_longer"): "1 surplus row(s) cut",
    ("lasot", "nan_pred"): "row(s) that are no box replaced by the row before",
    ("ostrack", "zero_pred"): "row(s) without size replaced by the row before",
    ("trackingnet", "pred_shorter"): "1 missing row(s) are misses",
    ("got10k-otb", "pred_shorter"): "1 annotated frame(s) without a row left out",
    ("got10k", "nan_pred"): "overlap(s) that are not a number",
}


@pytest.mark.parametrize(("protocol", "name"), NOTES)
def test_what_a_rule_did_to_the_rows_is_said(protocol: str, name: str) -> None:
    curves = PROTOCOLS[protocol].score(annotation(name, "otb"), predicted(name))
    assert any(NOTES[protocol, name] in f"{count} {words}" for count, words in curves.notes)
    assert PROTOCOLS[protocol].score(annotation("good", "otb"), predicted("good")).notes == ()


def test_a_set_of_empty_curves_has_scores_of_zero_by_lasots_protocol() -> None:
    empty = Curves(np.zeros(21), np.zeros(51), np.zeros(51))
    joined = PROTOCOLS["lasot"].join([empty, empty])
    assert joined.success.shape == (21,) and not any(PROTOCOLS["lasot"].values(joined).values())


@pytest.mark.parametrize(("thresholds", "end", "step"), [
    (TORCH["success"], 1.05, 0.05),
    (TORCH["norm_precision"], 0.51, 0.01),
])  # fmt: skip
def test_thresholds_that_torch_counts_are_equal_to_the_bit(thresholds, end, step) -> None:
    counted = torch.arange(0, end, step, dtype=torch.float64).numpy()
    if "AVX" in torch.backends.cpu.get_cpu_capability():
        np.testing.assert_array_equal(thresholds, counted)
    np.testing.assert_array_max_ulp(thresholds, counted, maxulp=1)
