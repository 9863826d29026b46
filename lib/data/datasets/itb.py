"""ITB: a folder for each scene, with a folder for each video."""

from collections import Counter
from collections.abc import Iterator

from lib.data.datasets.annotations import Listed, list_folders
from lib.data.datasets.record import Benchmark, Dataset
from lib.data.files.source import Source


def list_itb(source: Source, split: str) -> Iterator[Listed]:
    """The videos by scene and name; as in OSTrack, a name with a dot in the root is no scene.

    A video has images ``<number>.jpg`` and boxes in ``groundtruth.txt``. A sequence is named after its video, and after
    its scene too if another scene has a video of that name.
    """
    scenes = [scene for scene in list_folders(source) if "." not in scene]
    videos = [(scene, video) for scene in scenes for video in list_folders(source, scene)]
    count = Counter(video for _, video in videos)
    for scene, video in videos:
        name = video if count[video] == 1 else f"{scene}_{video}"
        yield Listed(name, f"{scene}/{video}", f"{scene}/{video}/groundtruth.txt")


DATASET = Dataset("itb", list_itb, splits=("test",), expected={"test": 180}, benchmarks={"itb": Benchmark("test")})
