"""An exported network behind the interface of ``lib.inference.network``: ONNX Runtime or OpenVINO on the processor,
without PyTorch and without the code of the network."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lib.config.tree import merge
from lib.config.validation import validate
from lib.export.record import AGAIN, LIBRARIES, NETWORK_FILES, ExportError, ExportPrecision, ExportRecord, read_record
from lib.inference.network import Found
from lib.inference.settings import TrackSettings
from lib.runtime.files import utf8_name
from lib.runtime.machine import keep_large_buffers, usable_cores

Compute = Callable[..., list[np.ndarray]]


def open_network(
    folder: str | Path, threads: int | None = None, streams: int = 1, recover: bool = False
) -> "ExportedNetwork":
    """The exported network in ``folder``, on ``threads`` of the processor (as many as the process has cores).

    With several ``streams`` as many threads of the caller may call ``find`` at once; they share the processor's. With
    ``recover`` trackers search for lost targets.

    Raises ``ExportError`` for a folder of another format or with a damaged file, where the runtime's library is
    missing, and on a processor that lacks the network's precision; ``ConfigError`` to ``recover`` without a
    ``lost_below``.
    """
    keep_large_buffers()
    folder = Path(folder)
    record = read_record(folder)
    library = LIBRARIES[record.runtime]
    if find_spec(library) is None:
        raise ExportError(f"{folder}: needs {library}, which is not installed; pip install {library}")
    if recover:
        settings = merge(record.settings.model_dump(mode="json"), {"tracker": {"recover": True}})
        record = record.model_copy(update={"settings": validate(TrackSettings, settings, str(folder))})
    return ExportedNetwork(folder, record, threads, streams)


class ExportedNetwork:
    """``encode`` and ``find`` of the files in ``folder`` that ``record`` describes; see ``open_network``."""

    device = "cpu"

    def __init__(self, folder: Path, record: ExportRecord, threads: int | None = None, streams: int = 1) -> None:
        self.folder, self.record, self.settings = folder, record, record.settings
        self.batch = self.suggested_batch = record.batch
        self.name = record.origin.experiment
        load = _load_onnx if record.runtime == "onnx" else _load_openvino
        self._threads = threads = threads or usable_cores()
        encode, find = (folder / name for name in NETWORK_FILES[record.runtime])
        self._load_find = partial(load, find, record.precision, threads)
        self._pool = ThreadPoolExecutor(threads, "turn")  # its threads start when there is work for them
        try:
            self._find = self._load_find(streams)
            self._encode = load(encode, "fp32", threads, 1)  # once a video, always in full precision
        except ExportError:
            raise
        except Exception as error:  # each runtime has kinds of its own
            library = LIBRARIES[record.runtime]
            reason = str(error).strip().rpartition("\n")[2][-120:]
            raise ExportError(
                f"{folder}: the installed {library} cannot read it ({reason}); install the version that wrote it, "
                f"{record.origin.versions.get(library)}, or {AGAIN}"
            ) from error

    def encode(self, crops: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, ...]:
        """See ``Network``."""
        boxes = np.asarray(boxes, dtype=np.float32)
        rows = [self._encode(crops[row : row + 1], boxes[row : row + 1]) for row in range(crops.shape[0])]
        return tuple(np.concatenate(leaves) for leaves in zip(*rows, strict=True))

    def find(self, state: tuple[np.ndarray, ...], crops: np.ndarray) -> Found:
        """See ``Network``; more crops than ``batch`` are computed in several turns, each on one thread."""
        rows = crops.shape[0]
        arrays = (crops, *(leaf[:rows] for leaf in state))
        turns = [[array[first : first + self.batch] for array in arrays] for first in range(0, rows, self.batch)]
        if len(turns) == 1:
            best = self._turn(self._find, turns[0])
        else:
            best = np.concatenate(list(self._pool.map(partial(self._turn, self._find_alone), turns)))
        return Found(best[:, :4], best[:, 4], best[:, 5].astype(np.int64))

    @cached_property
    def _find_alone(self) -> Compute:
        """For turns in parallel, each on one thread: threads that share a convolution wait for each other."""
        return self._find if self._threads == 1 else self._load_find(self._threads)

    def _turn(self, run: Compute, arrays: list[np.ndarray]) -> np.ndarray:
        """The answers to one turn's crops and state, which are padded to the network's number of rows."""
        missing = self.batch - len(arrays[0])
        if missing:
            arrays = [np.concatenate([each, np.zeros((missing, *each.shape[1:]), each.dtype)]) for each in arrays]
        return run(*arrays)[0][: self.batch - missing]


def _load_onnx(file: Path, _precision: ExportPrecision, threads: int, streams: int) -> Compute:
    """The file's function of arrays; the file itself has the precision."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(1, threads // streams), 1
    # An idle thread leaves its core to the threads that read and write frames or compute another batch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; warnings are about constants that it folds
    with utf8_name(file.parent) as folder:
        session = onnxruntime.InferenceSession(f"{folder}/{file.name}", options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def _load_openvino(file: Path, precision: ExportPrecision, threads: int, streams: int) -> Compute:
    """The file's function of arrays, computed in ``precision``, which is a property of the device."""
    check_openvino_precision(precision, file)
    properties: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
    }
    model = openvino_core().compile_model(file, "CPU", properties)
    own = threading.local()  # a request serves one thread at a time

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        if not hasattr(own, "request"):
            own.request = model.create_infer_request()
        answers = own.request.infer(list(arrays), share_inputs=True)
        return [answers[number] for number in range(len(answers))]

    return run


@cache
def openvino_core() -> Any:
    """OpenVINO's core, one for the life of the process.

    On processors with AMX its plugin gives the thread that loads it a larger stack for signals, and unmaps it when the
    core ends, maybe in another thread: the next signal would then crash the process.
    """
    import openvino

    return openvino.Core()


def check_openvino_precision(precision: ExportPrecision, subject: Path | str) -> None:
    """Raise ``ExportError`` if the processor lacks bf16: OpenVINO would quietly compute in fp32."""
    has = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and "BF16" not in has:
        raise ExportError(
            f"{subject}: bf16, which this processor lacks ({', '.join(has)}); "
            "export with --precision fp32, or with --format onnx --precision int8"
        )
