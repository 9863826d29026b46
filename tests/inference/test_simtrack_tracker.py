"""SimTrack's recorded tracks: its crops, the box that its network gets, and the boxes that come out."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from eager_networks import tracker_of
from recorded_frames import tiles

from lib.geometry.clip import clip_box
from lib.geometry.crop import CropConfig, box_to_crop, crop_window, cut
from lib.inference.settings import TrackerConfig
from lib.models.simtrack import SimTrack, SimTrackConfig
from lib.models.weights.released import load_released
from tests.reference_weights import filled_state_dict

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "simtrack_tracker.golden.npz", allow_pickle=False)
CASES = RECORDED["case_names"].tolist()
TEMPLATE, SEARCH = CropConfig(size=112, factor=2.0), CropConfig(size=224, factor=4.0)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    made = [tiles(t) for t in range(4)]
    assert [zlib.crc32(image.tobytes()) for image in made] == RECORDED["frame_crc32"].tolist()
    return made


@pytest.mark.parametrize("case", range(len(CASES)), ids=CASES)
def test_template_crop_and_label(case, frames):
    box = RECORDED["init_box"][case]
    window = crop_window(box, TEMPLATE.factor)
    assert [window.x1, window.y1, window.side] == RECORDED["template_origin"][case].tolist()
    assert zlib.crc32(cut(frames[0], window, TEMPLATE.size).tobytes()) == RECORDED["template_crc32"][case]
    label = box_to_crop(box, box, TEMPLATE.size / window.side, TEMPLATE.size)
    np.testing.assert_allclose(label, RECORDED["train_anno"][case], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", range(len(CASES)), ids=CASES)
def test_search_crops(case, frames):
    boxes = [RECORDED["init_box"][case], *RECORDED["target_bbox"][case][:2]]
    for step, box in enumerate(boxes):
        window = crop_window(box, SEARCH.factor)
        assert [window.x1, window.y1, window.side] == RECORDED["search_origin"][case, step].tolist()
        crop = cut(frames[step + 1], window, SEARCH.size)
        assert zlib.crc32(crop.tobytes()) == RECORDED["search_crc32"][case, step]


def test_clipped_boxes():
    clipped = [clip_box(box, 360, 480, 10) for box in RECORDED["clip_in"]]
    np.testing.assert_allclose(clipped, RECORDED["clip_out"], rtol=0, atol=1e-9)


@pytest.mark.slow
def test_simtrack_tracks_as_recorded(frames):
    model = SimTrack(SimTrackConfig(name="simtrack", pretrained="none"), TEMPLATE.size, SEARCH.size)
    load_released(model, filled_state_dict("simtrack_b16", seed=0))
    tracker = tracker_of(model, TEMPLATE, SEARCH, TrackerConfig(window="none", template_box="truncated"))
    for case, box in enumerate(RECORDED["init_box"]):
        tracker.init(frames[0], box.tolist())
        found = [tracker.update(image).box for image in frames[1:]]
        np.testing.assert_allclose(found, RECORDED["target_bbox"][case], rtol=0, atol=1e-3)
