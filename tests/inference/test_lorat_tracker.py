"""LoRAT's tracker against the recorded steps of the public code: made-up answers, forced boxes, the whole network."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lorat_weights import built, filled
from recorded_frames import texture
from reference_weights import REFERENCE, image_tensor
from torchvision.ops import box_convert

from lib.geometry.crop import CropConfig
from lib.geometry.grids import hann_window_to_zero, touched_cells
from lib.inference.network import Found
from lib.inference.settings import TrackerConfig, TrackSettings
from lib.inference.torch_network import FindGraph, TorchNetwork
from lib.inference.tracker import Tracker
from lib.models.base import IMAGE_MEAN, IMAGE_STD
from lib.models.heads.distance import DistancePrediction
from lib.models.weights.released import load_released

RECORDED = np.load(REFERENCE / "lorat_tracker.golden.npz", allow_pickle=False)
CASES = ("interior", "bottomleft", "topright", "small")
TRACKER = TrackerConfig(window="blend", penalty=0.45, clip="inside", clip_margin=10)


def settings(size: int) -> TrackSettings:
    common = {"context": "perimeter", "fill": "mean", "placement": "aligned"}
    template = CropConfig(size=112 if size == 224 else 196, factor=2.0, **common)
    search = CropConfig(size=size, factor=4.0 if size == 224 else 5.0, **common)
    return TrackSettings(template=template, search=search, tracker=TRACKER)


def xyxy(box: np.ndarray) -> np.ndarray:
    return np.concatenate([box[:2], box[:2] + box[2:]])


class MadeUp:
    """A network that answers the recorded rule of a case, step by step, for any crop."""

    batch, suggested_batch, name, device = None, 1, "made up", "cpu"

    def __init__(self, kind: str, case: str, size: int) -> None:
        self.settings, self.kind, self.case, self.grid, self.step = settings(size), kind, case, size // 14, 0
        self.find_graph = FindGraph(SimpleNamespace(box_head=SimpleNamespace(candidates=self.grid**2)), TRACKER)

    def encode(self, crops: np.ndarray, boxes: np.ndarray) -> tuple[Any, ...]:
        self.template, self.box = crops[0], boxes
        return (np.zeros((1, 1)),)

    def find(self, state: tuple[Any, ...], crops: np.ndarray) -> Found:
        self.step += 1
        grid = self.grid
        if self.kind == "forced":
            logits = torch.full((1, grid, grid), -4.0)
            logits[0, 8, 7] = 3
            place = list(RECORDED["forced.case_names"]).index(self.case)
            corners = torch.from_numpy(RECORDED["forced.network_boxes"][place, self.step - 1]).expand(1, grid * grid, 4)
        else:
            made = image_tensor((1, 5, grid, grid), f"lorat_post:{self.case}:{self.step}", 0)
            line = (torch.arange(grid, dtype=torch.float32) + 0.5) / grid
            centers = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
            before, behind = (made[:, 1:5] - 2).sigmoid().permute(0, 2, 3, 1).split(2, dim=-1)
            logits, corners = 3 * made[:, 0], torch.cat([centers - before, centers + behind], dim=-1).flatten(1, 2)
        scores = logits.flatten(1)
        prediction = DistancePrediction(box_convert(corners, "xyxy", "cxcywh"), scores.sigmoid(), scores, corners, {})
        best = self.find_graph.choose(prediction).numpy()
        return Found(best[:, :4], best[:, 4], best[:, 5].astype(np.int64), prediction)


def normalized(pixels: np.ndarray) -> np.ndarray:
    return (pixels / 255 - np.array(IMAGE_MEAN)) / np.array(IMAGE_STD)


def check_step(tag: str, case: str, step: int, before: np.ndarray, result: Any, bounds: SimpleNamespace) -> None:
    key = f"{tag}.{case}.step{step}"
    np.testing.assert_allclose(xyxy(before), RECORDED[f"{key}.box_in"], atol=bounds.box)
    found = np.array(result.view.window.mapping, dtype=np.float32)
    np.testing.assert_allclose(found, RECORDED[f"{key}.adjusted"], rtol=1e-6)
    assert result.found.cells[result.row] == RECORDED[f"{key}.best_index"]
    assert result.score == pytest.approx(float(RECORDED[f"{key}.confidence"]), abs=bounds.score)
    # What is reported is what is kept: the published tracker also reports boxes that are empty or inverted.
    np.testing.assert_allclose(xyxy(result.box), RECORDED[f"{key}.box_next"], atol=bounds.box)
    reported = RECORDED[f"{key}.result_box"]
    if (reported[:2] < reported[2:]).all():
        np.testing.assert_allclose(xyxy(result.box), reported, atol=bounds.box)
    if f"{key}.search_excerpt" in RECORDED:
        excerpt = normalized(result.view.pixels)[::16, ::16]
        assert np.abs(excerpt - RECORDED[f"{key}.search_excerpt"]).max() < 5e-4


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("tag", "size", "steps"), [("post", 224, 3), ("post378", 378, 2), ("forced", 224, 3)])
def test_steps_with_made_up_answers_equal_the_recorded(tag, size, steps, case):
    network = MadeUp(tag, case, size)
    tracker = Tracker(network)
    x1, y1, x2, y2 = RECORDED[f"{case}.init_box_xyxy"]
    tracker.init(texture(0), [x1, y1, x2 - x1, y2 - y1])
    grid = network.template.shape[0] // 14
    mask = touched_cells(torch.from_numpy(network.box), grid).numpy().reshape(grid, grid)
    assert np.array_equal(mask, RECORDED[f"{tag}.{case}.step1.template_mask"])
    if size == 224:
        assert np.abs(normalized(network.template)[::16, ::16] - RECORDED[f"{case}.template.excerpt"]).max() < 5e-4
    for step in range(1, steps + 1):
        before = tracker.box
        result = tracker.update(texture(step))
        check_step(tag, case, step, before, result, SimpleNamespace(box=5e-4, score=1e-6))


def test_the_window_equals_the_recorded():
    for grid in (16, 27):
        np.testing.assert_allclose(hann_window_to_zero(grid), RECORDED[f"window{grid}"], atol=1e-6)


@pytest.mark.slow
def test_steps_of_the_whole_network_equal_the_recorded():
    model = built()
    load_released(model, filled("lorat_b224"))
    tracker = Tracker(TorchNetwork(model, settings(224)))
    x1, y1, x2, y2 = RECORDED["bottomleft.init_box_xyxy"]
    tracker.init(texture(0), [x1, y1, x2 - x1, y2 - y1])
    for step in (1, 2, 3):
        before, result = tracker.box, tracker.update(texture(step))
        check_step("net", "bottomleft", step, before, result, SimpleNamespace(box=5e-3, score=1e-5))
