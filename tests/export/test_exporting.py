"""Exports that are made, equal to eager, and those that are refused or fail and leave nothing behind."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from families import TWINS

from lib.export import exporting, parity
from lib.export.exported import check_openvino_precision, open_network
from lib.export.exporting import check_folder, check_form, export_network, export_programs, write_network
from lib.export.parity import ParityError
from lib.export.record import ExportError, Origin
from tests.export.toy_exports import DECISIVE, PYRAMIDS, network_of, toy_network, twin

ORIGIN = Origin(experiment="toy")
FAMILIES = [(name,) for name in (*TWINS, *PYRAMIDS)]
# The ways in which a family can compute otherwise, beside its sizes.
ABLATIONS = [
    ("ostrack", "model.elimination=null"),
    ("grm", "model.division.relation=one_stream"),
    ("grm", "model.division.relation=two_stream"),
    ("grm", "model.head.kind=corner"),
    ("simtrack", "model.backbone.exemplar_position=image"),
    ("simtrack", "model.backbone.one_way=true"),
    ("simtrack", "model.decoder_layers=1"),
    ("transt", "model.fusion.ego_context=false"),
]
# Ablations with operations that no family has by default, each in one of the two runtimes.
OF_OTHER_OPERATIONS = [
    ("ostrack", "model.elimination.template=box", "openvino"),
    ("grm", "model.division.softmax=published", "openvino"),
    ("grm", "model.division.ratio=0.4", "onnx"),
    ("transt", "model.fusion.cross_feature=false", "onnx"),
    ("transt", "model.fusion.kind=transformer", "onnx"),
]


@pytest.fixture
def short_scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fifth of the frames that networks are compared on."""
    monkeypatch.setattr(parity, "SCENE_FRAMES", 20)
    parity._scene.cache_clear()
    yield
    parity._scene.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("variant", [("grm",), *ABLATIONS], ids=" ".join)
@torch.no_grad()
def test_programs_equal_eager_to_the_bit(variant):
    """Those of the other families and ablations are compared below, as files."""
    network = network_of(twin(*variant))
    encode, find, _ = export_programs(network, 2)
    generator = torch.Generator().manual_seed(3)
    template, search = (
        torch.from_numpy(
            torch.randint(0, 256, (rows, crop.size, crop.size, 3), generator=generator).numpy().astype(crop.dtype)
        )
        for rows, crop in ((1, network.settings.template), (2, network.settings.search))
    )
    box = torch.tensor([[0.3, 0.2, 0.4, 0.5]])
    state = network.encode(template.numpy(), box.numpy())
    for leaf, expected in zip(encode.module()(template, box), state, strict=True):
        assert torch.equal(leaf, expected)
    rows = tuple(torch.cat([leaf, leaf]) for leaf in state)
    found = network.find(rows, search.numpy())
    best = find.module()(search, *(leaf.clone() for leaf in rows)).numpy()
    assert np.array_equal(best, np.column_stack([found.boxes, found.scores, found.cells]).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [*((*each, runtime) for each in FAMILIES for runtime in ("onnx", "openvino")), *OF_OTHER_OPERATIONS],
    ids=" ".join,
)
def test_every_network_is_exported_within_the_bounds_of_fp32(case, tmp_path, short_scene):
    *variant, runtime = case
    report = export_network(network_of(twin(*variant)), tmp_path / "folder", runtime, "fp32", 3, ORIGIN, threads=1)
    assert report.summary()["same_cell"] == 1
    assert report.summary()["pixels"] < 0.01


def needs_bf16() -> None:
    try:
        check_openvino_precision("bf16", "this test")
    except ExportError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "runtime", "precision", "overlap"),
    [
        ("grm", "openvino", "bf16", 0.99),
        ("ostrack", "openvino", "bf16", 0.99),
        ("ostrack", "onnx", "int8", 0.99),
        ("grm", "onnx", "fp16", 0.999),
    ],
)
def test_reduced_precisions_are_reduced_and_within_their_bounds(
    family, runtime, precision, overlap, tmp_path, short_scene
):
    if precision == "bf16":
        needs_bf16()
    network = network_of(twin(family, *DECISIVE))
    report = export_network(network, tmp_path / "folder", runtime, precision, 2, ORIGIN, threads=1)
    summary = report.summary()
    assert summary["same_cell"] == 1
    assert summary["median_overlap"] > overlap
    assert summary["pixels"] > 1e-3
    assert open_network(tmp_path / "folder", threads=1).record.parity == summary
    if runtime == "onnx":
        whole = sum(parameter.numel() for parameter in network.model.parameters()) * 4
        assert (tmp_path / "folder" / "find.onnx").stat().st_size < 0.8 * whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grm", "lite", "simtrack", "stark_sv", "swin"])
def test_openvino_computes_the_heads_of_convolutions_in_fp32(name, tmp_path):
    import openvino

    needs_bf16()
    write_network(network_of(twin(name)), tmp_path, "openvino", "bf16", 2, ORIGIN)
    model = openvino.Core().compile_model(tmp_path / "find.xml", "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    layers = [layer.get_rt_info() for layer in model.get_runtime_model().get_ordered_ops()]
    kinds = ("Convolution", "FullyConnected", "MatMul")
    products = [layer["runtimePrecision"].astype(str) for layer in layers if layer["layerType"].astype(str) in kinds]
    assert products.count("f32") >= 4, products
    assert products.count("bf16") >= 8, products


@pytest.mark.parametrize(
    ("runtime", "precision", "remedy"),
    [("onnx", "bf16", "--format openvino"), ("openvino", "fp16", "bf16"), ("openvino", "int8", "--format onnx")],
)
def test_forms_that_make_no_sense_are_refused(runtime, precision, remedy):
    with pytest.raises(ExportError, match=f"--format {runtime} --precision {precision}: .*{remedy}"):
        check_form(runtime, precision)


@pytest.mark.parametrize(
    ("kinds", "head", "start"),
    [
        ("Convolution MVN MatMul Add Convolution Result", torch.nn.Conv2d(1, 1, 1), 2),
        ("MatMul Convolution Add Convolution ReLU Convolution Result", torch.nn.Conv2d(1, 1, 1), 5),
        ("MatMul Add MatMul MatMul Result", torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)), 2),
    ],
)
def test_the_head_begins_after_the_last_norm_or_at_its_first_product(kinds, head, start):
    assert exporting._head_start(kinds.split(), head) == start


@pytest.mark.slow
def test_int8_of_a_network_of_convolutions_is_refused(tmp_path):
    with pytest.raises(ExportError, match="--precision int8: .* by convolutions, which int8 leaves in float32; take"):
        write_network(network_of(twin("lite")), tmp_path, "onnx", "int8", 1, ORIGIN)


def test_libraries_that_are_missing_are_named_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name.startswith("onnx") else name)
    check_form("openvino", "fp32")
    with pytest.raises(ExportError, match="onnx, onnxscript, onnxruntime not installed; pip install onnx onnx"):
        check_form("onnx", "fp32")


def test_a_folder_that_is_not_empty_stays_as_it_is(network, tmp_path):
    (tmp_path / "mine").mkdir()
    check_folder(tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="is there already and not empty; remove it, or name another with --out"):
        export_network(network, tmp_path / "mine", "openvino", "fp32", 1, ORIGIN)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes.txt"]


@pytest.mark.slow
def test_a_network_with_other_boxes_leaves_no_folder(network, tmp_path, monkeypatch):
    other = toy_network(tmp_path, seed=1)
    monkeypatch.setattr(exporting, "export_programs", lambda _, batch: export_programs(other, batch))
    (tmp_path / "here").mkdir()
    with pytest.raises(ParityError, match="refused, a box is .* pixels from eager's, 0.05 are allowed"):
        export_network(network, tmp_path / "here" / "folder", "openvino", "fp32", 1, ORIGIN, threads=1)
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.slow
def test_an_export_that_is_stopped_leaves_no_folder(network, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_write_openvino", stop)
    with pytest.raises(KeyboardInterrupt):
        export_network(network, tmp_path / "folder", "openvino", "fp32", 1, ORIGIN)
    assert list(tmp_path.iterdir()) == []
