"""Look and place: the same crops from an array and from a file of which only a region is decoded."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.decoding import images
from lib.data.decoding.images import open_image, read_image
from lib.geometry.crop import CropConfig, box_from_crop, crop_window, cut
from lib.inference.settings import TrackerConfig, TrackSettings
from lib.inference.target import Target, begin, look, place

BOXES = [(40, 30, 20, 16), (-5, 60, 30, 20), (130, 90, 30, 40), (70, 50, 60, 50), (300, 300, 8, 8)]


@pytest.fixture(scope="module", params=[".jpg", ".png"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("image") / f"frame{request.param}"
    cv2.imwrite(str(path), cv2.resize(noise, (160, 120)))
    return path


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("padding", [0, (30, 60, 90)])
def test_a_file_gives_the_crop_of_the_whole_image(file, box, padding):
    target, crop = Target(np.array(box, dtype=np.float64), padding), CropConfig(size=48, factor=3.0)
    whole = read_image(file)
    of_array, of_file = look(whole, target, crop), look(open_image(file), target, crop)
    window = crop_window(box, crop.factor)
    assert np.array_equal(of_array.pixels, cut(whole, window, crop.size, padding))
    assert np.array_equal(of_file.pixels, of_array.pixels)
    assert (of_file.window, of_file.height, of_file.width) == (window, 120, 160)


@pytest.mark.parametrize("fill", ["zero", "mean"])
@pytest.mark.parametrize("template_box", ["label", "truncated"])
def test_a_target_begins_alike_in_an_array_and_a_file(file, fill, template_box):
    settings = TrackSettings(
        template=CropConfig(size=32, factor=2.0, context="perimeter", fill=fill),
        search=CropConfig(size=48, factor=4.0, context="perimeter", fill=fill),
        tracker=TrackerConfig(template_box=template_box),
    )
    of_array, of_file = (begin(image, BOXES[1], settings) for image in (read_image(file), open_image(file)))
    assert np.array_equal(of_array.view.pixels, of_file.view.pixels)
    assert np.array_equal(of_array.box, of_file.box) and of_array.box.dtype == np.float32
    assert of_array.target.padding == of_file.target.padding
    assert (of_array.target.padding == 0) == (fill == "zero")


@pytest.mark.skipif(images.find_decoder("auto") != "turbojpeg", reason="needs the decoder that reads regions")
def test_only_the_windows_region_of_a_jpeg_is_decoded(tmp_path, monkeypatch):
    path, regions = tmp_path / "large.jpg", []
    cv2.imwrite(str(path), np.zeros((400, 600, 3), np.uint8))
    decode = images.DECODERS["turbojpeg"].decode

    def recording(data, header, region):
        regions.append(region)
        return decode(data, header, region)

    monkeypatch.setitem(images.DECODERS, "turbojpeg", images.DECODERS["turbojpeg"]._replace(decode=recording))
    look(open_image(path), Target(np.array([100.0, 80.0, 40.0, 40.0]), 0), CropConfig(size=64, factor=2.0))
    assert regions == [(80, 60, 160, 140)]


def test_a_found_box_is_placed_where_the_crop_was_cut():
    image, box = np.zeros((120, 160, 3), np.uint8), np.array([60.0, 40.0, 20.0, 24.0])
    crop = CropConfig(size=64, factor=4.0)
    view, found = look(image, Target(box, 0), crop), np.array([0.6, 0.4, 0.25, 0.2], np.float32)
    expected = box_from_crop(found, box, crop.size / view.window.side, crop.size)
    np.testing.assert_array_equal(place(found, 0.5, view, TrackerConfig()), expected)
    with pytest.raises(ValueError, match="not finite"):
        place(found, float("nan"), view, TrackerConfig())
