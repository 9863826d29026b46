"""PyTorch behind the interface of a network: what the graphs add to the model changes no bit of it."""

import numpy as np
import pytest
import torch
from eager_networks import network_of
from families import COVERING_PAIRS, TWINS, fresh, slow_but, tiny

from lib.geometry.grids import hann_window
from lib.inference.network import Found
from lib.inference.settings import TrackSettings
from lib.inference.torch_network import TorchNetwork, as_planes
from lib.models.base import Normalize


def crops(size: int, batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)


def boxes(batch: int) -> np.ndarray:
    return np.tile(np.array([[0.3, 0.3, 0.4, 0.4]], np.float32), (batch, 1))


def planes(pixels: np.ndarray) -> torch.Tensor:
    return Normalize()(as_planes(torch.from_numpy(pixels)))


@pytest.mark.parametrize(("family", "head"), slow_but(COVERING_PAIRS, *COVERING_PAIRS[::2]))
@torch.inference_mode()
def test_find_is_the_model_and_the_best_of_its_candidates(family, head):
    experiment = tiny(family, head)
    network = network_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)
    template, search = crops(experiment.template.size, 3), crops(experiment.search.size, 3, seed=1)
    state = network.encode(template, boxes(3))
    found = network.find(state, search)
    assert isinstance(found, Found) and found.boxes.dtype == found.scores.dtype == np.float32
    model = fresh(experiment)
    model.fold()
    own = model.encode_template(planes(template), torch.from_numpy(boxes(3)))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(state, own, strict=True))
    prediction = model.locate(own, planes(search))
    assert torch.equal(found.prediction.boxes, prediction.boxes)
    weighed = prediction.scores
    if experiment.test.tracker.window == "multiply" and weighed.shape[1] > 1:
        weighed = weighed * hann_window(int(weighed.shape[1] ** 0.5)).flatten()
    if experiment.test.tracker.window != "blend":
        assert found.cells.tolist() == weighed.argmax(dim=1).tolist()
    for row, cell in enumerate(found.cells):
        assert found.boxes[row].tolist() == prediction.boxes[row, cell].tolist()
        assert found.scores[row] == float(prediction.scores[row, cell])


@pytest.mark.parametrize(("family", "precision"), [*((family, "bf16") for family in TWINS), ("transt", "fp16")])
def test_weights_cast_once_are_those_that_autocast_casts_in_every_call(family, precision):
    experiment = tiny(family)
    network = network_of(fresh(experiment), experiment.template, experiment.search, precision=precision)
    template, search = crops(experiment.template.size, 2), crops(experiment.search.size, 2, seed=1)
    found = network.find(network.encode(template, boxes(2)), search)
    model, dtype = fresh(experiment), {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    model.fold()
    with torch.inference_mode(), torch.autocast("cpu", dtype):
        prediction = model(planes(template), torch.from_numpy(boxes(2)), planes(search))
    # Processors without units for fp16 add up a convolution in another order where its weights are channels-last.
    bound = {"bf16": 0.0, "fp16": 1e-3}[precision]
    torch.testing.assert_close(found.prediction.boxes, prediction.boxes, rtol=0, atol=bound)
    torch.testing.assert_close(found.prediction.scores, prediction.scores, rtol=0, atol=bound)
    cast = [name for name, value in network.model.named_parameters() if value.dtype == dtype]
    assert cast and not [name for name in cast if name.startswith("box_head.")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        ("ostrack", ("model.elimination.blocks=[1]",)),  # it sorts and gathers tokens
        ("simtrack", ()),  # a softmax and its largest value, where a compiled choice was wrong
    ],
)
def test_a_compiled_network_finds_what_the_eager_one_finds(family, overrides):
    """Each of these takes minutes; `make gpu` compiles every family."""
    experiment = tiny(family, None, "model.backbone.depth=2", *overrides)
    settings = TrackSettings(template=experiment.template, search=experiment.search, tracker=experiment.test.tracker)
    eager, compiled = (TorchNetwork(fresh(experiment), settings, compiled=flag) for flag in (False, True))
    template, search = crops(experiment.template.size, 2), crops(experiment.search.size, 2, seed=1)
    expected = eager.find(eager.encode(template, boxes(2)), search)
    state = compiled.encode(template, boxes(2))
    for rows in (2, 1):
        found = compiled.find(state, search[:rows])
        np.testing.assert_allclose(found.boxes, expected.boxes[:rows], rtol=0, atol=1e-4)
        np.testing.assert_allclose(found.scores, expected.scores[:rows], rtol=0, atol=1e-4)


def test_a_graph_is_captured_on_cuda_alone():
    experiment = tiny("grm")
    settings = TrackSettings(template=experiment.template, search=experiment.search)
    with pytest.raises(ValueError, match="--capture"):
        TorchNetwork(fresh(experiment), settings, "cpu", captured=True)
