"""A real Chromium for tests, driven by chromedriver in the W3C WebDriver protocol (JSON over HTTP on this machine)."""

import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ENTER = "\ue007"
# As root in a container there is no sandbox and little /dev/shm; the rest keeps a fresh profile from waiting for the
# network, for minutes where there is none.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--window-size=1300,1000",
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of a reference, by the protocol
_PATIENCE = 60  # seconds for an answer


def missing_browser() -> str:
    """Why there can be no browser here, or an empty text."""
    names = ("chromium", "chromedriver")
    missing = [name for name in names if shutil.which(name) is None]
    return f"no {' and no '.join(missing)} (Debian: apt-get install chromium chromium-driver)" if missing else ""


class Browser:
    """One window. Elements are references, which a page's redrawing makes stale. Refusals raise ``AssertionError``."""

    def __init__(self, port: int, profile: Path, flags: tuple[str, ...]) -> None:
        self._port, self._session = port, ""
        options = {"binary": shutil.which("chromium"), "args": [*FLAGS, f"--user-data-dir={profile}", *flags]}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        self._session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        # The browser's own first page asks for a lot; none of it is the tests'.
        self.visit("about:blank")
        self.requests(), self.console()

    def open(self, file: Path) -> None:
        """Show a file and wait until it has loaded."""
        self.visit(file.resolve().as_uri())

    def visit(self, address: str) -> None:
        """Show a page of a server and wait until it has loaded."""
        self._command("/url", {"url": address})

    def find(self, css: str, inside: str | None = None) -> list[str]:
        """The elements that a selector fits, of the page or inside another one."""
        place = "/elements" if inside is None else f"/element/{inside}/elements"
        return [found[_ELEMENT] for found in self._command(place, {"using": "css selector", "value": css})]

    def texts(self, css: str, inside: str | None = None) -> list[str]:
        """What is to be read in each of them."""
        return [self.text(element) for element in self.find(css, inside)]

    def text(self, element: str) -> str:
        """What is to be read in it."""
        return self._ask("GET", f"/session/{self._session}/element/{element}/text")

    def click(self, element: str) -> None:
        """With the mouse, where the element is; one that is covered or not shown is refused."""
        self._command(f"/element/{element}/click", {})

    def press(self, element: str, keys: str) -> None:
        """Keys on the keyboard while the element has the focus."""
        self._command(f"/element/{element}/value", {"text": keys})

    def drag(self, element: str, start: tuple[int, int], end: tuple[int, int], pointer: str = "mouse") -> None:
        """With the mouse or a finger ("touch"), between two places in pixels from the element's middle."""
        moves = [
            {"type": "pointerMove", "duration": 50, "origin": {_ELEMENT: element}, "x": x, "y": y}
            for x, y in (start, ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2), end)
        ]
        actions = [moves[0], {"type": "pointerDown", "button": 0}, *moves[1:], {"type": "pointerUp", "button": 0}]
        source = {"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": actions}
        self._command("/actions", {"actions": [source]})

    def run(self, script: str) -> Any:
        """What the body of a function in JavaScript returns, in plain types."""
        return self._command("/execute/sync", {"script": script, "args": []})

    def resize(self, width: int, height: int) -> None:
        """The window's size, in pixels."""
        self._command("/window/rect", {"width": width, "height": height})

    def emulate(self, width: int, height: int) -> None:
        """Show pages as on a phone of that size; a window cannot be so narrow."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self._devtools("Emulation.setDeviceMetricsOverride", metrics)

    def emulate_nothing(self) -> None:
        """Show pages in the window's own size again."""
        self._devtools("Emulation.clearDeviceMetricsOverride", {})

    def download_to(self, folder: Path) -> None:
        """Keep what links give to download in a folder."""
        self._devtools("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})

    def console(self) -> list[str]:
        """Errors and warnings since the last call: of scripts, of the security policy, of what did not load."""
        entries = self._command("/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """The addresses that pages asked for since the last call, without data URIs."""
        entries = [json.loads(each["message"])["message"] for each in self._command("/se/log", {"type": "performance"})]
        sent = [each["params"]["request"]["url"] for each in entries if each["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def close(self) -> None:
        """End the window and its processes."""
        self._ask("DELETE", f"/session/{self._session}")

    def _devtools(self, command: str, parameters: dict[str, Any]) -> None:
        self._command("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _command(self, path: str, content: dict[str, Any]) -> Any:
        return self._ask("POST", f"/session/{self._session}{path}", content)

    def _ask(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        refused = isinstance(value, dict) and "error" in value
        assert not refused, f"{method} {path}: {value['error']}: {value['message']}"
        return value


@contextmanager
def open_browser(profile: Path, *flags: str) -> Iterator[Browser]:
    """A browser with a profile of its own in an empty folder; it and its driver are gone afterwards."""
    driver = subprocess.Popen(
        [shutil.which("chromedriver"), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        lines = iter(driver.stdout.readline, "")
        ports = (re.search(r"started successfully on port (\d+)", line) for line in lines)
        found = next((port for port in ports if port), None)
        assert found, "chromedriver ended before it had a port"
        browser = Browser(int(found[1]), profile, flags)
        try:
            yield browser
        finally:
            with suppress(OSError):
                browser.close()
    finally:
        driver.terminate()
        driver.wait(timeout=_PATIENCE)
        driver.stdout.close()
