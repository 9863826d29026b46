"""A page to try trackers on your own videos: python tracking/demo.py
Opens http://127.0.0.1:8000/ in the browser; choose a video, draw boxes, press Track."""

import os
import sys
from importlib.util import find_spec

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.programs.arguments import Parser, at_least


@program("stopped; the uploads are removed")
def main() -> Result:
    """130 after Ctrl-C, 143 after SIGTERM, which end it; 1 after an error."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--config", action="append", default=[], help="list this experiment's weights first (may be repeated)")
    add("--checkpoint", type=user_path, action="append", default=[], help="list these weights (may be repeated)")
    add("--network", type=user_path, action="append", default=[], help="list this exported network (may be repeated)")
    parser.device()
    add("--host", default="127.0.0.1", help="address to listen on; the default is this machine alone")
    add("--port", type=at_least(0), default=8000, help="0 takes a free one (default: 8000)")
    add("--limit", type=at_least(1), default=500, metavar="MB", help="largest upload (default: 500)")
    add("--no-browser", action="store_true", help="print the address, open no browser")
    parser.paths()
    arguments = parser.parse()
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ValueError(f"{' and '.join(missing)} not installed; pip install -e .[demo]")
    with starting():
        from lib.programs.demo.server import serve_demo

    return serve_demo(**arguments)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a thread may still load a network, and the end of Python under it would abort the process.
    os._exit(code)
