"""The server's answers: the way of a video, and what is refused."""

import errno
import json
import re
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from starlette.testclient import TestClient
from toy_demo import refusal

from lib.programs.demo.server import Demo

TARGETS = [{"name": "<b>one</b>", "box": [10, 20, 20, 20]}, {"name": "two", "box": [50, 10, 16, 24]}]


def events(client: TestClient, video: str) -> list[tuple[str, Any]]:
    """All events of a video's job, to its end."""
    text = client.get(f"/api/videos/{video}/events").text
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks]


def opened(client: TestClient) -> str:
    return client.post("/api/clip").json()["id"]


def test_a_video_from_its_upload_to_its_removal(client: TestClient, demo: Demo, clip: Path):
    video = client.post("/api/videos?name=my clip.mp4", content=clip.read_bytes()).json()
    assert video == {
        "id": video["id"], "name": "my clip.mp4", "width": 96, "height": 64, "rate": 25, "length": 12,
    }  # fmt: skip
    path = f"/api/videos/{video['id']}"
    assert client.get(f"{path}/first.jpg").content[:2] == b"\xff\xd8"
    assert refusal(client.get(f"{path}/events"), 404) == "this video was not tracked yet"
    began = client.post(f"{path}/track", json={"tracker": 0, "targets": TARGETS})
    assert began.json() == {"targets": ["<b>one</b>", "two"]}
    *messages, (last, end) = events(client, video["id"])
    assert last == "end" and end["state"] == "done" and end["count"] == 12 and end["maps"]
    rows = [row for _, message in messages for row in message["rows"]]
    assert rows == demo.jobs[video["id"]].rows and len(rows) == 12
    assert rows[0][2] == [[10, 20, 20, 20, 1, 0], [50, 10, 16, 24, 1, 0]]
    assert messages[-1][1]["shown"] == 11 and messages[-1][1]["picture"].startswith("/9j/")
    tracks = client.get(f"{path}/files/tracks.json?save")
    assert tracks.headers["content-disposition"] == 'attachment; filename="my_clip_tracks.json"'
    assert tracks.json()["targets"] == ["<b>one</b>", "two"]
    part = client.get(f"{path}/files/tracked.mp4", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    maps = client.get(f"{path}/maps?frame=3").json()["maps"]
    assert [(each["target"], each["name"]) for each in maps] == [
        (target, name) for target in ("<b>one</b>", "two") for name in ("scores", "division")
    ]
    assert client.get("/api/state").json()["trackers"][0]["speed"] == demo.jobs[video["id"]].speed
    folder = demo.videos[video["id"]].folder
    assert client.post(f"{path}/close").json() == {}
    assert not folder.exists()
    assert refusal(client.get(f"{path}/first.jpg"), 404) == "this video was removed; open it again"


def test_the_page_is_here_and_names_no_other_site(client: TestClient):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for path in ("/", "/style.css", "/script.js"):
        text = client.get(path).text
        assert "//" not in text.replace("// ", ""), f"{path} names an address"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"


def test_uploads_that_are_not_a_video_or_too_large(client: TestClient, demo: Demo, tmp_path: Path):
    text = refusal(client.post("/api/videos?name=../notes.txt", content=b"hello"), 400)
    assert text.startswith("notes.txt: no video that can be read here; choose a video file")
    large = client.post("/api/videos?name=a.mp4", content=bytes(demo.videos.limit + 1))
    assert refusal(large, 413).startswith("a.mp4: larger than 0 MB; choose a shorter video")

    def stream():
        yield bytes(demo.videos.limit)
        yield b"more"

    assert refusal(client.post("/api/videos?name=a.mp4", content=stream()), 413).startswith("a.mp4: larger")
    assert list((tmp_path / "session").iterdir()) == []


def test_a_full_disk_is_one_line(client: TestClient, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("lib.programs.demo.videos.open", Mock(side_effect=full), raising=False)
    assert "No space left" in refusal(client.post("/api/videos?name=a.mp4", content=b"video"), 400)


def test_requests_that_cannot_be_tracked(client: TestClient):
    path = f"/api/videos/{opened(client)}/track"
    for targets, reason in (
        ([], "targets: got .*should have at least 1 item"),
        ("x", "targets: got .*should be a list"),
        (TARGETS * 9, "targets: got .*should have at most 16 items"),
        ([{"name": "a", "box": [200, 10, 20, 20]}], "target a: the first box .* lies outside the image of 96 x 64"),
        ([{"name": "a", "box": [1, 1, 5]}], "targets.0.box.3: missing"),
        ([{"name": "a", "box": [1, 1, 5, True]}], "targets.0.box.3: .*should be a valid number"),
        ([{"name": " ", "box": [1, 1, 5, 5]}], "targets.0.name: .*should have at least 1 character"),
    ):
        assert re.search(reason, refusal(client.post(path, json={"tracker": 0, "targets": targets}), 400))
    for tracker in (None, "0", True, 1.5):
        text = refusal(client.post(path, json={"tracker": tracker, "targets": TARGETS}), 400)
        assert text.startswith("the request: tracker: ")
    for body in (b"", b"[]", b"{", b'{"targets": NaN}'):
        refusal(client.post(path, content=body), 400)


def test_a_name_is_one_line_and_a_tracker_that_is_not_there_fails_the_job(client: TestClient):
    video, target = opened(client), {"name": "a\nb\x1b", "box": [1, 1, 5, 5]}
    began = client.post(f"/api/videos/{video}/track", json={"tracker": 9, "targets": [target]})
    assert began.json() == {"targets": [r"a\nb\x1b"]}
    ((kind, end),) = events(client, video)
    assert (kind, end["state"], end["message"]) == ("end", "failed", "no tracker has the number 9; reload the page")


def test_one_tracking_at_a_time_and_it_can_be_stopped(client: TestClient, demo: Demo, monkeypatch):
    held, open_network = threading.Event(), demo.trackers.open

    def wait_and_open(number: int):
        held.wait(60)
        return open_network(number)

    monkeypatch.setattr(demo.trackers, "open", wait_and_open)
    first, second = opened(client), opened(client)
    question = {"tracker": 0, "targets": TARGETS}
    assert client.post(f"/api/videos/{first}/track", json=question).status_code == 200
    busy = "another video is being tracked; wait for its end, or stop it on its page"
    assert refusal(client.post(f"/api/videos/{second}/track", json=question), 409) == busy
    assert refusal(client.post("/api/trackers/0/measure"), 409) == busy
    assert refusal(client.get(f"/api/videos/{first}/files/tracks.json"), 404).startswith("no such file")
    assert client.post(f"/api/videos/{first}/stop").json() == {}
    held.set()
    ((kind, end),) = events(client, first)
    assert (kind, end["state"]) == ("end", "stopped")
    assert client.post(f"/api/videos/{second}/track", json=question).status_code == 200
    assert events(client, second)[-1][1]["state"] == "done"


def test_only_results_and_the_page_are_given_out(client: TestClient):
    video = opened(client)
    client.post(f"/api/videos/{video}/track", json={"tracker": 0, "targets": TARGETS})
    events(client, video)
    for file in ("source", "..%2f..%2fetc%2fpasswd", "../../state", ".lock", "%2e%2e/first.jpg"):
        assert client.get(f"/api/videos/{video}/files/{file}").status_code == 404
    for path in ("/..%2fserver.py", "/page/index.html", "/api/videos/..%2f/first.jpg", "/x"):
        assert client.get(path).status_code == 404


def test_the_speed_of_a_tracker_is_measured(client: TestClient, monkeypatch):
    monkeypatch.setattr("lib.programs.demo.trackers.MEASURED", 0.05)
    speed = client.post("/api/trackers/0/measure").json()["speed"]
    assert speed == client.get("/api/state").json()["trackers"][0]["speed"] > 0
