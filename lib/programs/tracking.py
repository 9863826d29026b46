"""The body of `tracking/track.py`: targets of the command line, a network, and the files that are written. It runs
without torch where the network is an exported one."""

import csv
import json
import logging
import re
import signal
from codecs import getwriter
from collections import abc
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, TextIO

import cv2
import numpy as np
from tqdm import tqdm

from lib.config.paths import Paths, load_paths
from lib.data.decoding.video import Frame, VideoReader, VideoSource, VideoWriter
from lib.data.files.texts import decode_text
from lib.export.exported import open_network
from lib.export.record import RECORD
from lib.inference.follow import Step, TargetSpec, follow
from lib.inference.network import Network
from lib.inference.video import ahead, behind, open_video
from lib.runtime.escapes import file_name, for_csv, printable
from lib.runtime.files import replacing
from lib.runtime.locks import only_writer
from lib.runtime.program import RequestError, TextResult
from lib.runtime.stop import interruption, stop_signals
from lib.visualization.boxes import draw_boxes

SHIPPED = "lite"  # the experiment whose network comes with the project
# The target in the first frame of the video that comes with the project.
CLIP_TARGET = TargetSpec("horse", (11.0, 71.0, 222.0, 163.0))

VIDEO, TRACKS, TABLE = "tracked.mp4", "tracks.json", "tracks.csv"
GRAMMAR = "[name=]x,y,w,h[@frame], such as car=11,71,222,163 or 40,30,20,20@120"
_WINDOW = "tracked"
NO_WINDOW = (
    "this OpenCV opens no window; pip install opencv-python in place of opencv-python-headless, or draw the box in the "
    "page of python tracking/demo.py"
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_TARGET = re.compile(
    rf"(?:(?P<name>[^=,@]+)=)?(?P<box>{_NUMBER}(?:\s*,\s*{_NUMBER}){{3}})(?:@(?P<frame>\d+))?", re.ASCII
)
_NAME = re.compile(r"\w(?:[\w .-]{0,38}[\w-])?")

logger = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """The files to write: the folder, whether a video and plain texts are among them, and whether to ``replace`` files
    that are there; ``show`` opens a window."""

    folder: Path
    video: bool = True
    text: bool = False
    replace: bool = False
    show: bool = False

    def names(self, targets: Iterable[TargetSpec] = ()) -> list[str]:
        """The names of the files, with the texts of these targets."""
        texts = [f"{target.name}.txt" for target in targets if self.text]
        return [*([VIDEO] if self.video else []), TABLE, TRACKS, *texts]


def parse_targets(texts: Iterable[str], files: Iterable[Path] = ()) -> list[TargetSpec]:
    """Targets as ``[name=]x,y,w,h[@frame]``, from words and from the lines of text files (``#`` begins a comment). One
    without a name is called by its number. Raises ``ValueError`` naming the word, or the file and line."""
    words = [(text, text) for text in texts]
    for file in files:
        for number, line in enumerate(decode_text(file.read_bytes(), file).splitlines(), start=1):
            if content := line.partition("#")[0].strip():
                words.append((content, f"{file}, line {number}: {content}"))
    return [_parse_target(text, where, number) for number, (text, where) in enumerate(words, start=1)]


def _parse_target(text: str, where: str, number: int) -> TargetSpec:
    match = _TARGET.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{where}: no target; write {GRAMMAR}")
    name = (match["name"] or str(number)).strip()
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{where}: a name is up to 40 letters, digits, blanks, dots, - and _, from a letter or digit on"
        )
    box = tuple(float(word) for word in match["box"].split(","))
    if min(box[2:]) <= 0:
        raise ValueError(f"{where}: the box has no size; write {GRAMMAR}, w and h above 0")
    return TargetSpec(name, box, int(match["frame"] or 0))


def source_name(source: str) -> str:
    """The name of a source's output folder: the folder's name, the file's without its suffix, or ``camera<N>``."""
    path = Path(source)
    name = file_name(path.name if path.is_dir() else path.stem) or "video"
    return f"camera{name}" if source.isascii() and source.isdigit() else name


def open_tracking_network(
    config: str | None = None,
    checkpoint: Path | None = None,
    network: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    overrides: abc.Sequence[str] = (),
    paths: Paths | None = None,
    recover: bool = False,
) -> Network:
    """The network to track with: the exported one in the folder ``network``, or the experiment ``config`` with the
    weights of ``checkpoint``. torch is imported only for the second.

    Without any of them it is the tracker that ships, on a CPU in its exported form if that is among the pretrained
    models (the folder ``lite``). With ``recover`` lost targets are searched for over the whole image. Raises
    ``ValueError`` with the remedy.
    """
    paths = paths or load_paths()
    exported = paths.weights(SHIPPED)
    named = config or checkpoint or overrides or device not in ("auto", "cpu")
    if network is None and not named and (exported / RECORD).is_file():
        network = exported
    if network is not None:
        return open_network(network, threads, recover=recover)
    import torch  # which takes seconds

    from lib.programs.network_choice import choose_form

    if threads:
        torch.set_num_threads(threads)
    chosen = config or (None if checkpoint else SHIPPED)
    overrides = [*overrides, *(["test.tracker.recover=true"] if recover else [])]
    return choose_form(paths, chosen, checkpoint, overrides, device).network()


def run_track(
    paths: Paths,
    video: str,
    box: abc.Sequence[str] = (),
    boxes: abc.Sequence[Path] = (),
    select: bool = False,
    config: str | None = None,
    checkpoint: Path | None = None,
    network: Path | None = None,
    recover: bool = False,
    device: str = "auto",
    threads: int | None = None,
    overrides: abc.Sequence[str] = (),
    out: Path | None = None,
    force: bool = False,
    text: bool = False,
    no_video: bool = False,
    show: bool = False,
) -> TextResult:
    """The body of `tracking/track.py`: track the targets ``box`` and those in the files ``boxes`` through ``video``,
    with the network of ``open_tracking_network``. For the rest see ``track_video`` and ``Wanted``."""
    if not (box or boxes or select):
        raise RequestError(f"name a target with --box {GRAMMAR}; or add --select and draw it")
    if network and (config or checkpoint or overrides):
        raise RequestError("--network has its settings with it; leave out --config, --checkpoint and overrides")
    targets = parse_targets(box, boxes)
    wanted = Wanted(out or paths.output / "track" / source_name(video), not no_video, text, force, show)
    opened = open_tracking_network(config, checkpoint, network, device, threads, overrides, paths, recover)
    return track_video(video, targets, opened, wanted, select)


def track_video(
    source: str, targets: abc.Sequence[TargetSpec], network: Network, wanted: Wanted, select: bool = False
) -> TextResult:
    """Track ``targets`` through a video, folder, camera or address, and write the files of ``wanted``.

    With ``select`` further targets are drawn in a window on the first frame. SIGINT and SIGTERM end the tracking early
    with complete files and are then raised as ``KeyboardInterrupt``. An error leaves complete files too, up to the
    frame before it. Raises ``ValueError``.
    """
    count, started, begun = 0, perf_counter(), set()
    with ExitStack() as stack:
        video = stack.enter_context(open_video(source))
        if select:
            targets = [*targets, *select_targets(video.first.image, len(targets))]
        stack.enter_context(only_writer(wanted.folder, wanted.folder / ".track.lock"))
        there = [name for name in wanted.names(targets) if (wanted.folder / name).exists()]
        if there and not wanted.replace:
            remedy = "name another folder with --out, or add --force"
            raise ValueError(f"{wanted.folder / there[0]}: is there already; {remedy}")
        stop = stack.enter_context(stop_signals())
        audio = Path(video.name) if isinstance(video, VideoReader) and Path(video.name).is_file() else None
        steps = stack.enter_context(closing(written_steps(video, targets, network, wanted, audio)))
        if wanted.show:
            _open_window()
            stack.callback(cv2.destroyWindow, _WINDOW)
        bar = tqdm(total=video.length, unit=" frame", dynamic_ncols=True, smoothing=0.05, disable=None)
        stack.enter_context(bar)
        for step in steps:
            count += 1
            begun.update(step.results)
            bar.update()
            if stop.received or (wanted.show and _show(step)):
                break
    seconds = perf_counter() - started
    if video.shortfall:
        logger.warning(video.shortfall)
    for target in targets:
        if target.name not in begun:
            logger.warning("target %s: begins at frame %d, and none came after it", target.name, target.frame)
    lines = [f"{count} frames in {seconds:.1f} s ({count / seconds:.1f} frames/s)"]
    if video.dropped:
        lines.append(f"{video.dropped} frames of the source came too fast and were left out")
    text = "\n".join([*lines, *(printable(str(wanted.folder / name)) for name in wanted.names())])
    if stop.received:
        name = signal.Signals(stop.received).name
        raise interruption(stop.received, f"stopped by {name} after {text}\nthe files are complete")
    return TextResult(text)


def written_steps(
    video: VideoSource, targets: abc.Sequence[TargetSpec], network: Network, wanted: Wanted, audio: Path | None = None
) -> Iterator[Step]:
    """The steps of ``follow``, each written to the files of ``wanted``; frames are read and drawn by other threads.

    ``audio`` is a file whose sound goes into the video. The files are finished when the steps end, and when the caller
    closes this generator before (``contextlib.closing``) or an error ends it.
    """
    with ExitStack() as stack:
        frames: Iterable[Frame] = video if video.live else stack.enter_context(closing(ahead(video)))
        write = stack.enter_context(_open_tables(wanted, video, targets, network.name))
        queue = None
        if wanted.video:
            writer = VideoWriter(wanted.folder / VIDEO, video.rate, video.time_base, audio, video.start)
            stack.enter_context(writer)
            queue = stack.enter_context(behind(lambda step: writer.write(draw_step(step), step.time)))
        for step in follow(frames, targets, network):
            write(step)
            if queue:
                queue(step)
            yield step


def draw_step(step: Step) -> np.ndarray:
    """The frame with its targets' boxes and names, RGB uint8 ``[H, W, 3]``."""
    boxes = {name: result.box for name, result in step.results.items()}
    return draw_boxes(step.image, boxes, [name for name, result in step.results.items() if result.lost])


@contextmanager
def _open_tables(
    wanted: Wanted, video: VideoSource, targets: abc.Sequence[TargetSpec], network: str
) -> Iterator[Callable[[Step], None]]:
    """Open ``tracks.json`` and ``tracks.csv``, and a text for each target on request. The function adds a frame. The
    files take their names at the end of the block, also after an error, with the frames until then."""
    with ExitStack() as stack:

        def create(name: str) -> TextIO:
            return getwriter("utf-8")(stack.enter_context(replacing(wanted.folder / name)))

        names = [target.name for target in targets]
        tracks, table = create(TRACKS), create(TABLE)
        texts = {name: create(f"{name}.txt") for name in names if wanted.text}
        size = {"width": video.width, "height": video.height, "rate": float(video.rate)}
        head = {"video": printable(video.name), **size, "network": network, "targets": names, "frames": []}
        tracks.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("]\n}"))
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["frame", "time", "target", "box_x", "box_y", "box_w", "box_h", "score", "lost"])
        written, whole = 0, False

        def write(step: Step) -> None:
            nonlocal written
            results = {
                name: {"box": _rounded(result.box), "score": round(result.score, 4), "lost": result.lost}
                for name, result in step.results.items()
            }
            entry = {"frame": step.number, "time": round(step.time, 6), "results": results}
            tracks.write((",\n  " if written else "\n  ") + json.dumps(entry, ensure_ascii=False))
            written += 1
            for name, result in results.items():
                numbers = [*result["box"], result["score"], int(result["lost"])]
                rows.writerow([step.number, entry["time"], for_csv(name), *numbers])
            for name, text in texts.items():
                box = results[name]["box"] if name in results else [float("nan")] * 4
                text.write(",".join(map(str, box)) + "\n")

        try:
            yield write
            whole = not video.shortfall
        finally:
            if written:
                tracks.write(f'\n ],\n "dropped": {video.dropped},\n "whole": {json.dumps(whole)}\n}}\n')
                stack.close()


def _rounded(box: np.ndarray) -> list[float]:
    return [round(number, 2) for number in box.tolist()]


def select_targets(image: np.ndarray, taken: int = 0) -> list[TargetSpec]:
    """Targets drawn with the mouse on ``image`` (RGB): a box, then Enter or the space bar, for each; Esc ends. Raises
    ``ValueError`` where no window can be opened or no box was drawn."""
    try:
        boxes = cv2.selectROIs("draw a box, press Enter; Esc ends", np.ascontiguousarray(image[..., ::-1]))
        cv2.destroyAllWindows()
    except cv2.error as error:
        raise ValueError(f"--select: {NO_WINDOW}") from error
    if len(boxes) == 0:
        raise ValueError("--select: no box was drawn")
    return [TargetSpec(str(number), tuple(map(float, box))) for number, box in enumerate(boxes, start=taken + 1)]


def _open_window() -> None:
    try:
        cv2.namedWindow(_WINDOW, cv2.WINDOW_NORMAL)
    except cv2.error as error:
        raise ValueError(f"--show: {NO_WINDOW}") from error


def _show(step: Step) -> bool:
    """Whether the user has pressed q or Esc."""
    cv2.imshow(_WINDOW, draw_step(step)[..., ::-1])
    return cv2.waitKey(1) & 0xFF in (ord("q"), 27)
