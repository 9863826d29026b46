"""Pictures of the training samples that an experiment draws, for a look before it is trained."""

from collections import abc
from pathlib import Path

import cv2
import numpy as np
import torch

from lib.config.paths import Paths
from lib.data.batch import Batch
from lib.experiment.build import build_pairs
from lib.experiment.config import ExperimentConfig
from lib.visualization.boxes import COLORS
from lib.visualization.sheet import Panel, tile, write_png


def draw_samples(experiment: ExperimentConfig, paths: Paths, numbers: abc.Sequence[int], target: Path) -> list[str]:
    """Write a PNG with these samples of an experiment, each the template beside the search crop with their boxes, as
    they are after all that is drawn; the sources of the samples. Raises ``ValueError`` as ``build_pairs`` does."""
    pairs = build_pairs(experiment, paths, experiment.data.train)
    samples = [pairs.sample(number) for number in numbers]
    write_png(target, tile([Panel(f"{sample.numbers[0]}", _panel(sample)) for sample in samples]))
    return [f"{sample.numbers[0]}  {sample.sources[0]}" for sample in samples]


def _panel(sample: Batch) -> np.ndarray:
    template = _picture(sample.template[0], float(sample.template_gain), sample.template_box[0])
    search = _picture(sample.search[0], float(sample.search_gain), sample.search_box[0])
    height = max(len(template), len(search))
    return np.hstack([
        cv2.copyMakeBorder(picture, 0, height - len(picture), 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for picture in (template, search)
    ])  # fmt: skip


def _picture(pixels: torch.Tensor, gain: float, box: torch.Tensor) -> np.ndarray:
    image = np.clip(np.ascontiguousarray(pixels.permute(1, 2, 0)) * gain, 0, 255).astype(np.uint8)
    x, y, width, height = np.rint(box.numpy() * len(image)).astype(int).tolist()
    cv2.rectangle(image, (x, y), (x + width, y + height), COLORS[0])
    return image
