"""The server of the page: its answers, and one tracking at a time. It listens on this machine alone unless another host
is named."""

import asyncio
import base64
import json
import math
import os
import socket
import sys
import webbrowser
from collections import abc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import uvicorn
from pydantic import Field, StringConstraints
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from lib.config.paths import CLIP, Paths
from lib.config.schema import Section
from lib.config.validation import validate
from lib.inference.follow import TargetSpec, check_boxes
from lib.programs.demo.guard import UPLOAD, Guard, mistake
from lib.programs.demo.job import JOB_FILES, Job
from lib.programs.demo.trackers import Trackers, find_trackers
from lib.programs.demo.videos import Video, Videos, in_thread, session_folder, shown_name
from lib.runtime.escapes import file_name, printable, show
from lib.runtime.program import TextResult
from lib.runtime.stop import terminated_like_interrupted
from lib.visualization.boxes import BOX_COLORS
from lib.visualization.sheet import encode

PAGE = Path(__file__).with_name("page")
INTERVAL = 1 / 25  # seconds between two messages to a page that watches
LIVE_WIDTH, LIVE_QUALITY = 960, 75  # of the JPEG frames in these messages
SWEEP = 60.0  # seconds between two removals of idle videos
ENDING = 1.0  # seconds for running work when the server ends
MOST_TARGETS = 16
BUSY = "another video is being tracked; wait for its end, or stop it on its page"


class TargetRequest(Section):
    """A target drawn on the page: its name and its box xywh in pixels of the video."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
    box: tuple[float, float, float, float]


class TrackingRequest(Section):
    """The request to track: the number of a tracker in the list, and the targets."""

    tracker: int
    targets: tuple[TargetRequest, ...] = Field(min_length=1, max_length=MOST_TARGETS)


class Demo:
    """The answers to the page, made from ``videos`` and ``trackers``; one tracking or measurement runs at a time."""

    def __init__(self, videos: Videos, trackers: Trackers, clip: Path = CLIP) -> None:
        self.videos, self.trackers, self.clip = videos, trackers, clip
        self.jobs: dict[str, Job] = {}  # the last one of each video
        self._alone = asyncio.Lock()

    async def state(self, _request: Request) -> Response:
        """The trackers, the limits and the colors."""
        return JSONResponse({
            "limit": self.videos.limit,
            "trackers": self.trackers.describe(),
            "colors": ["#{:02x}{:02x}{:02x}".format(*color) for color in BOX_COLORS],
            "most": MOST_TARGETS,
        })  # fmt: skip

    async def upload(self, request: Request) -> Response:
        """Take a video: its name in the query, its bytes as the body."""
        name = shown_name(request.query_params.get("name", ""))
        return JSONResponse((await self.videos.add(name, request.stream())).describe())

    async def open_clip(self, _request: Request) -> Response:
        """Take the clip that comes with the project."""

        async def content() -> AsyncIterator[bytes]:
            yield self.clip.read_bytes()

        return JSONResponse((await self.videos.add(self.clip.name, content())).describe())

    async def first(self, request: Request) -> Response:
        """The first frame."""
        return Response(self._video(request).first, media_type="image/jpeg")

    async def close(self, request: Request) -> Response:
        """Remove a video, for example when its page is left."""
        await self.remove(self._video(request))
        return JSONResponse({})

    async def remove(self, video: Video) -> None:
        """End a video's job, then remove its files."""
        if job := self.jobs.pop(video.id, None):
            job.stop()
            await in_thread(job.join, 10 * ENDING)
        self.videos.remove(video)

    async def track(self, request: Request) -> Response:
        """Begin to track targets with a tracker."""
        video = self._video(request)
        wanted = validate(TrackingRequest, await request.json(), "the request")
        targets = [TargetSpec(printable(target.name), target.box) for target in wanted.targets]
        check_boxes(targets, (video.height, video.width))
        self._check_free()
        job = self.jobs[video.id] = Job(video, targets, self.trackers, wanted.tracker)
        job.start()
        return JSONResponse({"targets": [target.name for target in targets]})

    async def events(self, request: Request) -> Response:
        """The progress of a video's job as server-sent events, to its end."""
        return StreamingResponse(_events(self._job(request)), media_type="text/event-stream")

    async def stop_job(self, request: Request) -> Response:
        """End a job after the current frame."""
        self._job(request).stop()
        return JSONResponse({})

    async def file(self, request: Request) -> Response:
        """A file that a job has written; with ``?save`` as a download under a name of its own."""
        name, job = request.path_params["file"], self._job(request)
        path = job.video.folder / name
        if name not in JOB_FILES or job.is_alive() or not path.is_file():
            raise HTTPException(404, "no such file; track the video first")
        stem = file_name(Path(job.video.name).stem) or "video"
        return FileResponse(path, filename=f"{stem}_{name}" if "save" in request.query_params else None)

    async def maps(self, request: Request) -> Response:
        """The maps of a frame."""
        frame = int(request.query_params.get("frame", ""))
        return JSONResponse({"maps": await self._run_alone(self._job(request).draw_maps, frame)})

    async def measure(self, request: Request) -> Response:
        """The speed of a tracker."""
        number = request.path_params["number"]
        return JSONResponse({"speed": await self._run_alone(self.trackers.measure, number)})

    def stop(self, wait: float = 0.0) -> None:
        """Let all jobs end after their current frames; wait for them, at most so many seconds each."""
        for job in self.jobs.values():
            job.stop()
            job.join(wait)

    async def sweep(self) -> None:
        """Remove videos without requests, for as long as the server runs."""
        while True:
            await asyncio.sleep(SWEEP)
            for video in self.videos.idle():
                if video.id not in self.jobs or not self.jobs[video.id].is_alive():
                    await self.remove(video)

    def _check_free(self) -> None:
        if self._alone.locked() or any(job.is_alive() for job in self.jobs.values()):
            raise HTTPException(409, BUSY)

    async def _run_alone(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self._check_free()
        async with self._alone:
            return await in_thread(function, *arguments)

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
        ended = not job.is_alive()  # before the rows are read, which are then complete
        rows, latest = job.rows[sent:], job.latest
        if rows and latest:
            sent += len(rows)
            number, image = latest
            message: dict[str, Any] = {"rows": rows, **job.progress()}
            if number != shown and number < sent:
                code = await in_thread(encode, image, "jpeg", LIVE_WIDTH, LIVE_QUALITY)
                message["shown"], message["picture"] = number, base64.b64encode(code).decode()
                shown = number
            yield f"event: rows\ndata: {json.dumps(message)}\n\n"
        if ended:
            yield f"event: end\ndata: {json.dumps(job.progress())}\n\n"
            return
        await asyncio.sleep(INTERVAL)


def make_app(demo: Demo, host: str) -> Starlette:
    """The answers of a server that is bound to ``host``. A mistake of the user's is ``{"error": one line}`` with status
    400, 404, 409 or 413."""

    async def answer_error(_request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return mistake(error.status_code, error.detail)
        lines = str(error).splitlines() or [type(error).__name__]
        return mistake(400, printable(lines[0]))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        sweep = asyncio.create_task(demo.sweep())
        yield
        sweep.cancel()

    video = f"{UPLOAD}/{{video}}"
    routes = [
        Route("/api/state", demo.state),
        Route(UPLOAD, demo.upload, methods=["POST"]),
        Route("/api/clip", demo.open_clip, methods=["POST"]),
        Route(f"{video}/first.jpg", demo.first),
        Route(f"{video}/close", demo.close, methods=["POST"]),
        Route(f"{video}/track", demo.track, methods=["POST"]),
        Route(f"{video}/stop", demo.stop_job, methods=["POST"]),
        Route(f"{video}/events", demo.events),
        Route(f"{video}/maps", demo.maps),
        Route(f"{video}/files/{{file}}", demo.file),
        Route("/api/trackers/{number:int}/measure", demo.measure, methods=["POST"]),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    mistakes = dict.fromkeys((ValueError, OSError, HTTPException, ClientDisconnect), answer_error)
    app = Starlette(routes=routes, exception_handlers=mistakes, lifespan=lifespan)
    app.add_middleware(Guard, host=host)
    return app


class _Server(uvicorn.Server):
    """Ends the jobs first, so that pages that watch get an end."""

    def __init__(self, config: uvicorn.Config, demo: Demo) -> None:
        super().__init__(config)
        self._demo = demo

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._demo.stop()
        await super().shutdown(sockets)


def serve_demo(
    paths: Paths,
    config: abc.Sequence[str] = (),
    checkpoint: abc.Sequence[Path] = (),
    network: abc.Sequence[Path] = (),
    device: str = "auto",
    host: str = "127.0.0.1",
    port: int = 8000,
    limit: int = 500,
    no_browser: bool = False,
) -> TextResult:
    """The body of `tracking/demo.py`: serve the page until SIGINT or SIGTERM, which is then raised as
    ``KeyboardInterrupt``; uploads are removed first.

    For the first four see ``find_trackers``. ``port`` 0 takes a free one; ``limit`` is in megabytes of an upload.
    Raises ``ValueError`` for a host or port that cannot be had.
    """
    choices = find_trackers(paths, config, checkpoint, network)
    listening = _listen(host, port)
    with listening, session_folder(paths.cache / "demo") as folder, terminated_like_interrupted():
        demo = Demo(Videos(folder, limit * 1_000_000), Trackers(paths, choices, device))
        settings = uvicorn.Config(
            make_app(demo, host),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=math.ceil(ENDING),
            server_header=False,
        )
        named = f"[{host}]" if ":" in host else host
        address = f"http://{named}:{listening.getsockname()[1]}/"
        show(f"{address}  (Ctrl-C ends it)", flush=True)
        Thread(target=_open_first, args=[demo.trackers], daemon=True).start()
        # Without a screen Python would open a text browser in the terminal.
        if not no_browser and (sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
            webbrowser.open(address)
        try:
            _Server(settings, demo).run(sockets=[listening])
        finally:
            demo.stop(wait=ENDING / 2)
    return TextResult()


def _open_first(trackers: Trackers) -> None:
    """Open the first tracker while the user draws a box: torch takes seconds. An error appears when it is used."""
    with suppress(ValueError, OSError):
        trackers.open(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:  # the last argument is the reason
        raise ValueError(
            f"--host {host} --port {port}: {error.args[-1]}; name another port, 0 for a free one, or another host"
        ) from error
