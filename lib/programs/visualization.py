"""Pictures of a network's decisions on frames of a video or of a benchmark's sequence."""

import re
from collections import abc
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lib.config.paths import Paths
from lib.config.tree import merge
from lib.data.decoding.images import read_image
from lib.data.decoding.video import Frame, VideoWriter
from lib.data.types import Sequence
from lib.evaluation.results.result_set import ResultSet
from lib.experiment.config import from_tree, to_tree
from lib.inference.decisions import Decisions, decide, decide_at
from lib.inference.follow import TargetSpec, check_boxes
from lib.inference.tracker import Tracker
from lib.inference.video import ahead, open_video
from lib.programs.network_choice import choose_form
from lib.programs.testing import read_chosen
from lib.programs.tracking import GRAMMAR, SHIPPED, parse_targets, source_name
from lib.runtime.checkpoint import CheckpointError
from lib.runtime.escapes import file_name
from lib.runtime.program import RequestError, TextResult
from lib.visualization.boxes import BOX_COLORS
from lib.visualization.sheet import Panel, write_png
from lib.visualization.token_map import SIDE, draw_legend, draw_strip, fit_frame, token_panels

SHEET, STRIP = "decisions.png", "decisions.mp4"
STRIP_RATE = 5.0  # frames a second of the strip
MOST_DRAWN = 24  # frames on a sheet
LAST = 10**9  # number beyond the frames of any video
FRAMES_GRAMMAR = "numbers such as 1,10,50, or start:stop:step; the first frame is 0"
TRUTH, FOUND, WINDOW = "ground truth", "found", "search window"
COLOR_OF = dict(zip((TRUTH, FOUND, WINDOW), BOX_COLORS, strict=False))


class Footage(NamedTuple):
    """The ``frames`` of a source, and its annotated ``boxes`` ``[N, 4]`` xywh in pixels, empty if it has none."""

    name: str
    frames: Iterable[Frame]
    boxes: np.ndarray


def parse_frames(text: str) -> abc.Sequence[int]:
    """Numbers of frames, from 0, as ``FRAMES_GRAMMAR`` describes. Raises ``ValueError``."""
    if re.fullmatch(r"\d+(,\d+)*", text, re.ASCII):
        return sorted({int(word) for word in text.split(",")})
    if match := re.fullmatch(r"(\d*):(\d*)(?::(\d+))?", text, re.ASCII):
        start, stop, step = (int(word) if word else None for word in match.groups())
        if step != 0 and (numbers := range(start or 0, LAST if stop is None else stop, step or 1)):
            return numbers
    raise ValueError(f"--frames {text}: write {FRAMES_GRAMMAR}")


@contextmanager
def open_footage(paths: Paths, video: str | None, dataset: str | None = None, name: str = "") -> Iterator[Footage]:
    """A ``video`` as ``open_video`` takes it, or the sequence ``name`` of a benchmark. Raises ``ValueError``."""
    if video is not None:
        with open_video(video) as reader:
            yield Footage(reader.name, reader, np.empty((0, 4)))
        return
    readable = read_chosen(paths, dataset, [name])
    if not readable.sequences:
        raise ValueError(f"{dataset}: {name} cannot be read: {readable.unreadable[name]}")
    [sequence] = readable.sequences
    frames = (Frame(number, number / STRIP_RATE, read_image(file)) for number, file in enumerate(sequence.frames))
    yield Footage(name, frames, sequence.boxes)


def run_visualize(
    paths: Paths,
    words: abc.Sequence[str],
    frames: str,
    maps: abc.Sequence[str] = (),
    video: bool = False,
    box: str | None = None,
    dataset: str | None = None,
    sequence: str | None = None,
    config: str | None = None,
    checkpoint: Path | None = None,
    device: str = "auto",
    out: Path | None = None,
) -> TextResult:
    """The body of `tracking/visualize.py`. ``words`` are a source, unless ``dataset`` and ``sequence`` are given, and
    overrides. Without ``box`` the target is the sequence's. For the rest see ``visualize``."""
    if bool(dataset) != bool(sequence):
        raise RequestError("--dataset and --sequence go together")
    if not dataset and not (words and box):
        raise RequestError(f"name a video and its target with --box {GRAMMAR}, or --dataset and --sequence")
    numbers = parse_frames(frames)
    targets = parse_targets([box] if box else [])
    source, *overrides = [None, *words] if dataset else words
    config = config or (None if checkpoint else SHIPPED)
    network = choose_form(paths, config, checkpoint, overrides, device, dataset).network()
    with open_footage(paths, source, dataset, sequence or "") as footage:
        target = targets[0] if targets else TargetSpec("target", footage.boxes[0])
        folder = out or paths.output / "visualize" / (file_name(sequence) if sequence else source_name(source))
        return TextResult(str(visualize(footage, target, Tracker(network), folder, numbers, maps, video)))


def visualize(
    footage: Footage,
    target: TargetSpec,
    tracker: Tracker,
    folder: Path,
    frames: abc.Sequence[int],
    maps: abc.Sequence[str] = (),
    video: bool = False,
) -> Path:
    """Track ``target`` and draw the decisions on the ``frames`` of these numbers, the ``maps`` of these names or all:
    ``decisions.png`` in the folder, or ``decisions.mp4`` as a ``video``. Returns the file. Raises ``ValueError`` for a
    frame that is not searched, for a box outside the frame and for a map that the network does not have."""
    # Closed before the footage: a thread reads its frames ahead.
    with closing(_draw_strips(footage, target, tracker, frames, maps)) as strips:
        first = next(strips)  # most errors come before a file is made
        labels = (TRUTH, FOUND, WINDOW) if len(footage.boxes) else (FOUND, WINDOW)
        legend = draw_legend(first.shape[1], {label: COLOR_OF[label] for label in labels})
        if video:
            with VideoWriter(folder / STRIP, STRIP_RATE) as writer:
                for strip in chain([first], strips):
                    writer.write(np.concatenate([legend, strip]))
            return folder / STRIP
        sheet = [legend, first, *islice(strips, MOST_DRAWN - 1)]
        if next(strips, None) is not None:
            raise ValueError(
                f"--frames: a sheet has room for {MOST_DRAWN} frames; name fewer, add a step, or add --video"
            )
    write_png(folder / SHEET, np.concatenate(sheet))
    return folder / SHEET


def _draw_strips(
    footage: Footage, target: TargetSpec, tracker: Tracker, frames: abc.Sequence[int], maps: abc.Sequence[str]
) -> Iterator[np.ndarray]:
    """The strip of each of the frames, all of one size; raises as ``visualize``."""
    drawn, begins, number = set(), None, -1
    with closing(ahead(footage.frames)) as read:
        for number, _, image in read:
            if begins is None and number >= target.frame:
                begins = number
                check_boxes([target], image.shape)
                tracker.init(image, target.box)
            elif begins is not None and number in frames:
                decisions = decide(tracker, image, maps)
                truth = footage.boxes[number] if number < len(footage.boxes) else None
                yield draw_decisions(f"frame {number}", image, tracker, decisions, truth)
                drawn.add(number)
            elif begins is not None:
                tracker.update(image)
            if number >= frames[-1]:
                break
    missing = next((each for each in frames if each not in drawn), None)
    if missing is not None and not (drawn and isinstance(frames, range)):
        begins = target.frame if begins is None else begins
        last = f", and the last frame is {number}" if number < frames[-1] else ""
        where = f"in {footage.name} the target begins in frame {begins}{last}"
        raise ValueError(f"--frames: frame {missing} is not searched: {where}; name others")


class ResultDrawer:
    """Draws the decisions behind a frame of kept results of ours: the network looks there once more, with the box of
    the frame before and the settings of the results. A network is built once for a run."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._trackers: dict[str, Tracker] = {}

    def __call__(self, results: ResultSet, sequence: Sequence, frame: int) -> np.ndarray:
        """A strip, uint8 RGB. Raises ``ValueError`` for results of others and for a checkpoint that is gone."""
        source = str(results.source)
        if source not in self._trackers:
            self._trackers[source] = self._build(results.benchmark, source, results.manifest or {})
        tracker, image = self._trackers[source], read_image(sequence.frames[frame])
        before = results.boxes(sequence)[frame - 1]
        decisions = decide_at(tracker, read_image(sequence.frames[0]), sequence.boxes[0], image, before)
        return draw_decisions(f"frame {frame}", image, tracker, decisions, sequence.boxes[frame])

    def _build(self, benchmark: str, source: str, manifest: abc.Mapping[str, Any]) -> Tracker:
        files = [Path(each["checkpoint"]) for each in manifest.get("runs", []) if each["checkpoint"]]
        file = next(filter(Path.is_file, reversed(files)), None)
        if file is None:
            raise ValueError(f"{source}: its checkpoint is not here ({files[-1] if files else 'none is named'})")
        try:
            form = choose_form(self._paths, checkpoint=file)
        except CheckpointError:  # as its authors released it, without a configuration
            form = choose_form(self._paths, manifest["experiment"], file)
        sections = {key: value for key, value in manifest["settings"].items() if isinstance(value, dict)}
        tested = from_tree(merge(to_tree(form.experiment.for_benchmark(benchmark)), sections), source)
        checksum = f"sha256 {manifest['checkpoint_sha256']}"
        return Tracker(replace(form, experiment=tested, checksum=checksum).network())


def draw_decisions(
    heading: str, image: np.ndarray, tracker: Tracker, decisions: Decisions, truth: np.ndarray | None = None
) -> np.ndarray:
    """A strip, uint8 RGB: the frame with its boxes, the template, the search crop, and all maps of the frame."""
    result, settings = decisions.result, tracker.network.settings
    left, top, right, bottom = result.view.window.inside(image.shape)
    boxes = [(result.box, COLOR_OF[FOUND]), ((left, top, right - left, bottom - top), COLOR_OF[WINDOW])]
    if truth is not None:
        boxes.insert(0, (truth, COLOR_OF[TRUTH]))
    template = tracker.first.view.pixels.round().astype(np.uint8)
    x, y, w, h = result.found.boxes[result.row] * settings.search.size
    panels = [
        Panel("frame", fit_frame(image, boxes, SIDE)),
        Panel("template", fit_frame(template, [(tracker.first.box * len(template), COLOR_OF[FOUND])], SIDE)),
        Panel("search crop", fit_frame(result.crop, [((x - w / 2, y - h / 2, w, h), COLOR_OF[FOUND])], SIDE)),
    ]
    for values, stages, meaning in decisions.maps.values():
        panels += token_panels(result.crop, values[0].numpy(), stages, meaning, SIDE)
    lost = ", lost" if result.lost else ""
    return draw_strip(f"{heading}: score {result.score:.2f}{lost}", panels)
