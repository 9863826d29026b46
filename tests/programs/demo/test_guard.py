"""Requests that are refused before the server answers them."""

import pytest
from starlette.testclient import TestClient
from toy_demo import refusal

from lib.programs.demo.server import Demo, make_app


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "[", "localhost@evil.example"])
def test_another_site_that_points_its_name_here_is_refused(client: TestClient, host: str):
    for path in ("/", "/api/state"):
        assert "host name" in refusal(client.get(path, headers={"Host": host}), 403)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "LOCALHOST"])
def test_names_of_this_machine_are_served(client: TestClient, host: str):
    assert client.get("/api/state", headers={"Host": host}).status_code == 200


def test_another_site_cannot_make_a_browser_change_anything(client: TestClient):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
        assert "another site" in refusal(client.post("/api/clip", headers={"Origin": origin}), 403)
    assert client.post("/api/clip", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


def test_a_server_of_a_network_takes_addresses_and_its_own_name(demo: Demo):
    with TestClient(make_app(demo, "Desk.local")) as client:
        for host, status in (("192.168.0.5:8000", 200), ("desk.local:8000", 200), ("desk.local.evil.example", 403)):
            assert client.get("/api/state", headers={"Host": host}).status_code == status


def test_a_request_that_is_too_long(client: TestClient):
    refusal(client.post("/api/videos/any/track", content=b" " * 200_000), 413)
