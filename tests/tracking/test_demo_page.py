"""The demo's page in a real Chromium: a video chosen, boxes drawn, tracked, looked at and downloaded."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from browser import Browser, missing_browser, open_browser
from toy_demo import HEIGHT, WIDTH, Running, write_clip

from lib.data.decoding.video import VideoReader

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing_browser()), reason=missing_browser() or "there is one")]
EVIL = "<img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def demo(serve) -> Iterator[Running]:
    with serve("--limit", "1") as running:
        yield running
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=60) == 143 and running.uploads == []


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(window: Browser, demo: Running) -> Iterator[Browser]:
    """The page, newly opened; whatever a test does there, it asks no other site and makes no error."""
    address = f"http://127.0.0.1:{demo.port}/"
    window.requests(), window.console()
    window.visit(address)
    until(window, "server !== null")
    yield window
    assert window.console() == []
    assert {url for url in window.requests() if not url.startswith(address)} == set()


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("videos") / "a square.mp4", frames=30)


def until(browser: Browser, condition: str, seconds: float = 60) -> None:
    """Wait for what JavaScript finds true; what the page complains of is in the message."""
    ends = monotonic() + seconds
    while not browser.run(f"return Boolean({condition})"):
        assert monotonic() < ends, f"{condition}: {browser.run('return document.body.innerText')}"
        sleep(0.05)


def element(browser: Browser, css: str) -> str:
    (found,) = browser.find(css)
    return found


def choose(browser: Browser, file: Path) -> None:
    browser.press(element(browser, "#file"), str(file))
    until(browser, "document.body.dataset.state === 'drawing'")


def draw(browser: Browser, box: tuple[int, int, int, int], pointer: str = "mouse") -> None:
    """Drag from corner to corner of a box in pixels of the toy clip."""
    shown = browser.run("return document.getElementById('overlay').clientWidth") / WIDTH
    x, y, w, h = box
    start, end = (
        (round((left - WIDTH / 2) * shown), round((top - HEIGHT / 2) * shown)) for left, top in ((x, y), (x + w, y + h))
    )
    browser.drag(element(browser, "#overlay"), start, end, pointer)


def boxes(browser: Browser) -> list[list[float]]:
    return browser.run("return targets.map(({ box }) => box)")


def fits(browser: Browser) -> bool:
    """Whether nothing is cut off or scrolled at the sides."""
    return browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


def test_from_a_file_to_downloads(page: Browser, square: Path, tmp_path: Path):
    choose(page, square)
    assert not page.run("return document.getElementById('track').disabled === false"), "there is no box yet"
    draw(page, (10, 20, 20, 20))
    draw(page, (60, 10, 20, 30))
    draw(page, (70, 45, 20, 15))
    assert boxes(page)[:2] == [pytest.approx([10, 20, 20, 20], abs=0.5), pytest.approx([60, 10, 20, 30], abs=0.5)]
    page.click(page.find("#targets button")[2])
    assert page.run("return targets.map(({ name }) => name)") == ["target 1", "target 2"]
    name = page.find("#targets input")[0]
    page.run("document.querySelector('#targets input').select()")
    page.press(name, EVIL)
    page.click(element(page, "#track"))
    until(page, "document.body.dataset.state === 'done'")
    assert page.texts("#summary")[0].startswith("Tracked 30 frames at ")
    rows = page.run("return rows")
    assert [row[0] for row in rows] == list(range(30))
    until(page, "video.image && document.getElementById('video').readyState >= 2")

    page.run("document.getElementById('scrub').value = 12")
    page.run("document.getElementById('scrub').dispatchEvent(new Event('input'))")
    assert page.texts("#time") == ["0:00 · frame 12"]
    assert page.texts("#targets output") == [f"{result[4]:.2f}" for result in rows[12][2]]
    until(page, "!document.getElementById('video').seeking")
    assert 12 / 25 <= page.run("return document.getElementById('video').currentTime") <= 13 / 25
    plot = element(page, "#plot")
    page.drag(plot, (0, 0), (40, 0))
    assert 13 <= page.run("return shown") <= 20

    page.click(element(page, "#maps"))
    until(page, "document.querySelectorAll('#pictures img').length === 4")
    assert page.texts("#pictures figcaption")[3] == f"target 2: division, frame {page.run('return shown')}"
    assert page.run("return document.title") == "Track a video" and page.find("img[src=x]") == []

    page.download_to(tmp_path)
    for css in ("#mp4", "#json", "#csv"):
        page.click(element(page, css))
    names = {"a_square_tracked.mp4", "a_square_tracks.json", "a_square_tracks.csv"}
    ends = monotonic() + 60
    while {file.name for file in tmp_path.iterdir()} != names:
        assert monotonic() < ends, list(tmp_path.iterdir())
        sleep(0.05)
    tracks = json.loads((tmp_path / "a_square_tracks.json").read_text())
    assert tracks["targets"] == [EVIL, "target 2"] and len(tracks["frames"]) == 30 and tracks["video"] == "a square.mp4"
    with VideoReader(tmp_path / "a_square_tracked.mp4") as video:
        assert sum(1 for _ in video) == 30


def test_a_box_is_moved_resized_and_deleted(page: Browser, square: Path):
    choose(page, square)
    draw(page, (10, 10, 20, 20))
    draw(page, (20, 20, 10, 5))
    assert boxes(page) == [pytest.approx([20, 15, 20, 20], abs=0.5)], "moved: the drag began inside it"
    draw(page, (40, 35, 10, 15))
    assert boxes(page) == [pytest.approx([20, 15, 30, 35], abs=0.5)], "resized: it began at a corner"
    draw(page, (30, 20, 65, 43))
    assert boxes(page) == [pytest.approx([WIDTH - 30, HEIGHT - 35, 30, 35], abs=0.5)], "kept in the picture"
    page.press(element(page, "#overlay"), "\ue017")
    assert boxes(page) == []


def test_on_a_phone_with_a_finger(page: Browser, square: Path):
    page.emulate(390, 844)
    try:
        assert fits(page)
        page.click(element(page, "#clip"))
        until(page, "document.body.dataset.state === 'drawing'")
        assert fits(page)
        page.click(element(page, "#other"))
        until(page, "document.body.dataset.state === 'empty'")
        choose(page, square)
        draw(page, (10, 20, 20, 20), pointer="touch")
        assert boxes(page) == [pytest.approx([10, 20, 20, 20], abs=0.5)]
        page.click(element(page, "#track"))
        until(page, "document.body.dataset.state === 'done'")
        assert fits(page)
        page.click(element(page, "#again"))
        assert boxes(page) == [pytest.approx([10, 20, 20, 20], abs=0.5)], "the boxes are kept for another try"
    finally:
        page.emulate_nothing()


def test_it_stops_on_request_and_shows_what_it_has(page: Browser, tmp_path: Path):
    choose(page, write_clip(tmp_path / "long.mp4", frames=1500))
    draw(page, (10, 20, 20, 20))
    page.click(element(page, "#track"))
    until(page, "document.body.dataset.state === 'tracking' && rows.length > 3")
    assert page.run("return document.getElementById('progressed').textContent").count("of 1500 frames") == 1
    page.click(element(page, "#stop"))
    until(page, "document.body.dataset.state === 'done'")
    assert page.texts("#summary")[0].startswith("Stopped after ")
    assert 3 < page.run("return rows.length") < 1500


def test_what_cannot_be_opened_is_one_line(page: Browser, tmp_path: Path):
    (tmp_path / "notes.mp4").write_text("hello")
    page.press(element(page, "#file"), str(tmp_path / "notes.mp4"))
    until(page, "!document.getElementById('error').hidden")
    assert page.texts("#error")[0].startswith("notes.mp4: no video that can be read here; choose a video file")
    (tmp_path / "large.mp4").write_bytes(bytes(1_000_001))
    page.press(element(page, "#file"), str(tmp_path / "large.mp4"))
    until(page, "document.getElementById('error').textContent.startsWith('large.mp4: larger than 1 MB')")
    assert page.run("return document.body.dataset.state") == "empty"
    (refused,) = page.console()
    assert "/api/videos?name=notes.mp4" in refused, "the browser logs the refusal itself"


def test_leaving_the_page_removes_the_video(page: Browser, demo: Running, square: Path):
    choose(page, square)
    assert len(demo.uploads) == 1
    page.visit("about:blank")
    ends = monotonic() + 60
    while demo.uploads:
        assert monotonic() < ends
        sleep(0.05)
