"""Our tracker as a process that the VOT toolkit starts and asks over TraX, and the ``trackers.ini`` that says how.

TraX is spoken by the package vot-trax (module ``trax``), which the tracker's environment needs and the rest of this
project does not: it is imported when a server starts.
"""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.config.paths import load_paths
from lib.data.decoding.images import read_image
from lib.experiment.build import (
    build_tracker,
    default_checkpoint,
    experiment_of_checkpoint,
    load_experiment,
    trained_model,
)
from lib.experiment.config import ExperimentConfig, find_experiment
from lib.inference.tracker import Tracker
from lib.runtime.escapes import printable
from lib.runtime.process import find_device

if TYPE_CHECKING:
    from trax import Region

# vot/tracker/__init__.py of vot-toolkit 0.9.0: a section of trackers.ini with another name is passed over.
IDENTIFIER = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class TrackerChoice:
    """Which tracker the toolkit starts: what ``tracking/vot.py`` takes on its command line.

    Without ``config`` the checkpoint's own is taken, without ``checkpoint`` the experiment's ``default_checkpoint``;
    one of the two is named. ``dataset`` is the benchmark whose test-time values hold (``vot22``), None has none.
    """

    checkpoint: Path | None = None
    config: str | None = None
    dataset: str | None = None
    device: str = "auto"
    overrides: tuple[str, ...] = ()

    @cached_property
    def experiment(self) -> ExperimentConfig:
        """The experiment, before the values of ``dataset``; ``ValueError`` for what cannot be read."""
        if self.config:
            return load_experiment(self.config, self.overrides)
        return experiment_of_checkpoint(self.checkpoint, self.overrides)

    @cached_property
    def file(self) -> Path:
        """The file of the weights; ``ConfigError`` if none is named and there is none."""
        return self.checkpoint or default_checkpoint(self.experiment, load_paths())

    def build(self) -> Tracker:
        """The tracker; raises as ``build_tracker`` and ``find_device`` do."""
        return build_tracker(self.experiment, self.file, str(find_device(self.device)), self.dataset)

    def check(self) -> None:
        """Raise ``ValueError`` for what would go wrong when the toolkit starts the process, where its message would
        lie in a log: settings, weights of another network, a device that is not there, no TraX."""
        _check_trax()
        find_device(self.device)
        trained_model(self.experiment.for_benchmark(self.dataset), self.file)

    def words(self) -> list[str]:
        """This choice as arguments of ``tracking/vot.py``, with absolute paths: the toolkit starts each process in an
        empty folder."""
        words = ["--checkpoint", str(self.file.absolute())]
        if self.config:
            words += ["--config", str(find_experiment(self.config).absolute())]
        if self.dataset:
            words += ["--dataset", self.dataset]
        return [*words, "--device", self.device, *self.overrides]


def trackers_ini(choice: TrackerChoice, program: Path, identifier: str | None = None) -> str:
    """The section of ``trackers.ini`` under which the toolkit starts ``program`` (``tracking/vot.py``) for a choice.

    The command names this very Python, so that the toolkit can live in an environment of its own. ``identifier`` is the
    experiment's name unless given, with _ for what the toolkit does not allow. Raises ``ValueError`` for an identifier
    that the toolkit would pass over, and as ``TrackerChoice.check`` does.
    """
    choice.check()
    name = choice.experiment.name
    if identifier is not None and not IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"--identifier: got {identifier!r}; the toolkit allows letters, digits, _ and - alone")
    section = identifier or re.sub(r"[^A-Za-z0-9_-]", "_", name)
    command = shlex.join([sys.executable, str(program.absolute()), *choice.words()])
    if printable(command) != command:
        raise ValueError(f"{printable(command)}: has characters that trackers.ini cannot hold; rename what has them")
    values = {"label": name, "protocol": "trax", "command": command}
    lines = [f"{key} = {value.replace('%', '%%')}" for key, value in values.items()]
    return "\n".join([f"[{section}]", *lines, ""])


def serve(tracker: Tracker, name: str) -> None:
    """Answer the toolkit over the standard streams until it ends the session; it may start any number of targets.

    A target is given as a rectangle, polygon or mask and answered as a rectangle, with the network's score as
    ``confidence``. Raises what the tracker or an unreadable image raises, after the toolkit has been told, and
    ``ValueError`` where vot-trax is missing or the toolkit goes away without a word.
    """
    _check_trax()
    import trax

    regions = [trax.Region.RECTANGLE, trax.Region.POLYGON, trax.Region.MASK]
    with trax.Server(regions, [trax.Image.PATH], tracker_name=name) as server:
        while True:
            request = _next_request(server)
            if request.type == trax.TraxStatus.QUIT:
                return
            image = read_image(Path(request.image[trax.ImageChannel.COLOR].path()))
            if request.type == trax.TraxStatus.INITIALIZE:
                box, answer = box_of_region(request.objects[0][0]), {}
                tracker.init(image, box)
            else:
                box, score = tracker.update(image)
                answer = {"confidence": score}
            server.status([(trax.Rectangle.create(*box), answer)])


def box_of_region(region: Region) -> np.ndarray:
    """The box, float64 ``[4]`` xywh in pixels, of a region as TraX hands it over: what ``lib.data.datasets.regions``
    makes of the same one in a file.

    A polygon's reaches from its corners' smallest to their largest coordinates, a mask's is the smallest around its
    pixels, which are 1 wide. Raises ``ValueError`` for an empty mask and for a region that is no place.
    """
    import trax

    if region.type == trax.Region.RECTANGLE:
        return np.array(region.bounds(), dtype=np.float64)
    if region.type == trax.Region.POLYGON:
        corners = np.array(list(region), dtype=np.float64)
        return np.concatenate((corners.min(axis=0), np.ptp(corners, axis=0)))
    if region.type == trax.Region.MASK:
        pixels = np.argwhere(region.array())[:, ::-1] + region.offset()
        if len(pixels) == 0:
            raise ValueError("the toolkit starts the tracker at a mask without a pixel")
        return np.concatenate((pixels.min(axis=0), np.ptp(pixels, axis=0) + 1)).astype(np.float64)
    raise ValueError(f"the toolkit starts the tracker at a region of kind {region.type!r}, which is no place")


def _next_request(server: Any) -> Any:
    import trax

    try:
        return server.wait()
    except trax.TraxException as error:
        raise ValueError(f"the VOT toolkit went away, or sent what is no TraX ({error})") from error


def _check_trax() -> None:
    if find_spec("trax") is None:
        raise ValueError(f"vot-trax is not installed here; {sys.executable} -m pip install vot-trax==4.0.2")
