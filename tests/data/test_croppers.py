"""Crops of a frame: the same as from the whole of it, from no more of it than needed."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.augment import to_grayscale
from lib.data.croppers import FrameCropper
from lib.data.decoding.images import EncodedImage, ImageError, open_image, read_image
from lib.data.decoding.jpeg import JpegHeader
from lib.geometry.crop import Window, cut, padding_mask, padding_value

WIDTH, HEIGHT = 203, 149


def smooth_image(seed: int = 0) -> np.ndarray:
    """As photographs are: more in the large than in the small, no pixel like another, and no color gray."""
    random = np.random.default_rng(seed)
    image = np.zeros((HEIGHT, WIDTH, 3))
    for cells, amplitude in ((4, 90.0), (9, 40.0), (18, 12.0)):
        grid = random.uniform(-1, 1, (cells, cells, 3))
        image += amplitude * cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + (130, 120, 110), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """One picture as JPEG with colors at half resolution, and without loss; sides are odd."""
    folder = tmp_path_factory.mktemp("frames")
    files = {"jpg": folder / "frame.jpg", "png": folder / "frame.png"}
    for file in files.values():
        cv2.imwrite(str(file), smooth_image()[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return files


def windows(count: int, seed: int, most: int = 330) -> list[Window]:
    """Inside, across each border, around everything and beside it; some end exactly at a border."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        side = int(random.integers(1, most if number % 2 else 90))
        corner = [int(random.integers(-1 - side, length + 2)) for length in (WIDTH, HEIGHT)]
        if number % 3 == 0:
            axis = number % 2
            corner[axis] = int(random.choice([0, (WIDTH, HEIGHT)[axis] - side]))
        found.append(Window(*corner, side, border=int(random.integers(2))))
    return found


def crop_of_whole(file: Path, window: Window, size: int, flipped: bool, grayscale: bool, fill: str) -> np.ndarray:
    """Decode all, take the colors, flip, cut."""
    image = read_image(file)
    if grayscale:
        image = to_grayscale(image)
    if flipped:
        image = cv2.flip(image, 1)
    return cut(image, window, size, padding_value(image, fill))


@pytest.mark.parametrize("fill", ["zero", "mean"])
@pytest.mark.parametrize("kind, decoder", [("jpg", "auto"), ("jpg", "opencv"), ("png", "opencv")])
def test_a_crop_is_that_of_the_whole_frame_at_every_border(files, kind, decoder, fill):
    for number, window in enumerate(windows(24, seed=7)):
        for flipped, grayscale in product((False, True), repeat=2):
            size = (32, 57)[number % 2]
            found = FrameCropper(open_image(files[kind], decoder), fill).crop(window, size, flipped, grayscale)
            expected = crop_of_whole(files[kind], window, size, flipped, grayscale, fill)
            np.testing.assert_array_equal(found, expected)
            assert found.flags.c_contiguous and found.shape == (size, size, 3)


class SpiedImage(EncodedImage):
    """An image that decodes the region that is asked for, and keeps a list of these."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, b"", "opencv", JpegHeader(HEIGHT, WIDTH, 16))
        self.picture, self.asked = read_image(file), []

    def _decode(self, region):
        self.asked.append(region)
        left, top, right, bottom = region
        self._decoded = left, top, self.picture[top:bottom, left:right]
        return self._decoded


def test_only_what_a_crop_shows_is_asked_for(files):
    image = SpiedImage(files["jpg"])
    cropper = FrameCropper(image)
    cropper.crop(Window(20, 30, 50), 32, False, False)
    cropper.crop(Window(20, 30, 50), 32, True, False)
    cropper.crop(Window(-20, 120, 50), 32, False, False)
    cropper.crop(Window(-20, 120, 50), 32, True, True)
    cropper.crop(Window(-20, 120, 50, border=0), 32, True, False)
    cropper.crop(Window(300, 30, 50), 32, True, True)
    regions = [
        (20, 30, 70, 80),
        (WIDTH - 70, 30, WIDTH - 20, 80),
        (0, 120, 30, HEIGHT - 1),
        (WIDTH - 30, 120, WIDTH, HEIGHT - 1),
        (WIDTH - 30, 120, WIDTH, HEIGHT),
    ]
    assert image.asked == regions


def test_the_whole_is_asked_for_where_its_mean_is_shown(files):
    image = SpiedImage(files["jpg"])
    cropper = FrameCropper(image, "mean")
    cropper.crop(Window(20, 30, 50), 32, False, False)
    cropper.crop(Window(-20, 30, 50), 32, False, False)
    assert image.asked == [(20, 30, 70, 80), (0, 0, WIDTH, HEIGHT)]


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_crops_of_one_frame_are_decoded_together(files, fill):
    pairs = windows(60, seed=9)
    for small, large in zip(pairs[::2], pairs[1::2], strict=True):
        if any(padding_mask((HEIGHT, WIDTH), window, 32).all() for window in (small, large)):
            continue
        for flipped, grayscale in product((False, True), repeat=2):
            image = SpiedImage(files["jpg"])
            cropper = FrameCropper(image, fill)
            cropper.keep((small, large), flipped)
            for window in (small, large):
                found = cropper.crop(window, 32, flipped, grayscale)
                expected = crop_of_whole(files["jpg"], window, 32, flipped, grayscale, fill)
                np.testing.assert_array_equal(found, expected)
            assert len(image.asked) == 1
    image = SpiedImage(files["jpg"])
    FrameCropper(image).keep([Window(20, 30, 50), Window(60, 10, 30)], False)
    assert image.asked == [(20, 10, 90, 80)]


def test_a_damaged_frame_is_an_error(tmp_path, files):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(files["png"].read_bytes()[:60])
    cropper = FrameCropper(open_image(damaged))
    with pytest.raises(ImageError, match=r"damaged.png: no image, or a damaged one"):
        cropper.crop(Window(0, 0, 20), 20, False, False)
