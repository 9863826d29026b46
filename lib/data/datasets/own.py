"""A user's own data: folders of images, or video files, with the target's boxes in a text file beside them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lib.data.datasets.annotations import read_numbers
from lib.data.datasets.order import IMAGE_SUFFIXES, is_image, natural_order, order_frames
from lib.data.datasets.record import Benchmark, Dataset, Entry
from lib.data.decoding.videos import OTHER_SUFFIXES, VIDEO_SUFFIXES, unpack_video
from lib.data.files.source import Source, join_key
from lib.data.files.texts import parse_numbers
from lib.data.types import SHORTFALL, FrameFiles, Sequence
from lib.geometry.overlaps import is_box

ALL_FOLDERS = "all"
BOXES_FILE = "groundtruth.txt"
LAYOUT = f"a sequence is images, or a video, in one folder with {BOXES_FILE}, or video.mp4 beside video.txt"
KNOWN = f"images are {', '.join(IMAGE_SUFFIXES)}, videos are {', '.join(VIDEO_SUFFIXES)}"


def list_own(source: Source, split: str) -> Iterator[Entry]:
    """The sequences of the root (split ``all``), or of one folder in it (the name of that folder), in natural order.

    The root is a sequence, or holds sequences, or folders (splits) of sequences. A sequence is a folder of images, or
    of one video, with ``groundtruth.txt``, or a video ``<name>.mp4`` beside ``<name>.txt``; it is named after its
    folder or video, in split ``all`` with the folder around that before it (``train_car``). A line of boxes is x,y,w,h
    in pixels with commas, tabs or blanks; a target that cannot be seen has NaN, or no width. A single line is for the
    first frame, for testing; training needs a line for each frame. Videos are unpacked into ``source.cache``, see
    ``lib.data.decoding.videos``.
    """
    top = "" if split == ALL_FOLDERS else split
    if top and not (top in source.names() and source.is_folder(top)):
        raise ValueError(
            f"{source.location()}: own data has no split {split!r}; it has {ALL_FOLDERS!r}, and each folder in there"
        )
    found = list(_find(source, top, "", depth=1 if top else 2))
    if not found:
        raise ValueError(f"{source.location(top)}: no sequence in there; {LAYOUT}")
    yield from found


def _find(source: Source, folder: str, prefix: str, depth: int) -> Iterator[Entry]:
    """The sequences in a folder, which is one itself, or holds some up to ``depth`` folders deeper.

    A folder with images or ``groundtruth.txt`` is a sequence, whatever it lacks: the error comes when it is read. So is
    a file or folder of another kind with a text of boxes of its name beside it.
    """
    if depth < 0:
        raise ValueError(
            f"{source.location(folder)}: lies too deep, or is a link that leads back; sequences are <root>, "
            "<root>/<sequence> or <root>/<split>/<sequence>"
        )
    names = _names(source, folder)
    whole = BOXES_FILE in names or any(map(is_image, names))
    if whole:
        name = prefix or source.location(folder).name
        yield Entry(name, partial(_read_sequence, source, name, folder, join_key(folder, BOXES_FILE)))
    known = {Path(name).stem for name in names if _is_video(name)}
    for name in names:
        key = join_key(folder, name)
        is_folder = not whole and not _is_video(name) and source.is_folder(key)
        title = name if is_folder else Path(name).stem
        full, boxes = f"{prefix}_{title}" if prefix else title, join_key(folder, f"{title}.txt")
        entry = Entry(full, partial(_read_sequence, source, full, folder, boxes, key))
        if is_folder:
            for inside in _find(source, key, full, depth - 1):
                known.add(title)
                yield inside
        elif _is_video(name):
            if not whole or f"{title}.txt" in names:
                yield entry
        elif not whole and not source.exists(key):
            raise ValueError(f"{source.location(key)}: a link that leads nowhere, or to itself; remove it")
        is_other = is_folder or name.lower().endswith(OTHER_SUFFIXES)
        if is_other and f"{title}.txt" in names and title not in known and _is_boxes(source, boxes):
            yield entry


def _read_sequence(source: Source, name: str, folder: str, boxes_key: str, video: str = "") -> Sequence:
    boxes_file = source.location(boxes_key)
    if not source.exists(boxes_key):
        raise ValueError(f"{boxes_file}: no such file; {LAYOUT}")
    boxes = read_numbers(source, boxes_key, None, 4, remedy="a line is x,y,w,h")
    images = [] if video else list(filter(is_image, _names(source, folder)))
    if images:
        names, note = order_frames(images, source.location(folder), rows=len(boxes))
        frames = FrameFiles(source.location(folder), names)
    else:
        frames, note = _open_video(source, video or _only_video(source, folder))
    if len(boxes) not in (1, len(frames)):
        raise ValueError(
            f"{boxes_file}: {len(boxes)} rows for {len(frames)} frames; write one for each frame, or the first one's "
            "alone"
        )
    return Sequence(name, "own", frames, boxes, is_box(boxes), meta={SHORTFALL: note} if note else {})


def _only_video(source: Source, folder: str) -> str:
    names = _names(source, folder)
    videos = [name for name in names if _is_video(name) and f"{Path(name).stem}.txt" not in names]
    if len(videos) == 1:
        return join_key(folder, videos[0])
    count = len(videos) or "no image and no"
    raise ValueError(f"{source.location(folder)}: {count} videos beside {BOXES_FILE}; {LAYOUT}; {KNOWN}")


def _open_video(source: Source, key: str) -> tuple[FrameFiles, str]:
    video = source.location(key)
    if not _is_video(key):
        raise ValueError(f"{video}: boxes of its name lie beside it, but it is left out; {KNOWN}; rename or convert it")
    if source.cache is None or not isinstance(video, Path):
        raise ValueError(
            f"{video}: the frames of a video are unpacked into a cache, and there is none here; unpack them into a "
            "folder of images yourself"
        )
    frames, note = unpack_video(video, source.peek(key), source.cache)
    for needed in (key, source.key_of(frames.folder)):  # an index of these frames is valid while both are there
        source.exists(needed)
    return frames, note


def _names(source: Source, folder: str) -> list[str]:
    """The entries of a folder in natural order, without hidden ones and those of macOS."""
    return sorted((n for n in source.names(folder) if not n.startswith((".", "__MACOSX"))), key=natural_order)


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES)


def _is_boxes(source: Source, key: str) -> bool:
    """Whether a text begins with four numbers, as boxes do and notes do not."""
    try:
        return len(parse_numbers(source.text(key).partition("\n")[0])) == 4
    except ValueError:
        return False


DATASET = Dataset(
    "own",
    list_own,
    splits=(ALL_FOLDERS,),
    more_splits=True,
    # Only its owner knows whether it is a test set.
    benchmarks={"own": Benchmark(ALL_FOLDERS, test_set=False)},
)
