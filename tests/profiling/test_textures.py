"""Frames that cost as much as photographs of their size, in GOT-10k's layout."""

import numpy as np
from one_sequence import read_dataset

from lib.data.decoding.images import read_image
from lib.profiling.textures import HEIGHT, LARGEST, SMALLEST, WIDTH, write_textures


def test_sequences_in_got10ks_layout(tmp_path):
    size = write_textures(tmp_path, sequences=3, frames=2)
    sequences = read_dataset("got10k", "full", tmp_path)
    assert [len(sequence) for sequence in sequences] == [2, 2, 2]
    frames = [frame for sequence in sequences for frame in sequence.frames]
    lengths = [frame.stat().st_size for frame in frames]
    assert sum(lengths) == size
    assert min(lengths) > 80_000 and max(lengths) < 130_000
    assert all(sequence.visible.all() for sequence in sequences)
    boxes = np.stack([sequence.boxes for sequence in sequences])
    assert (boxes[..., :2] >= 0).all() and (boxes[..., :2] + boxes[..., 2:] <= (WIDTH, HEIGHT)).all()
    sides = np.sqrt(boxes[:, 0, 2:].prod(axis=1))
    np.testing.assert_allclose(sides[[0, -1]], [SMALLEST, LARGEST], rtol=0.03)
    assert (boxes[:, 0] != boxes[:, 1]).any()


def test_a_seed_is_a_set(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_textures(tmp_path / name, sequences=1, frames=1, seed=seed)
    a, b, c = (read_image(next((tmp_path / name).rglob("*.jpg"))) for name in "abc")
    assert a.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(a, b) and not np.array_equal(a, c)
