"""The loop around a network: windows, maps back, clipping, the choice of a box; and GRM's recorded tracks."""

import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from eager_networks import FixedModel
from eager_networks import tracker_of as tracker_with
from recorded_frames import tiles
from torch import Tensor, nn

from lib.geometry.crop import CropConfig, crop_window, cut
from lib.inference.settings import TrackerConfig
from lib.inference.tracker import Tracker
from lib.models.base import Normalize, TrackingModel
from lib.models.grm import GRM, DivisionConfig, GRMConfig
from lib.models.heads.base import Prediction
from lib.models.weights.released import load_released
from tests.reference_weights import filled_state_dict

REFERENCE = Path(__file__).parents[1] / "reference"
TEMPLATE, SEARCH = CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0)
GREEN = (0, 255, 0)


class SpotModel(TrackingModel):
    """Finds the box around what has the template's mean color at its center; keeps what it was given, to look at."""

    def __init__(self, cells: int = 4) -> None:
        nn.Module.__init__(self)
        self.cells, self.box_head = cells, SimpleNamespace(candidates=cells**2)
        self.seen: list[Tensor] = []

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        self.seen = [template, box]
        middle = template.shape[-1] // 2
        return template[:, :, middle, middle], box

    def locate(self, state: tuple[Tensor, Tensor], search: Tensor) -> Prediction:
        self.seen.append(search)
        alike = ((search - state[0][:, :, None, None]).abs().amax(dim=1) < 1.0)[0]
        low = torch.stack([alike.any(dim=axis).float().argmax() for axis in (0, 1)])
        high = len(alike) - torch.stack([alike.any(dim=axis).flip(0).float().argmax() for axis in (0, 1)])
        box = torch.cat(((low + high) / 2, high - low)) / len(alike)
        scores = torch.full((1, self.cells**2), 0.1)
        column, row = (box[:2] * self.cells).long().clamp(max=self.cells - 1).tolist()
        scores[0, row * self.cells + column] = 0.9
        return Prediction(box.expand(1, self.cells**2, 4), scores)

    def parameter_groups(self) -> dict[str, list[str]]:
        return {}


def tracker_of(model: TrackingModel, config: TrackerConfig | None = None) -> Tracker:
    return tracker_with(model, TEMPLATE, SEARCH, config)


def painted(box: tuple[int, int, int, int], height: int = 120, width: int = 160) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    x, y, w, h = box
    image[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = GREEN
    return image


def test_a_spot_is_followed_as_it_moves_grows_and_crosses_the_border() -> None:
    tracker = tracker_of(SpotModel())
    boxes = [(60 - 6 * t, 40 + 4 * t, 20 + t, 24 - t) for t in range(11)]
    assert boxes[-1][0] < 2, "the track is meant to end at the border"
    tracker.init(painted(boxes[0]), boxes[0])
    for box in boxes[1:]:
        found = tracker.update(painted(box)).box
        np.testing.assert_allclose(found, box, atol=2.5)


def test_the_network_sees_the_crops_of_the_last_box_normalized() -> None:
    model, box = SpotModel(), (60, 40, 20, 24)
    tracker = tracker_of(model)
    image, later = painted(box), painted((63, 42, 20, 24))
    tracker.init(image, box)
    first = tracker.box
    tracker.update(later)
    template, template_box, search = model.seen
    for seen, frame, crop in ((template, image, TEMPLATE), (search, later, SEARCH)):
        pixels = cut(frame, crop_window(first, crop.factor), crop.size)
        assert torch.equal(seen, Normalize()(torch.from_numpy(pixels).permute(2, 0, 1)[None]))
    side = crop_window(first, TEMPLATE.factor).side
    middle = (template_box[0, :2] + template_box[0, 2:] / 2).tolist()
    assert template_box[0, 2:].tolist() == pytest.approx([20 / side, 24 / side])
    assert middle == pytest.approx([(TEMPLATE.size - 1) / 2 / TEMPLATE.size] * 2)


def test_context_and_fill_are_those_of_each_crop_and_the_mean_is_the_first_frames() -> None:
    """As TransT's tracker: later frames are surrounded by the mean color of the first."""
    random = np.random.default_rng(0)
    first, later = (random.integers(low, low + 100, (120, 160, 3), dtype=np.uint8) for low in (20, 150))
    box = np.array([140.0, 90.0, 24.0, 30.0])
    mean = tuple(first.mean(axis=(0, 1)).astype(int).tolist())
    crops = {
        "template": CropConfig(size=32, factor=3.0, context="perimeter", fill="zero"),
        "search": CropConfig(size=64, factor=4.0, context="perimeter", fill="mean"),
    }
    for template, search in (("template", "search"), ("search", "template")):
        model = SpotModel()
        tracker = tracker_with(model, crops[template], crops[search])
        tracker.init(first, box)
        tracker.update(later)
        for seen, frame, crop in ((model.seen[0], first, crops[template]), (model.seen[2], later, crops[search])):
            window = crop_window(box, crop.factor, "perimeter")
            assert window.x1 + window.side > 160 and window.y1 + window.side > 120
            pixels = cut(frame, window, crop.size, mean if crop.fill == "mean" else 0)
            assert torch.equal(seen, Normalize()(torch.from_numpy(pixels).permute(2, 0, 1)[None]))


def test_a_centered_answer_keeps_the_unrounded_center() -> None:
    model = FixedModel(torch.tensor([[0.5, 0.5, 0.25, 0.2]]), torch.tensor([0.7]))
    tracker = tracker_of(model)
    box = np.array([60.37, 40.81, 20.2, 24.9])
    tracker.init(painted((60, 40, 20, 24)), box)
    side = crop_window(box, SEARCH.factor).side
    found = tracker.update(painted((60, 40, 20, 24))).box
    np.testing.assert_allclose(found[:2] + found[2:] / 2, box[:2] + box[2:] / 2, atol=1e-4)
    np.testing.assert_allclose(found[2:], [0.25 * side, 0.2 * side], atol=1e-4)


def test_a_box_that_leaves_keeps_its_margin_in_the_image() -> None:
    margin = 3
    model = FixedModel(torch.tensor([[-1.0, 3.0, 0.3, 0.3]]), torch.tensor([0.5]))
    tracker = tracker_of(model, TrackerConfig(clip_margin=margin))
    tracker.init(painted((60, 40, 20, 24)), (60, 40, 20, 24))
    for _ in range(3):
        box = tracker.update(painted((60, 40, 20, 24))).box
    np.testing.assert_allclose(box, [0, 120 - margin, margin, margin])


def test_a_result_is_the_callers_own() -> None:
    tracker = tracker_of(SpotModel())
    image, box = painted((60, 40, 20, 24)), np.array([60.0, 40.0, 20.0, 24.0])
    image.flags.writeable = False
    tracker.init(image, box)
    box[:] = 0
    first = tracker.update(image).box
    expected = first.copy()
    first[:] = 0
    np.testing.assert_allclose(tracker.update(image).box, expected, atol=1.5)


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ((10, 10, 0, 5), "no size"),
        ((10, 10, 5, -1), "no size"),
        ((float("nan"), 10, 5, 5), "no size"),
        ((10, 10, float("inf"), 5), "no size"),
        ((160, 10, 5, 5), "outside"),
        ((10, -5, 5, 5), "outside"),
        ((10, 10, 5, 481), "more than 4 times"),
        ((10, 10, 5), "four numbers"),
    ],
)
def test_a_wrong_first_box_is_refused_in_one_line(box: tuple[float, ...], word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        tracker_of(SpotModel()).init(painted((60, 40, 20, 24)), box)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        [[0]],
    ],
)
def test_another_kind_of_image_is_refused_in_one_line(image: object) -> None:
    tracker = tracker_of(SpotModel())
    tracker.init(painted((60, 40, 20, 24)), (60, 40, 20, 24))
    for call in (lambda: tracker.init(image, (1, 1, 4, 4)), lambda: tracker.update(image)):
        with pytest.raises(ValueError, match="image") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("box", "score"), [(float("nan"), 0.5), (0.5, float("nan"))])
def test_an_answer_that_is_not_finite_is_an_error(box: float, score: float) -> None:
    tracker = tracker_of(FixedModel(torch.full((1, 4), box), torch.tensor([score])))
    tracker.init(painted((60, 40, 20, 24)), (60, 40, 20, 24))
    with pytest.raises(ValueError, match="not finite"):
        tracker.update(painted((60, 40, 20, 24)))


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "cases"), [("got10k_test", 4), ("lasot", 1)])
def test_grm_tracks_as_recorded(dataset: str, cases: int) -> None:
    golden = np.load(REFERENCE / "grm_tracker.golden.npz", allow_pickle=False)
    frames = [tiles(t) for t in range(4)]
    assert [zlib.crc32(frame.tobytes()) for frame in frames] == golden["frame_crc32"].tolist()
    division = DivisionConfig(threshold=float(golden[f"threshold_{dataset}"]), softmax="published")
    model = GRM(GRMConfig(name="grm", pretrained="none", division=division), template_size=128, search_size=256)
    load_released(model, filled_state_dict("grm_vitb_256", seed=1))
    sizes = CropConfig(size=128, factor=2.0), CropConfig(size=256, factor=4.0)
    tracker = tracker_with(model, *sizes)
    for recorded in golden[f"boxes_{dataset}"][:cases]:
        tracker.init(frames[0], recorded[0])
        found = [tracker.update(frame).box for frame in frames[1:]]
        np.testing.assert_allclose(found, recorded[1:], rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("window", "penalty"), [("none", 0.0), ("multiply", 0.0), ("blend", 0.0), ("blend", 0.49), ("blend", 1.0)]
)
def test_the_best_cell_after_the_window_is_taken_with_its_own_score(window: str, penalty: float) -> None:
    """Where a multiplied window can only lower a score, a blended one lifts the middle's."""
    generator = torch.Generator().manual_seed(4)
    n = 6
    above_zero, to_zero = (np.outer(line, line).ravel() for line in (np.hanning(n + 2)[1:-1], np.hanning(n)))
    choices = set()
    for _ in range(20):
        scores = torch.rand(n * n, generator=generator)
        boxes = torch.full((n * n, 4), 0.4)
        boxes[:, 2] = 0.3 + torch.arange(n * n) / 100
        tracker = tracker_of(FixedModel(boxes, scores), TrackerConfig(window=window, penalty=penalty))
        tracker.init(painted((60, 40, 20, 24)), (60, 40, 20, 24))
        result = tracker.update(painted((60, 40, 20, 24)))
        own = scores.double().numpy()
        weighed = own * above_zero if window == "multiply" else (1 - penalty) * own + penalty * to_zero
        best = int(weighed.argmax())
        assert result.score == float(scores[best])
        side = crop_window((60, 40, 20, 24), SEARCH.factor).side
        assert result.box[2] == pytest.approx(float(boxes[best, 2]) * side, rel=1e-5)
        choices.add((best == int(scores.argmax()), best == int(to_zero.argmax())))
    assert ({liked for liked, _ in choices} == {True}) == (window != "multiply" and penalty == 0)
    assert ({middle for _, middle in choices} == {True}) == (penalty == 1)


@pytest.mark.parametrize("window", ["multiply", "blend", "none"])
def test_one_candidate_is_taken_with_any_window(window: str) -> None:
    """A corner head has one: there is nothing to choose."""
    model = FixedModel(torch.tensor([[0.5, 0.5, 0.25, 0.2]]), torch.tensor([0.3]))
    tracker = tracker_of(model, TrackerConfig(window=window))
    tracker.init(painted((60, 40, 20, 24)), (60, 40, 20, 24))
    assert tracker.update(painted((60, 40, 20, 24))).score == pytest.approx(0.3)


def test_a_box_that_leaves_keeps_its_center_in_the_image() -> None:
    """With ``clip: center``; the sides lie between the margin and the image's."""
    for said, expected in (((-1.0, 3.0, 0.3, 0.02), (0, 120, None, 10)), ((0.5, -3.0, 9.0, 9.0), (None, 0, 160, 120))):
        model = FixedModel(torch.tensor([said]), torch.tensor([0.5]))
        tracker = tracker_of(model, TrackerConfig(clip="center"))
        tracker.init(painted((60, 40, 20, 24)), (60, 40, 20, 24))
        side = crop_window((60, 40, 20, 24), SEARCH.factor).side
        x, y, width, height = tracker.update(painted((60, 40, 20, 24))).box
        free = (60 + 20 / 2 + (said[0] - 0.5) * side, None, said[2] * side, None)
        wanted = [value if value is not None else place for value, place in zip(expected, free, strict=True)]
        np.testing.assert_allclose([x + width / 2, y + height / 2, width, height], wanted, atol=1e-3)
