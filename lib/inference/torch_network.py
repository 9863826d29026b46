"""A network of this project's own, run by PyTorch behind the interface of ``lib.inference.network``."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lib.geometry.grids import hann_window, hann_window_to_zero
from lib.inference.network import Found
from lib.inference.settings import Precision, TrackerConfig, TrackSettings
from lib.models.base import DTYPES, Normalize, TrackingModel
from lib.models.heads.base import Prediction

SMALL = 20_000_000  # parameters

Find = Callable[..., tuple[Tensor, Prediction]]


def as_planes(crops: Tensor) -> Tensor:
    """Crops ``[B, S, S, 3]`` as ``[B, 3, S, S]``; before normalization, since bytes are moved faster than floats."""
    return crops.permute(0, 3, 1, 2).contiguous()


class EncodeGraph(nn.Module):
    """Template crops ``[B, S, S, 3]`` and boxes ``[B, 4]`` -> the leaves of the model's state."""

    def __init__(self, model: TrackingModel) -> None:
        super().__init__()
        self.model, self.normalize = model, Normalize()

    def forward(self, crops: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        return self.model.encode_template(self.normalize(as_planes(crops)), boxes)


class FindGraph(nn.Module):
    """Search crops ``[B, S, S, 3]`` and the leaves of a state -> the best candidates, float32 ``[B, 6]`` (box
    cxcywh, score before the window, the candidate's number).

    ``window`` ``[N]`` weighs the N candidates of the model, cells of a square grid row by row, in favor of the middle.
    ``compiled``: see ``TorchNetwork``.
    """

    def __init__(self, model: TrackingModel, config: TrackerConfig, compiled: bool = False) -> None:
        super().__init__()
        self.model, self.normalize, self.config = model, Normalize(), config
        self._predict: Callable[..., Prediction] = self.predict
        if compiled:
            # The choice stays eager: of torch 2.12's compiled argmax over a softmax some answers are wrong on the CPU.
            options = {"freezing": True} if next(model.parameters()).device.type == "cpu" else {}
            self._predict = torch.compile(self.predict, dynamic=False, options=options)
        if config.window != "none":
            candidates = model.box_head.candidates
            cells = math.isqrt(candidates)
            assert cells * cells == candidates, f"{candidates} candidates are no square grid"
            shape = hann_window if config.window == "multiply" else hann_window_to_zero
            self.register_buffer("window", shape(cells).flatten(), persistent=False)

    def forward(self, crops: Tensor, *state: Tensor) -> Tensor:
        return self.find(crops, *state)[0]

    def find(self, crops: Tensor, *state: Tensor) -> tuple[Tensor, Prediction]:
        """The best candidates, and the prediction that they are chosen from."""
        prediction = self._predict(crops, *state)
        return self.choose(prediction), prediction

    def predict(self, crops: Tensor, *state: Tensor) -> Prediction:
        """All candidates."""
        return self.model.locate(state, self.normalize(as_planes(crops)))

    def choose(self, prediction: Prediction) -> Tensor:
        """The best candidates, float32 ``[B, 6]``."""
        scores = prediction.scores.float()
        best = self.weigh(scores).argmax(dim=1)
        rows = best[:, None]
        boxes = prediction.boxes.gather(1, rows[:, :, None].expand(-1, -1, 4)).squeeze(1)
        return torch.cat([boxes.float(), scores.gather(1, rows), rows.float()], dim=1)

    def weigh(self, scores: Tensor) -> Tensor:
        """Scores ``[B, N]`` after the window, by which the best candidate is chosen."""
        if self.config.window == "none":
            return scores
        if self.config.window == "multiply":
            return scores * self.window
        return (1 - self.config.penalty) * scores + self.config.penalty * self.window


class TorchNetwork:
    """``model`` on ``device`` in eval mode, behind ``lib.inference.network.Network``; the model is the network's own.

    * ``precision``: "bf16" and "fp16" run in autocast, as training does. Weights that autocast would cast anew in each
      call are cast once; the results are the same, in bf16 to the bit.
    * ``compiled``: ``torch.compile`` of ``find``, for each number of rows that a state has; the first call of each
      takes minutes for a large network.
    * ``captured``: on CUDA, ``find`` is recorded as a graph for each number of rows and replayed.
    """

    batch = None

    def __init__(
        self,
        model: TrackingModel,
        settings: TrackSettings,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        compiled: bool = False,
        captured: bool = False,
        name: str = "",
    ) -> None:
        self._place = torch.device(device)
        if precision == "bf16" and self._place.type == "cuda" and not torch.cuda.is_bf16_supported(False):
            raise ValueError(f"test.precision: bf16, which {torch.cuda.get_device_name(self._place)} lacks; set fp16")
        if captured and self._place.type != "cuda":
            raise ValueError(f"a graph is captured on CUDA, not on {self._place}; leave --capture out")
        self.model = model.to(self._place).eval()
        self.model.fold()
        self.settings, self.name, self.device, self.precision = settings, name, str(self._place), precision
        if precision != "fp32":
            cast_weights(self.model, DTYPES[precision])
        self.encode_graph = EncodeGraph(self.model).to(self._place).eval()
        self.find_graph = FindGraph(self.model, settings.tracker, compiled).to(self._place).eval()
        self._fixed = compiled or captured
        self._find: Find = CapturedGraphs(self.find_graph.find) if captured else self.find_graph.find

    @property
    def suggested_batch(self) -> int:
        """A GPU needs many crops to be busy; on a CPU only small networks gain from a batch (docs/speed.md)."""
        if self._place.type != "cpu":
            return 32
        return 8 if sum(parameter.numel() for parameter in self.model.parameters()) < SMALL else 1

    @torch.no_grad()  # inference mode would forbid ``put`` to write to a state
    def encode(self, crops: np.ndarray, boxes: np.ndarray) -> tuple[Tensor, ...]:
        """See ``Network``."""
        with self._autocast():
            return self.encode_graph(self._send(crops), self._send(boxes.astype(np.float32)))

    @torch.no_grad()
    def find(self, state: tuple[Tensor, ...], crops: np.ndarray) -> Found:
        """See ``Network``."""
        rows, slots = crops.shape[0], state[0].shape[0]
        if rows < slots and self._fixed:
            crops = np.concatenate([crops, np.zeros((slots - rows, *crops.shape[1:]), dtype=crops.dtype)])
        elif rows < slots:
            state = tuple(leaf[:rows] for leaf in state)
        try:
            with self._autocast():
                best, prediction = self._find(self._send(crops), *state)
        except torch.OutOfMemoryError as error:
            raise ValueError(f"{self.device}: no memory for {rows} targets at once; take a smaller --batch") from error
        answers = best[:rows].cpu().numpy()
        return Found(answers[:, :4], answers[:, 4], answers[:, 5].astype(np.int64), prediction)

    def _autocast(self) -> AbstractContextManager[Any]:
        # A captured graph would read weights from autocast's cache, which are gone when it is replayed.
        options = {"enabled": self.precision != "fp32", "cache_enabled": False}
        return torch.autocast(self._place.type, DTYPES[self.precision], **options)

    def _send(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._place)


def cast_weights(model: TrackingModel, dtype: torch.dtype) -> None:
    """Cast the weights of linear layers, convolutions and attentions once; autocast does it in every call.

    Heads stay float32, since they leave autocast. Convolutions get their weights channels-last, the order in which
    reduced precisions are computed; otherwise each call would reorder its input and its output.
    """
    for name, module in model.named_modules():
        if name.partition(".")[0] == "box_head":
            continue
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.MultiheadAttention)):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)


class CapturedGraphs:
    """``function`` of CUDA tensors as a CUDA graph for each number of rows of its first argument.

    The outputs are overwritten by the next call with as many rows.
    """

    WARM_UP = 3  # calls before a capture: libraries choose and allocate in their first ones

    def __init__(self, function: Find) -> None:
        self._function = function
        self._replays: dict[int, Find] = {}

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, Prediction]:
        rows = inputs[0].shape[0]
        if rows not in self._replays:
            self._replays[rows] = self._capture([tensor.clone() for tensor in inputs])
        return self._replays[rows](*inputs)

    def _capture(self, inputs: list[Tensor]) -> Find:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self.WARM_UP):
                self._function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may allocate
            outputs = self._function(*inputs)

        def replay(*given: Tensor) -> tuple[Tensor, Prediction]:
            for own, tensor in zip(inputs, given, strict=True):
                own.copy_(tensor)
            graph.replay()
            return outputs

        return replay
