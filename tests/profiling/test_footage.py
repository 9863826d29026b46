"""Frames of a real video at the size of LaSOT's, in GOT-10k's layout."""

import numpy as np
from one_sequence import read_dataset

from lib.profiling.footage import HEIGHT, LARGEST, SMALLEST, WIDTH, read_footage, write_footage


def test_sequences_in_got10ks_layout(tmp_path):
    size = write_footage(tmp_path, sequences=2, frames=2)
    sequences = read_dataset("got10k", "full", tmp_path)
    assert [len(sequence) for sequence in sequences] == [2, 2]
    lengths = [frame.stat().st_size for sequence in sequences for frame in sequence.frames]
    assert sum(lengths) == size
    assert min(lengths) > 90_000 and max(lengths) < 140_000
    assert all(sequence.visible.all() for sequence in sequences)
    boxes = np.stack([sequence.boxes for sequence in sequences])
    assert (boxes[..., :2] >= 0).all() and (boxes[..., :2] + boxes[..., 2:] <= (WIDTH, HEIGHT)).all()
    np.testing.assert_allclose(boxes[:, 0, 2:], [[SMALLEST] * 2, [LARGEST] * 2])
    assert (boxes[:, 0] != boxes[:, 1]).any()


def test_frames_beyond_the_end_begin_again():
    frames = read_footage(52)
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(frames[50], frames[0]) and not np.array_equal(frames[1], frames[0])
