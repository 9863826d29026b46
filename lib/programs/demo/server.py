"""The server behind the page: what may be asked, by whom, and one tracking at a time. It listens on this machine alone
unless another host is named."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import logging
import math
import os
import re
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.config.paths import Paths
from lib.inference.follow import TargetSpec
from lib.inference.target import checked_box
from lib.programs.demo.job import FILES, Job, in_thread
from lib.programs.demo.maps import draw_maps
from lib.programs.demo.trackers import Choice, Trackers
from lib.programs.demo.videos import TooLargeError, Video, Videos, encode_jpeg, session_folder, shown_name
from lib.programs.tracking import CLIP
from lib.runtime.escapes import printable, show
from lib.runtime.stop import terminated_like_interrupted
from lib.visualization.boxes import COLORS

PAGE = {"/": "index.html", "/style.css": "style.css", "/script.js": "script.js"}
INTERVAL = 1 / 25  # seconds between two messages to a page that watches
LIVE_WIDTH, LIVE_QUALITY = 960, 75  # of the frames that it sees meanwhile
SWEEP = 60.0  # seconds between two looks for videos that nobody asks for
ENDING = 1.0  # seconds for what runs when the server ends
BODY = 100_000  # bytes of a question
MOST_TARGETS = 16
BUSY = "another video is being tracked; wait for its end, or stop it on its page"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

logger = logging.getLogger(__name__)


class Demo:
    """What the server's answers are made from: ``videos``, ``trackers``, and the work that runs, one at a time."""

    def __init__(self, videos: Videos, trackers: Trackers, clip: Path = CLIP) -> None:
        self.videos, self.trackers, self.clip = videos, trackers, clip
        self.jobs: dict[str, Job] = {}  # the last one of each video
        self._running: Job | None = None
        self._occupied = False

    def state(self, _request: Request) -> dict[str, Any]:
        """What the page needs first."""
        return {
            "limit": self.videos.limit,
            "clip": self.clip.is_file(),
            "trackers": self.trackers.describe(),
            "colors": ["#{:02x}{:02x}{:02x}".format(*color) for color in COLORS],
            "most": MOST_TARGETS,
        }

    async def upload(self, request: Request) -> dict[str, Any]:
        """Take a video: its name in the query, its bytes as the body."""
        name = shown_name(request.query_params.get("name", ""))
        length = request.headers.get("content-length", "")
        if length.isdecimal():
            self.videos.check_size(name, int(length))
        folder = await self.videos.receive(name, request.stream())
        return (await asyncio.wrap_future(in_thread(self.videos.add, folder, name))).describe()

    async def open_clip(self, _request: Request) -> dict[str, Any]:
        """Take the clip that comes with the project."""
        if not self.clip.is_file():
            raise HTTPException(404, "the built-in clip is not there; choose a video of your own")
        folder = self.videos.copy(self.clip)
        return (await asyncio.wrap_future(in_thread(self.videos.add, folder, self.clip.name))).describe()

    def first(self, request: Request) -> Response:
        """The first frame."""
        return Response(self._video(request).first, media_type="image/jpeg")

    async def close(self, request: Request) -> dict[str, Any]:
        """Remove a video, such as when its page is left."""
        await self.remove(self._video(request))
        return {}

    async def remove(self, video: Video) -> None:
        """End a video's job, then remove its files."""
        job = self.jobs.pop(video.id, None)
        if job is not None:
            job.stop()
            await asyncio.wrap_future(in_thread(job.wait, 10 * ENDING))
        self.videos.remove(video)

    async def track(self, request: Request) -> dict[str, Any]:
        """Begin to track targets with a tracker."""
        video, asked = self._video(request), await _read_json(request)
        targets = _parse_targets(asked.get("targets"), video)
        number = asked.get("tracker")
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError("tracker: not a number of the list; reload the page")
        if self._is_occupied():
            raise HTTPException(409, BUSY)
        job = Job(video, targets, lambda: self.trackers.open(number))

        def ended(job: Job) -> None:
            if job.state in ("done", "stopped") and job.speed:
                self.trackers.speeds[number] = job.speed

        self._running = self.jobs[video.id] = job
        job.start(ended)
        return {"targets": [target.name for target in targets]}

    def events(self, request: Request) -> StreamingResponse:
        """The job of a video as it goes on, as server-sent events."""
        job = self._job(request)
        return StreamingResponse(_events(job), media_type="text/event-stream")

    def stop_job(self, request: Request) -> dict[str, Any]:
        """End a job after the current frame."""
        self._job(request).stop()
        return {}

    def file(self, request: Request) -> FileResponse:
        """A file that a job has written; with ``?save`` under a name to keep it by."""
        name, job = request.path_params["file"], self._job(request)
        path = job.video.folder / name
        if name not in FILES or not job.ended or not path.is_file():
            raise HTTPException(404, "no such file; track the video first")
        stem = re.sub(r"[^\w.-]+", "_", Path(job.video.name).stem) or "video"
        return FileResponse(path, filename=f"{stem}_{name}" if "save" in request.query_params else None)

    async def maps(self, request: Request) -> dict[str, Any]:
        """The maps of a frame."""
        job, text = self._job(request), request.query_params.get("frame", "")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ValueError("frame: not a number")
        drawn = await self._alone(draw_maps, job, int(text))
        return {"maps": [each.as_dict() for each in drawn]}

    async def measure(self, request: Request) -> dict[str, Any]:
        """The speed of a tracker."""
        return {"speed": await self._alone(self.trackers.measure, request.path_params["number"])}

    def stop(self) -> None:
        """Ask all jobs for their end."""
        for job in self.jobs.values():
            job.stop()

    def wait(self, seconds: float) -> None:
        """Until the running job has ended, at most so many seconds."""
        if self._running:
            self._running.wait(seconds)

    async def sweep(self) -> None:
        """Remove videos that nobody asks for, for as long as the server runs."""
        while True:
            await asyncio.sleep(SWEEP)
            for video in self.videos.idle():
                job = self.jobs.get(video.id)
                if job is None or job.ended:
                    await self.remove(video)

    def _is_occupied(self) -> bool:
        return self._occupied or bool(self._running and not self._running.ended)

    async def _alone(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._is_occupied():
            raise HTTPException(409, BUSY)
        self._occupied = True
        future = in_thread(function, *arguments)
        future.add_done_callback(lambda _: setattr(self, "_occupied", False))
        return await asyncio.wrap_future(future)

    def _video(self, request: Request) -> Video:
        try:
            return self.videos[request.path_params["video"]]
        except KeyError as error:
            raise HTTPException(404, "this video was removed; open it again") from error

    def _job(self, request: Request) -> Job:
        job = self.jobs.get(self._video(request).id)
        if job is None:
            raise HTTPException(404, "this video was not tracked yet")
        return job


async def _events(job: Job) -> AsyncIterator[str]:
    """``rows``: progress, the new rows and a picture of the newest of them; then ``end`` with the progress."""
    sent, shown = 0, -1
    while True:
        ended = job.ended  # asked first: what is read afterwards is then all there is
        rows, latest = job.rows[sent:], job.latest
        if rows and latest:
            sent += len(rows)
            number, image = latest
            message: dict[str, Any] = {"rows": [row.as_list() for row in rows], **job.progress()}
            if number != shown and number < sent:
                code = await asyncio.to_thread(encode_jpeg, image, LIVE_WIDTH, LIVE_QUALITY)
                message["shown"], message["picture"] = number, base64.b64encode(code).decode()
                shown = number
            yield f"event: rows\ndata: {json.dumps(message)}\n\n"
        if ended:
            yield f"event: end\ndata: {json.dumps(job.progress())}\n\n"
            return
        await asyncio.sleep(INTERVAL)


async def _read_json(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY:
            raise HTTPException(413, "the request is too long")
    try:
        content = json.loads(body)
    except ValueError as error:
        raise ValueError("the request is no JSON") from error
    if not isinstance(content, dict):
        raise ValueError("the request is no JSON object")
    return content


def _parse_targets(content: Any, video: Video) -> list[TargetSpec]:
    """Targets ``[{"name": text, "box": [x, y, w, h]}, ...]`` in pixels of the video."""
    if not isinstance(content, list) or not 1 <= len(content) <= MOST_TARGETS:
        raise ValueError(f"draw 1 to {MOST_TARGETS} boxes")
    targets = []
    for number, each in enumerate(content, start=1):
        name, box = (each.get("name"), each.get("box")) if isinstance(each, dict) else (None, None)
        name = name.strip() if isinstance(name, str) else ""
        if not name or len(name) > 40 or name != printable(name):
            raise ValueError(f"target {number}: a name has 1 to 40 printable characters")
        numbers = isinstance(box, list) and len(box) == 4 and all(type(side) in (int, float) for side in box)
        if not numbers or not all(math.isfinite(side) for side in box):
            raise ValueError(f"target {name}: a box is four numbers x, y, w, h")
        try:
            checked_box(box, (video.height, video.width))
        except ValueError as error:
            raise ValueError(f"target {name}: {error}") from error
        targets.append(TargetSpec(name, tuple(map(float, box))))
    names = [target.name for target in targets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two targets are named {twice[0]}; give each its own name")
    return targets


class Guard:
    """Lets through only what the page itself asks for, and adds the headers that bind the page.

    The host that a browser names must be this machine's: otherwise any site could point its own name here (DNS
    rebinding) and read the answers. What changes something must come from a page of that host.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reason = self._refusal(headers.get("host", ""), headers.get("origin"), scope["method"])
        if reason:
            response = JSONResponse({"error": reason}, 403, HEADERS)
            await response(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _refusal(self, host: str, origin: str | None, method: str) -> str:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        known = name in self._hosts if self._hosts is not None else name == "localhost" or _is_address(name)
        if not known:
            return "this host name is not the demo's; open the address that the program printed"
        if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return "this request comes from another site"
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def known_hosts(host: str) -> frozenset[str] | None:
    """The names by which a browser may ask for a server bound to ``host``; None for any number address, which no site
    can take for its own, and localhost."""
    loopback = frozenset({"localhost", "127.0.0.1", "::1"})
    if host in loopback or (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        return loopback | {host}
    if _is_address(host):
        return None
    return loopback | {host.lower()}


def make_app(demo: Demo, hosts: frozenset[str] | None) -> Starlette:
    """The server's answers. A mistake of the user's is ``{"error": one line}`` with status 400, 404, 409 or 413."""

    def page(request: Request) -> Response:
        name = PAGE[request.url.path]
        types = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
        text = (files("lib.programs.demo") / "page" / name).read_text(encoding="utf-8")
        return Response(text, media_type=types[Path(name).suffix])

    def answer(function: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def answered(request: Request) -> Response:
            content = function(request)
            if asyncio.iscoroutine(content):
                content = await content
            return content if isinstance(content, Response) else JSONResponse(content)

        return answered

    async def mistake(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        status = 413 if isinstance(error, TooLargeError) else status
        text = error.detail if isinstance(error, HTTPException) else str(error)
        close = {"Connection": "close"} if status == 413 else None
        return JSONResponse({"error": printable(text.splitlines()[0])}, status, close)

    async def gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=400)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        sweep = asyncio.create_task(demo.sweep())
        yield
        sweep.cancel()
        with suppress(asyncio.CancelledError):
            await sweep

    video = "/api/videos/{video}"
    routes = [
        *(Route(path, page) for path in PAGE),
        Route("/api/state", answer(demo.state)),
        Route("/api/videos", answer(demo.upload), methods=["POST"]),
        Route("/api/clip", answer(demo.open_clip), methods=["POST"]),
        Route(f"{video}/first.jpg", answer(demo.first)),
        Route(f"{video}/close", answer(demo.close), methods=["POST"]),
        Route(f"{video}/track", answer(demo.track), methods=["POST"]),
        Route(f"{video}/stop", answer(demo.stop_job), methods=["POST"]),
        Route(f"{video}/events", answer(demo.events)),
        Route(f"{video}/maps", answer(demo.maps)),
        Route(f"{video}/files/{{file}}", answer(demo.file)),
        Route("/api/trackers/{number:int}/measure", answer(demo.measure), methods=["POST"]),
    ]
    mistakes = {ValueError: mistake, HTTPException: mistake, ClientDisconnect: gone}
    app = Starlette(routes=routes, exception_handlers=mistakes, lifespan=lifespan)
    app.add_middleware(Guard, hosts=hosts)
    return app


class _Server(uvicorn.Server):
    """Ends the jobs first, so that pages that watch get an end."""

    def __init__(self, config: uvicorn.Config, demo: Demo) -> None:
        super().__init__(config)
        self._demo = demo

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._demo.stop()
        await super().shutdown(sockets)


def serve(
    paths: Paths,
    choices: list[Choice],
    host: str = "127.0.0.1",
    port: int = 8000,
    limit: int = 500_000_000,
    browse: bool = True,
    device: str = "auto",
) -> None:
    """Serve the page until SIGINT or SIGTERM, which is then raised as ``KeyboardInterrupt``; uploads are removed first.

    ``port`` 0 takes a free one; ``limit`` is in bytes of an upload. Raises ``ValueError`` for a host or port that
    cannot be had.
    """
    listening = _listen(host, port)
    with listening, session_folder(paths.cache / "demo") as folder, terminated_like_interrupted():
        demo = Demo(Videos(folder, limit), Trackers(paths, choices, device))
        app = make_app(demo, known_hosts(host))
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=math.ceil(ENDING), server_header=False
        )
        named = f"[{host}]" if ":" in host else host
        address = f"http://{named}:{listening.getsockname()[1]}/"
        show(f"{address}  (Ctrl-C ends it)", flush=True)
        in_thread(demo.trackers.open, 0)  # torch takes seconds; whoever draws a box need not wait for it
        if browse and _has_screen():
            webbrowser.open(address)
        try:
            _Server(config, demo).run(sockets=[listening])
        finally:
            demo.stop()
            demo.wait(ENDING / 2)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise ValueError(f"--host {host}: no address of this machine ({error.strerror})") from error
    except OSError as error:
        remedy = "name another with --port, or 0 for a free one"
        raise ValueError(f"--host {host} --port {port}: {os.strerror(error.errno or 0)}; {remedy}") from error


def _has_screen() -> bool:
    """Whether a browser can be opened; on a terminal alone Python would open a text browser in it."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
