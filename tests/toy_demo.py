"""A demo at toy size: a clip of a moving square, a run with fresh weights, and a server that is run for real."""

import re
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from toy_experiment import write_checkpoint, write_experiment

from lib.data.decoding.video import VideoWriter
from lib.experiment.config import load_experiment

FRAMES, WIDTH, HEIGHT = 12, 96, 64
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/  \(Ctrl-C ends it\)\n")


def write_clip(file: Path, frames: int = FRAMES) -> Path:
    """A square of 20 pixels that moves by 2 a frame from x = 10, over noise."""
    ground = np.random.default_rng(0).integers(0, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    with VideoWriter(file, 25) as writer:
        for number in range(frames):
            image = ground.copy()
            left = 10 + 2 * (number % 30)
            image[20:40, left : left + 20] = (230, 120, 20)
            writer.write(image)
    return file


def write_run(output: Path, name: str = "toy") -> Path:
    """The toy experiment's run below ``output``, as if it had been trained; its checkpoint."""
    output.mkdir(parents=True, exist_ok=True)
    experiment = load_experiment(write_experiment(output / f"{name}.yaml"))
    return write_checkpoint(output / name / "checkpoints" / "last.pth", experiment)


def refusal(response: Any, status: int) -> str:
    """The one line of a refusal."""
    assert response.status_code == status, response.text
    text = response.json()["error"]
    assert text and "\n" not in text
    return text


class Running:
    """A demo that answers."""

    def __init__(self, process: subprocess.Popen[str], cache: Path) -> None:
        self.process = process
        line = process.stdout.readline()
        match = ADDRESS.fullmatch(line)
        assert match, line + process.stderr.read()
        self.port, self.folder = int(match[1]), cache / "demo"

    def post(self, path: str, content: bytes = b"") -> int:
        """The status of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", path, content)
            return connection.getresponse().status
        finally:
            connection.close()

    @property
    def uploads(self) -> list[Path]:
        """The files that it keeps."""
        return [path for path in self.folder.rglob("*") if path.is_file() and path.name != ".lock"]
