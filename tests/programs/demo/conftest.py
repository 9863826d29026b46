"""What the tests of the demo share: a clip, a run, and a client of the server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from toy_demo import write_clip, write_run

from lib.config.paths import Paths
from lib.programs.demo.server import Demo, make_app
from lib.programs.demo.trackers import Trackers, find_trackers
from lib.programs.demo.videos import Videos

LIMIT = 200_000


@pytest.fixture(autouse=True, scope="module")
def _nothing_ships() -> Iterator[None]:
    """Only trackers written by a test are listed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.config.paths.SHIPPED_WEIGHTS", Path("/nowhere"))
        yield


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "square.mp4")


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """An output folder with one run."""
    folder = tmp_path_factory.mktemp("places")
    write_run(folder / "output")
    return Paths(output=folder / "output", pretrained_models=folder / "weights", cache=folder / "cache")


@pytest.fixture
def demo(places: Paths, clip: Path, tmp_path: Path) -> Demo:
    folder = tmp_path / "session"
    folder.mkdir()
    return Demo(Videos(folder, LIMIT), Trackers(places, find_trackers(places), "cpu"), clip)


@pytest.fixture
def client(demo: Demo) -> Iterator[TestClient]:
    app = make_app(demo, "127.0.0.1")
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client
