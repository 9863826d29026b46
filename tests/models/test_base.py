"""Normalization, and the two halves of a tracking network."""

from typing import get_args

import numpy as np
import pytest
import torch

from lib.models.base import Normalize, TrackingModel
from lib.models.heads.base import Prediction
from lib.models.heads.registry import HeadPrediction

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def expected(images: torch.Tensor, gains: list[float]) -> np.ndarray:
    """Pixel by pixel, in float64."""
    pixels = images.numpy().astype(np.float64).transpose(0, 2, 3, 1)
    scaled = np.clip(pixels * np.array(gains)[:, None, None, None] / 255, 0, 1)
    return ((scaled - MEAN) / STD).transpose(0, 3, 1, 2)


def test_images_become_imagenets_mean_and_deviation(images):
    normalized = Normalize()(images)
    assert normalized.dtype == torch.float32
    np.testing.assert_allclose(normalized.numpy(), expected(images, [1, 1]), atol=1e-6)


def test_a_gain_brightens_each_image_and_never_beyond_white(images):
    brighter = Normalize()(images, torch.tensor([1.2, 0.8], dtype=torch.float64))
    assert brighter.dtype == torch.float32
    np.testing.assert_allclose(brighter.numpy(), expected(images, [1.2, 0.8]), atol=1e-6)
    assert (images[0].float() * 1.2 > 255).any()
    torch.testing.assert_close(Normalize()(images, torch.ones(2)), Normalize()(images))


class Doubling(TrackingModel):
    """A network without weights, to see what is passed on."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def encode_template(self, template, box):
        return (template.mean() + box.sum(),)

    def locate(self, state, search, epoch=None):
        return Prediction(boxes=search + state[0], scores=search * (1 if epoch is None else epoch))

    def parameter_groups(self):
        return {}


def test_forward_is_both_halves_in_turn():
    model, ones = Doubling(), torch.ones(1, 4)
    prediction = model(2 * ones, 3 * ones, ones)
    assert torch.equal(prediction.boxes, ones + 14)
    assert torch.equal(prediction.scores, ones)
    assert torch.equal(model(2 * ones, 3 * ones, ones, epoch=7).scores, 7 * ones)
    assert model.monitors(prediction) == {}


@pytest.mark.parametrize("kind", get_args(HeadPrediction))
def test_what_any_head_predicts_can_be_read_as_a_prediction(kind):
    assert kind._fields[:2] == Prediction._fields
    assert kind._fields[-1] == "extras"
