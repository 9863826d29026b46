"""The contestants of a measurement do the same work, and time is attributed to the right package.

The measurement itself, in processes, is run by tests/tracking/test_profile_data.py.
"""

import time
from pathlib import Path

import numpy as np
import pytest
from listed_sequences import ListedSequences

from lib.data.augment import JitterConfig
from lib.data.pairs import Pairs
from lib.data.pools import Pool
from lib.geometry.crop import CropConfig
from lib.profiling import samples
from lib.profiling.samples import CONFIG, PACKAGES, Straightforward, share_packages

TEMPLATE, SEARCH = CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0)
LIB = Path(samples.__file__).parents[1]


@pytest.fixture
def sequence(make_sequence):
    """Targets at every border, so that crops need padding."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(20)]
    corners = [(0, 0), (78, 3), (80, 60), (2, 58), (40, 30)]
    return make_sequence("a", images, [(*corners[frame % 5], 20, 18 + frame) for frame in range(20)])


def test_the_straightforward_way_makes_the_same_pairs(sequence):
    """With neither gray nor mirrored crops its pixels are those of training, over 255, redrawn pairs among them."""
    plain = {"grayscale": 0.0, "joint_flip": 0.0, "flip": 0.0, "decoder": "opencv"}
    jitter = JitterConfig(center=8.0, scale=0.25)  # some crops are empty, and are drawn again
    config = CONFIG.model_copy(update=plain | {"search_jitter": jitter})
    pairs = Pairs(config, [Pool(ListedSequences([sequence]))], TEMPLATE, SEARCH, seed=3)
    straightforward = Straightforward(ListedSequences([sequence]), config, TEMPLATE, SEARCH, seed=3)
    made = [pairs.sample(number) for number in range(60)]
    assert any(sample.empty for sample in made)
    for number, sample in enumerate(made):
        template, search = straightforward.sample(number)
        np.testing.assert_array_equal(template.numpy(), sample.template[0].numpy() / np.float32(255))
        np.testing.assert_array_equal(search.numpy(), sample.search[0].numpy() / np.float32(255))


def test_shares_of_real_samples(sequence):
    shares = share_packages(
        Pairs(CONFIG, [Pool(ListedSequences([sequence]))], TEMPLATE, SEARCH, seed=0).sample, range(20)
    )
    assert list(shares) == [*PACKAGES, "rest"] and sum(shares.values()) == pytest.approx(1)
    assert min(shares["data.decoding"], shares["geometry"], shares["rest"]) > 0


def test_a_function_outside_of_lib_counts_for_the_package_that_called_it():
    def made(file: str, source: str, **names):
        exec(compile(source, file, "exec"), names)
        return names["f"]

    rest = made("/python/pathlib.py", "def f(s): sleep(s)", sleep=time.sleep)
    decode = made(f"{LIB}/data/decoding/images.py", "def f(): g(0.06)", g=rest)
    crop = made(f"{LIB}/geometry/crop.py", "def f(): g(0.02); decode()", g=rest, decode=decode)
    sample = made(f"{LIB}/data/pairs.py", "def f(_): crop(); g(0.02)", crop=crop, g=rest)
    shares = share_packages(sample, range(2))
    expected = {"data.stores": 0.0, "data.decoding": 0.6, "geometry": 0.2, "rest": 0.2}
    assert shares == pytest.approx(expected, abs=0.1)


def test_packages_with_a_column_exist():
    assert all((LIB / package.replace(".", "/") / "__init__.py").exists() for package in PACKAGES)
