"""Frames as a tuple of paths that is not kept in memory."""

import pickle
from pathlib import Path

import pytest

from lib.data.types import FrameFiles


def test_frame_files_are_like_a_tuple_of_paths():
    folder, names = Path("/data/a"), ["00000001.jpg", "00000002.jpg", "10.jpg"]
    frames, paths = FrameFiles(folder, names), tuple(folder / name for name in names)
    assert tuple(frames) == paths and len(frames) == 3
    assert frames[-1] == paths[-1] and tuple(frames[1:]) == paths[1:] and paths[1] in frames
    assert tuple(pickle.loads(pickle.dumps(frames))) == paths
    with pytest.raises(IndexError):
        frames[3]
