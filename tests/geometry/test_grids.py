from pathlib import Path

import numpy as np
import pytest
import torch

from lib.geometry.grids import center_heatmap, hann_window, hann_window_to_zero, template_mask

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "targets.golden.npz", allow_pickle=False)


@pytest.mark.parametrize("n", [16, 20, 24])
def test_hann_window_equals_the_recorded(n: int) -> None:
    window = hann_window(n)
    assert window.dtype == torch.float32
    np.testing.assert_allclose(window.numpy(), RECORDED[f"hann2d.centered{n}"][0, 0], rtol=0, atol=1e-7)
    line = RECORDED[f"hann1d.centered{n}"]
    np.testing.assert_allclose(window.numpy(), np.outer(line, line), rtol=0, atol=1e-7)


def test_hann_window_rolled_to_the_corner_is_the_recorded_uncentered_one() -> None:
    rolled = torch.fft.ifftshift(hann_window(17)).numpy()
    kept = np.delete(np.arange(17), 9)
    np.testing.assert_allclose(rolled[np.ix_(kept, kept)], RECORDED["hann2d.uncentered16"][0, 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [16, 20, 24])
def test_heatmap_equals_the_recorded(n: int) -> None:
    heat, recorded = center_heatmap(torch.from_numpy(RECORDED["heat.boxes_xywh"]), n), RECORDED[f"heat.map{n}"]
    assert heat.dtype == torch.float32
    np.testing.assert_array_equal(heat.numpy() == 1, recorded == 1)
    np.testing.assert_array_equal(heat.numpy() == 0, recorded == 0)
    np.testing.assert_allclose(heat.numpy(), recorded, rtol=0, atol=1e-7)


def test_heatmap_of_a_batch_is_the_heatmaps_of_its_samples() -> None:
    given = torch.from_numpy(RECORDED["heat.boxes_xywh"])
    one_by_one = torch.cat([center_heatmap(box[None], 16) for box in given])
    assert torch.equal(center_heatmap(given, 16), one_by_one)


def slice_mask(box: np.ndarray, n: int) -> np.ndarray:
    """The mask written as the lineage writes it: two slices with ends truncated to whole cells."""
    x, y, w, h = (float(value) for value in box * np.float32(n))
    mask = np.zeros((n, n), dtype=bool)
    mask[max(0, int(y)) : max(0, int(y + h + 1)), max(0, int(x)) : max(0, int(x + w + 1))] = True
    return mask.reshape(-1)


@pytest.mark.parametrize("size", [128, 192])
def test_template_mask_equals_the_recorded(size: int) -> None:
    given = RECORDED["template_mask.boxes_xywh"]
    mask = template_mask(torch.from_numpy(given), size // 16)
    assert mask.dtype == torch.bool
    np.testing.assert_array_equal(mask.numpy(), RECORDED[f"template_mask.grm{size}"] == 1)


def test_template_mask_equals_two_slices_on_random_boxes() -> None:
    given = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)) - torch.tensor([0.2, 0.2, 0.0, 0.0])
    expected = np.stack([slice_mask(box, 8) for box in given.numpy()])
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(template_mask(given, 8).numpy(), expected)


@pytest.mark.parametrize("n", [1, 2, 16, 31, 32])
def test_hann_window_to_zero_is_numpys_and_falls_to_zero_at_the_border(n: int) -> None:
    window = hann_window_to_zero(n)
    assert window.dtype == torch.float32
    np.testing.assert_allclose(window.numpy(), np.outer(np.hanning(n), np.hanning(n)), rtol=0, atol=1e-7)
    if n > 1:
        assert not window[0].any() and not window[:, -1].any()
    if n > 2:
        torch.testing.assert_close(window[1:-1, 1:-1], hann_window(n - 2))


def test_hann_window_to_zero_equals_the_recorded_row() -> None:
    tracker = np.load(Path(__file__).parents[1] / "reference" / "transt_tracker.golden.npz", allow_pickle=False)
    np.testing.assert_allclose(hann_window_to_zero(32)[15].numpy(), tracker["window_row15"], rtol=0, atol=1e-7)
