"""The check of the server's requests, and the headers that bind the page to this server."""

import re
from urllib.parse import urlsplit

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

UPLOAD = "/api/videos"
MOST_BYTES = 100_000  # of a request, uploads apart
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard(BaseHTTPMiddleware):
    """Lets through only requests of the page itself, and adds the headers that bind the page.

    The host that a browser names must be ``localhost``, an address in numbers, or the ``host`` that the server is bound
    to: otherwise any site could point its own name here (DNS rebinding) and read the answers. A request that changes
    something must come from a page of that host.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        super().__init__(app)
        names = rf"localhost|[\d.]+|\[[\da-f:.]+\]|{re.escape(host)}"
        self._host = re.compile(rf"({names})(:\d+)?", re.IGNORECASE)

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = self._refusal(request) or await call_next(request)
        response.headers.update(HEADERS)
        return response

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._host.fullmatch(host):
            return mistake(403, "this host name is not the demo's; open the address that the program printed")
        if request.method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return mistake(403, "this request comes from another site")
        length = headers.get("content-length", "0")
        too_long = "transfer-encoding" in headers or not length.isdecimal() or int(length) > MOST_BYTES
        return mistake(413, "the request is too long") if too_long and request.scope["path"] != UPLOAD else None


def mistake(status: int, text: str) -> Response:
    """The answer ``{"error": text}`` to a user's mistake; the rest of a request that is too long is not read."""
    return JSONResponse({"error": text}, status, {"Connection": "close"} if status == 413 else None)
