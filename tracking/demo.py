"""A page to try trackers on your own videos: python tracking/demo.py
Opens http://127.0.0.1:8000/ in the browser; choose a video, draw boxes, press Track."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--config", action="append", default=[], help="list this experiment's trained weights first (may be repeated)"
    )
    parser.add_argument(
        "--checkpoint", type=user_path, action="append", default=[], help="list these weights (may be repeated)"
    )
    parser.add_argument(
        "--network", type=user_path, action="append", default=[],
        help="list the exported network in this folder (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; the default is this machine alone")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument("--limit", type=int, default=500, metavar="MB", help="largest upload (default: 500)")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.add_argument("--paths", type=user_path, help="file instead of paths.yaml")
    arguments = parser.parse_args()
    if arguments.limit < 1:
        parser.error("--limit must be 1 or more")
    if not 0 <= arguments.port <= 65535:
        parser.error("--port must be 0 to 65535")
    return arguments


@program("stopped; the uploads are removed")
def main() -> int:
    """130 after Ctrl-C, 143 after SIGTERM, which end it; 1 after an error."""
    arguments = parse_arguments()
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ValueError(f"{' and '.join(missing)} not installed; pip install -e .[demo]")
    with starting():
        from lib.programs.demo.server import serve
        from lib.programs.demo.trackers import find_trackers

    set_up_logging()
    paths = load_paths(arguments.paths)
    serve(
        paths,
        find_trackers(paths, arguments.config, arguments.checkpoint, arguments.network),
        host=arguments.host,
        port=arguments.port,
        limit=arguments.limit * 1_000_000,
        browse=not arguments.no_browser,
        device=arguments.device,
    )
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a thread may still load a network, and the end of Python under it would abort the process.
    os._exit(code)
